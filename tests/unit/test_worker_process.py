"""A worker process's event loop begins and ends with it.

What a worker changes it changes for its whole process (log lines, the garbage collector), so each
of these has one of its own.
"""

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from types import SimpleNamespace
from typing import Any

import pytest
from celery.bootsteps import TERMINATE
from celery.worker import state

from workers.process import WorkerProcess
from workers.shutdown import SettlingWorker

#: Seconds that a process may take to start and to end.
WITHIN = 60


@dataclass
class _Runtime:
    """Opens a worker, or fails to."""

    failure: Exception | None = None
    closed: list[str] = field(default_factory=list)
    settings: Any = field(
        default_factory=lambda: SimpleNamespace(log_level="WARNING", slices=2, reserved_slices=1)
    )

    @asynccontextmanager
    async def worker(self, name: str) -> AsyncIterator[Any]:
        """One that notes that it was closed."""
        if self.failure:
            raise self.failure
        yield SimpleNamespace(stop=lambda: None)
        self.closed.append(name)


class _Request:
    """A task that runs, as Celery knows it."""


def _process(runtime: Any) -> WorkerProcess:
    return WorkerProcess(build=lambda: runtime)


def _threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "send"]


def _opened_and_closed() -> None:
    runtime = _Runtime()
    worker = _process(runtime)
    worker.on_init()
    assert len(_threads()) == 1
    worker.on_shutting_down()
    worker.on_shutdown()
    assert len(runtime.closed) == 1
    worker.on_shutdown()
    assert not _threads()


def _not_opened() -> None:
    with pytest.raises(ValueError, match="no database"):
        _process(_Runtime(failure=ValueError("no database"))).on_init()
    assert not _threads()


def _exit_code(life: Callable[[], None]) -> int | None:
    """How a process ends that does this."""
    process = get_context("spawn").Process(target=life)
    process.start()
    process.join(WITHIN)
    process.kill()
    return process.exitcode


@pytest.mark.parametrize("life", [_opened_and_closed, _not_opened])
def test_the_thread_ends_with_the_worker(life: Callable[[], None]) -> None:
    """A worker that is closed, or never opened, leaves nothing that could wake without Python."""
    assert _exit_code(life) == 0


def test_a_worker_that_was_never_started() -> None:
    """There is nothing to end."""
    worker = _process(_Runtime())
    worker.on_shutting_down()
    worker.on_shutdown()


@pytest.mark.parametrize("is_busy", [False, True])
def test_a_cold_end(is_busy: bool) -> None:  # noqa: FBT001  # pytest's
    """Celery tells of a warm end only; whoever ends cold closes too, unless tasks still run."""
    closed: list[str] = []
    worker = SettlingWorker.__new__(SettlingWorker)
    worker.blueprint = SimpleNamespace(state=TERMINATE)  # Celery's part is done
    worker.app = SimpleNamespace(
        sender_process=SimpleNamespace(on_shutdown=lambda: closed.append("ours"))
    )
    running = _Request()
    if is_busy:
        state.active_requests.add(running)
    try:
        worker.terminate()
    finally:
        state.active_requests.discard(running)
    assert bool(closed) is not is_busy
