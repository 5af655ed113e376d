"""One child process: started on a leash, with a log, ended for certain."""

import atexit
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Self

import psutil

from sender.errors import ProcessFailed, WaitedTooLong
from sender.local import leash
from sender.local.waiting import wait_until

_LOG_TAIL_LINES = 20
_LOG_TAIL_BYTES = 16_384

# After SIGKILL a process only stays while the kernel finishes its I/O.
_KILL_BOUND = timedelta(seconds=10)

# Linux ties the death signal to the *thread* that started the child, so all children are started
# by one thread that lives as long as this process. (A pool starts no thread before its first use.)
_starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="child-starter")


@dataclass(frozen=True, kw_only=True)
class Account:
    """The system account a program runs under, when that is not ours."""

    uid: int
    gid: int

    def __str__(self) -> str:
        return f"{self.uid}:{self.gid}"


@dataclass(frozen=True, kw_only=True)
class Program:
    """What to run, and by which signals it ends."""

    name: str
    argv: Sequence[str]
    #: Both outputs are appended to it.
    log: Path
    #: The whole environment; `None` passes on ours.
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    #: What it reads; `None` is nothing.
    stdin: Path | None = None
    #: Only root can run a program under another account.
    account: Account | None = None
    #: Asks for an orderly end.
    stop_signal: signal.Signals = signal.SIGTERM
    #: What Linux sends it when we die without stopping it.
    orphan_signal: signal.Signals = signal.SIGKILL


class Child:
    """A started program, in its own session: a Ctrl-C in the terminal reaches only us.

    Whatever of its process group survives it is killed as soon as its end is noticed.
    """

    def __init__(self, program: Program, process: subprocess.Popen[bytes]) -> None:
        self.program = program
        self._process = process
        self._sweep_lock = threading.Lock()
        self._swept = False
        atexit.register(self.stop)

    @classmethod
    def start(cls, program: Program) -> Self:
        """Start `program`; what is wrong with it shows when it is waited for."""
        return cls(program, _starter.submit(_spawn, program).result())

    @property
    def pid(self) -> int:
        """The process id, which is the id of its group and session as well."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """`None` while it runs; minus the signal if one ended it."""
        code = self._process.poll()
        if code is not None:
            self._sweep()
        return code

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self.exit_code is None

    def wait(self, timeout: timedelta) -> bool:
        """Whether it ended within `timeout`."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, timeout.total_seconds()))
        return not self.is_running

    def wait_until_ready(self, ready: Callable[[], bool], timeout: timedelta) -> None:
        """Return once `ready()` is true.

        Raises:
            ProcessFailed: it ended before, or was not ready within `timeout`; the message
                shows the end of its log.
        """
        try:
            wait_until(lambda: self._is_ready(ready), timeout, self.program.name)
        except WaitedTooLong as exc:
            raise self.failure("was not ready in time") from exc

    def send(self, number: signal.Signals) -> None:
        """Send one signal to the program (not to its group); none if it has ended."""
        self._process.send_signal(number)

    def stop(self, timeout: timedelta = timedelta(seconds=10)) -> None:
        """End it: its stop signal, then SIGKILL after `timeout` or when we are interrupted."""
        try:
            self.send(self.program.stop_signal)
            self.wait(timeout)
        finally:
            self.kill()

    def kill(self) -> None:
        """End it and all its descendants by SIGKILL; return when they are gone."""
        with _descendants_killed_too(self._process):
            self._sweep()
            self._process.wait(_KILL_BOUND.total_seconds())
        atexit.unregister(self.stop)

    def failure(self, what: str) -> ProcessFailed:
        """The error that says `what` went wrong, and shows the end of the log."""
        return ProcessFailed(
            f"{self.program.name} {what}. Fix what the end of its log says, then start again.\n"
            f"{self.program.log}:\n{_tail(self.program.log)}"
        )

    def _is_ready(self, ready: Callable[[], bool]) -> bool:
        if not self.is_running:
            raise self.failure(f"ended with exit code {self.exit_code} before it was ready")
        return ready()

    def _sweep(self) -> None:
        """Kill what is left of the group, once: later its id may belong to strangers."""
        with self._sweep_lock:
            if not self._swept:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(self.pid, signal.SIGKILL)
            self._swept = True


@contextmanager
def _descendants_killed_too(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Find the descendants, those in other sessions too, before the body ends their parent."""
    descendants: list[psutil.Process] = []
    if process.poll() is None:
        with suppress(psutil.NoSuchProcess):
            descendants = psutil.Process(process.pid).children(recursive=True)
    try:
        yield
    finally:
        for descendant in descendants:
            with suppress(psutil.NoSuchProcess):
                descendant.kill()
    wait_until(lambda: all(map(_has_ended, descendants)), _KILL_BOUND, "killed processes to end")


def _has_ended(process: psutil.Process) -> bool:
    """Gone, or only waiting for its new parent to notice (which may take an `init` seconds)."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _spawn(program: Program) -> subprocess.Popen[bytes]:
    stdin = program.stdin or Path(os.devnull)
    with stdin.open("rb") as source, program.log.open("ab") as log:
        return subprocess.Popen(
            [*_leash(program), *program.argv],
            stdin=source,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=program.env,
            cwd=program.cwd,
            start_new_session=True,
        )


def _leash(program: Program) -> list[str]:
    account = str(program.account) if program.account else "-"
    interpreter = [sys.executable, "-I", "-S", leash.__file__]
    return [*interpreter, str(os.getpid()), str(int(program.orphan_signal)), account]


def _tail(log: Path) -> str:
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - _LOG_TAIL_BYTES))
        lines = stream.read().decode(errors="replace").splitlines()
    return "\n".join(f"  {line}" for line in lines[-_LOG_TAIL_LINES:]) or "  (empty)"
