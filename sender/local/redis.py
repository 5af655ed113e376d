"""An embedded Redis 6.2: a real server, on a free port of 127.0.0.1."""

import re
import socket
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from sender.local.child import Child, Program
from sender.local.installs import redis_server_program
from sender.local.ports import LOOPBACK, free_port

_START_BOUND = timedelta(seconds=30)
_ANSWER_SECONDS = 1.0
_ANSWER_BYTES = 65_536

_SETTINGS = {
    "bind": LOOPBACK,
    # Nothing in Redis is the truth, so nothing is kept on disk.
    "save": "",
    "appendonly": "no",
    # A full server must refuse writes; to evict would forget suppressions and queued work.
    "maxmemory-policy": "noeviction",
    "databases": "16",
    "daemonize": "no",
}


class LocalRedis:
    """A running server; a context manager that stops it. What it holds is lost with it."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self._port = port
        self._child: Child | None = None

    @classmethod
    def start(cls, folder: Path) -> Self:
        """Start an empty server that logs to `folder` (made when missing); about 0.1 s.

        Raises:
            LocalServersMissing: the wheel that brings Redis is not installed.
            ProcessFailed: it did not start; the message shows its log.
        """
        server = cls(folder.absolute(), free_port())
        server._launch()
        return server

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The URL of database 0, for suppression and pacing."""
        return self.database_url(0)

    @property
    def broker_url(self) -> str:
        """The URL of database 1, for Celery."""
        return self.database_url(1)

    def database_url(self, index: int) -> str:
        """The URL of one of the 16 databases."""
        return f"redis://{LOOPBACK}:{self._port}/{index}"

    @property
    def pid(self) -> int | None:
        """The process id of the server, `None` when it is stopped."""
        return self._child.pid if self._child else None

    @property
    def log(self) -> Path:
        """The log of the server."""
        return self._folder / "redis.log"

    def stop(self) -> None:
        """End the server; one that takes longer than 10 s is killed. Harmless when stopped."""
        if self._child:
            self._child.stop()
            self._child = None

    def kill(self) -> None:
        """End the server by SIGKILL; `restart` brings it back, empty."""
        if self._child:
            self._child.kill()
            self._child = None

    def restart(self) -> None:
        """Stop (if running) and start again, empty, on the same port.

        Raises:
            ProcessFailed: it did not start; the message shows its log.
        """
        self.stop()
        self._launch()

    def _launch(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        child = self._child = Child.start(self._program())
        try:
            child.wait_until_ready(lambda: self._served_by() == child.pid, _START_BOUND)
        except BaseException:
            self.kill()
            raise

    def _program(self) -> Program:
        settings = [part for name, value in _SETTINGS.items() for part in (f"--{name}", value)]
        return Program(
            name="Redis",
            argv=[str(redis_server_program()), "--port", str(self._port), *settings],
            log=self.log,
            env={"LC_ALL": "C"},
            cwd=self._folder,
        )

    def _served_by(self) -> int | None:
        """The process id of whoever answers on our port: a stranger may have taken it."""
        address = (LOOPBACK, self._port)
        with suppress(OSError), socket.create_connection(address, _ANSWER_SECONDS) as connection:
            connection.sendall(b"INFO server\r\n")
            found = re.search(rb"process_id:(\d+)", connection.recv(_ANSWER_BYTES))
            return int(found[1]) if found else None
        return None
