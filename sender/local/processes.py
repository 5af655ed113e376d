"""Named child processes that start together and always end with us."""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from sender.errors import ProcessFailed
from sender.local.child import Child, Program
from sender.local.guardian import Guardian

log = structlog.get_logger(__name__)

_RESTART_POLL_SECONDS = 0.1

# A program that dies at once is not started more often than this: its log stays readable.
_RESTART_PAUSE_SECONDS = 1.0


@dataclass(kw_only=True)
class _Supervised:
    """A child with what its supervisor wants of it."""

    child: Child
    started_at: float
    ready: Callable[[], bool] | None
    restart: bool
    restarts: int = 0
    #: How the one before it ended.
    last_exit_code: int | None = None
    #: Its end is our doing, hence no failure.
    killed: bool = False

    @property
    def is_due_for_restart(self) -> bool:
        rested = time.monotonic() - self.started_at >= _RESTART_PAUSE_SECONDS
        return self.restart and rested and not self.child.is_running

    @property
    def has_failed(self) -> bool:
        return not (self.restart or self.killed or self.child.is_running)

    def replace_child(self, child: Child) -> None:
        self.last_exit_code = self.child.exit_code
        log.warning("process_restarted", process=child.program.name, exit_code=self.last_exit_code)
        self.child = child
        self.started_at = time.monotonic()
        self.restarts += 1


class Supervisor:
    """A group of named processes; a context manager that stops them, however it is left.

    Each runs in its own session with a log of its own, `folder`/logs/NAME.log. None outlives this
    process, not even after a ``kill -9``. Safe to use from several threads.
    """

    def __init__(self, folder: Path, env: Mapping[str, str] | None = None) -> None:
        """Set up an empty group.

        Args:
            folder: where the logs go; made when needed.
            env: the whole environment of the processes; `None` passes on ours.
        """
        self._logs = folder / "logs"
        self._env = env
        self._lock = threading.RLock()
        self._supervised: dict[str, _Supervised] = {}
        self._stopping = threading.Event()
        self._restarter: threading.Thread | None = None
        self._guardian: Guardian | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        ready: Callable[[], bool] | None = None,
        restart: bool = False,
    ) -> None:
        """Start a process and return at once, so that several can start side by side.

        Args:
            name: unique among those that run; names the log as well.
            argv: the program, found on the PATH unless it is a path, and its arguments.
            env: added to the environment of the group.
            ready: what `wait_ready` waits for; `None` means ready when started.
            restart: start it again whenever it ends, at most once a second.

        Raises:
            ProcessFailed: a process of that name runs already.
        """
        self._logs.mkdir(parents=True, exist_ok=True)
        with self._lock:
            self._refuse_second(name)
            program = Program(name=name, argv=argv, log=self.log(name), env=self._env_with(env))
            self._supervised[name] = _Supervised(
                child=self._start_child(program),
                started_at=time.monotonic(),
                ready=ready,
                restart=restart,
            )
            if restart:
                self._start_restarter()

    def wait_ready(self, timeout: timedelta = timedelta(seconds=30)) -> None:
        """Return once every process is ready.

        Raises:
            ProcessFailed: one ended, or was not ready within `timeout` (which holds for all
                together); the message shows the end of its log.
        """
        deadline = time.monotonic() + timeout.total_seconds()
        for supervised in self._snapshot():
            if supervised.ready:
                left = timedelta(seconds=max(0.0, deadline - time.monotonic()))
                supervised.child.wait_until_ready(partial(self._check_then, supervised.ready), left)
        self.check()

    def check(self) -> None:
        """Raise `ProcessFailed` if a process ended that nobody killed or will restart."""
        for supervised in self._snapshot():
            if supervised.has_failed:
                child = supervised.child
                raise child.failure(f"ended by itself with exit code {child.exit_code}")

    def send(self, name: str, number: signal.Signals) -> None:
        """Send a process a signal; none if it has ended."""
        with self._lock:
            self._supervised[name].child.send(number)

    def kill(self, name: str) -> None:
        """End one process and its descendants by SIGKILL; it is replaced if it restarts."""
        with self._lock:
            supervised = self._supervised[name]
            supervised.killed = True
            self._end_child(supervised.child)

    def stop(self, timeout: timedelta = timedelta(seconds=15)) -> None:
        """End all: SIGTERM in reverse order of start, then SIGKILL to what is left.

        Args:
            timeout: how long all of them together get between the two. An interruption (a
                second Ctrl-C) cuts it short.
        """
        self._stop_restarter()
        with self._lock, self._killing_the_rest():
            deadline = time.monotonic() + timeout.total_seconds()
            children = self._children_last_first()
            for child in children:
                child.send(child.program.stop_signal)
            for child in children:
                child.wait(timedelta(seconds=deadline - time.monotonic()))

    def pid(self, name: str) -> int:
        """The id of the process that has this name now."""
        return self._supervised[name].child.pid

    def restarts(self, name: str) -> int:
        """How often the process was replaced."""
        return self._supervised[name].restarts

    def last_exit_code(self, name: str) -> int | None:
        """How the process ended that was replaced last; minus the signal if one ended it."""
        return self._supervised[name].last_exit_code

    def log(self, name: str) -> Path:
        """Where the process writes both its outputs."""
        return self._logs / f"{name}.log"

    def _check_then(self, ready: Callable[[], bool]) -> bool:
        """Also notice the death of another one while we wait for this one."""
        self.check()
        return ready()

    def _start_child(self, program: Program) -> Child:
        self._guardian = self._guardian or Guardian()
        child = Child.start(program)
        self._guardian.watch(child.pid)
        return child

    def _end_child(self, child: Child) -> None:
        child.kill()
        if self._guardian:
            self._guardian.forget(child.pid)

    def _snapshot(self) -> list[_Supervised]:
        with self._lock:
            return list(self._supervised.values())

    def _children_last_first(self) -> list[Child]:
        return [supervised.child for supervised in reversed(self._supervised.values())]

    @contextmanager
    def _killing_the_rest(self) -> Iterator[None]:
        try:
            yield
        finally:
            for child in self._children_last_first():
                self._end_child(child)
            self._supervised.clear()
            if self._guardian:
                self._guardian.close()
                self._guardian = None

    def _env_with(self, env: Mapping[str, str] | None) -> Mapping[str, str] | None:
        if env is None:
            return self._env
        if self._env is None:
            raise ValueError("give the group an environment before adding to it")
        return {**self._env, **env}

    def _refuse_second(self, name: str) -> None:
        known = self._supervised.get(name)
        if known and known.child.is_running:
            raise ProcessFailed(f"A process named {name} runs already; choose another name.")

    def _start_restarter(self) -> None:
        if self._restarter is None:
            self._stopping.clear()
            self._restarter = threading.Thread(target=self._restart_for_ever, daemon=True)
            self._restarter.start()

    def _stop_restarter(self) -> None:
        self._stopping.set()
        if self._restarter:
            self._restarter.join()
            self._restarter = None

    def _restart_for_ever(self) -> None:
        while not self._stopping.wait(_RESTART_POLL_SECONDS):
            with self._lock:
                self._replace_the_dead()

    def _replace_the_dead(self) -> None:
        for supervised in self._supervised.values():
            if supervised.is_due_for_restart:
                self._end_child(supervised.child)
                supervised.replace_child(self._start_child(supervised.child.program))
