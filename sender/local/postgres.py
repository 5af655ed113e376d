"""An embedded PostgreSQL 18: a real server, on a free port of 127.0.0.1, in a folder of yours."""

import tempfile
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from signal import Signals
from types import TracebackType
from typing import Self

from sender.local.child import Child, Program
from sender.local.cluster import ROLE, Cluster
from sender.local.installs import copy_postgres_programs, postgres_programs
from sender.local.ports import LOOPBACK, free_port

# Seen: 0.1 s; replaying the log after a crash of a busy server takes seconds.
_START_BOUND = timedelta(seconds=60)
_PROBE_BOUND = timedelta(seconds=10)

_SETTINGS = {
    "listen_addresses": LOOPBACK,
    # No socket file: its path would be too long in many folders, and another way in.
    "unix_socket_directories": "",
    # What the promises rest on, whatever a later default says.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    # A dozen processes of a local stack with up to 19 connections each.
    "max_connections": "200",
    "shared_buffers": "256MB",
    "timezone": "UTC",
}


class StopMode(StrEnum):
    """How PostgreSQL ends (https://www.postgresql.org/docs/18/server-shutdown.html)."""

    #: Roll back what is open, disconnect, write a checkpoint.
    FAST = "fast"
    #: End at once; the next start replays the log, as after a power failure.
    IMMEDIATE = "immediate"


_STOP_SIGNALS = {StopMode.FAST: Signals.SIGINT, StopMode.IMMEDIATE: Signals.SIGQUIT}


class LocalPostgres:
    """A running server; a context manager that stops it.

    It ends with this process in any case (on Linux also after a ``kill -9``), and the folder can be
    started again after that.
    """

    def __init__(self, cluster: Cluster, port: int) -> None:
        self._cluster = cluster
        self._port = port
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        self._child: Child | None = None

    @classmethod
    def start(cls, folder: Path) -> Self:
        """Start a server on the data in `folder`; make both when missing (0.6 s, else 0.1 s).

        Raises:
            LocalServersMissing: the wheel that brings PostgreSQL is not installed.
            ProcessFailed: it did not start; the message shows its log.
        """
        server = cls(Cluster.in_folder(folder), free_port())
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
        """The SQLAlchemy URL of the database `postgres`, for psycopg, as a superuser."""
        password = self._cluster.password
        return f"postgresql+psycopg://{ROLE}:{password}@{LOOPBACK}:{self._port}/postgres"

    @property
    def pid(self) -> int | None:
        """The process id of the server, `None` when it is stopped."""
        return self._child.pid if self._child else None

    @property
    def log(self) -> Path:
        """The log of the server."""
        return self._cluster.log

    def stop(self, mode: StopMode = StopMode.FAST) -> None:
        """End the server; one that takes longer than 10 s is killed. Harmless when stopped."""
        if self._child:
            self._child.send(_STOP_SIGNALS[mode])
            self._child.stop()
            self._child = None
        if self._copy:
            self._copy.cleanup()
            self._copy = None

    def kill(self) -> None:
        """End the server and its backends by SIGKILL; `restart` brings it back."""
        if self._child:
            self._child.kill()
            self._child = None

    def restart(self, mode: StopMode = StopMode.FAST) -> None:
        """Stop (if running) and start again, on the same port and data.

        Raises:
            ProcessFailed: it did not start; the message shows its log.
        """
        self.stop(mode)
        self._launch()

    def _launch(self) -> None:
        try:
            programs = self._runnable_programs()
            self._cluster.create_if_missing(programs)
            self._cluster.clear_leftovers()
            child = Child.start(self._cluster.server(programs, self._arguments()))
            self._child = child
            child.wait_until_ready(lambda: self._cluster.is_served_by(child.pid), _START_BOUND)
        except BaseException:
            self.kill()
            self.stop()
            raise

    def _arguments(self) -> list[str]:
        settings = [f"--{name}={value}" for name, value in _SETTINGS.items()]
        return ["-p", str(self._port), *settings]

    def _runnable_programs(self) -> Path:
        """Those of the wheel, or a copy when they lie where the server's account cannot go.

        Such as a virtual environment below /root.
        """
        programs = postgres_programs()
        if self._can_run(programs / "postgres"):
            return programs
        self._copy = tempfile.TemporaryDirectory(prefix="sender-postgres-")
        return copy_postgres_programs(programs, Path(self._copy.name))

    def _can_run(self, program: Path) -> bool:
        account = self._cluster.account
        if account is None:
            return True
        with tempfile.NamedTemporaryFile() as log:
            probe = Child.start(
                Program(
                    name="probe",
                    argv=[str(program), "--version"],
                    log=Path(log.name),
                    account=account,
                )
            )
            finished = probe.wait(_PROBE_BOUND)
            probe.kill()
        return finished and probe.exit_code == 0
