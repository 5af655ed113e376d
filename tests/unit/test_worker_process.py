"""A worker process's event loop begins and ends with it."""

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from celery.apps.worker import Worker

from sender import logs
from workers import process, shutdown
from workers.process import WorkerProcess
from workers.shutdown import SettlingWorker


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


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a worker changes for its whole process stays as it is."""
    monkeypatch.setattr(process, "collect_rarely", lambda: None)
    monkeypatch.setattr(logs, "configure", lambda _: None)
    yield
    assert not _threads()


def _process(runtime: Any) -> WorkerProcess:
    return WorkerProcess(build=lambda: runtime)


def _threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "send"]


def test_the_thread_ends_with_the_process() -> None:
    """Once a worker is closed nothing of it runs that could wake when the interpreter is gone."""
    runtime = _Runtime()
    worker = _process(runtime)
    worker.on_init()
    assert len(_threads()) == 1
    worker.on_shutting_down()
    worker.on_shutdown()
    assert len(runtime.closed) == 1
    worker.on_shutdown()


def test_it_ends_where_the_worker_does_not_open() -> None:
    """A worker that cannot be opened leaves no thread behind either."""
    with pytest.raises(ValueError, match="no database"):
        _process(_Runtime(failure=ValueError("no database"))).on_init()


def test_a_worker_that_was_never_opened() -> None:
    """There is nothing to end."""
    worker = _process(_Runtime())
    worker.on_shutting_down()
    worker.on_shutdown()


@pytest.mark.parametrize(("running", "closes"), [((), 1), (("slice",), 0)])
def test_a_cold_end(monkeypatch: pytest.MonkeyPatch, running: tuple[str, ...], closes: int) -> None:
    """Celery tells of a warm end only; whoever ends cold closes too, unless tasks still run."""
    closed: list[str] = []
    monkeypatch.setattr(Worker, "terminate", lambda *_: closed.append("celery"))
    monkeypatch.setattr(shutdown.state, "active_requests", set(running))
    worker = SettlingWorker.__new__(SettlingWorker)
    worker.app = SimpleNamespace(
        sender_process=SimpleNamespace(on_shutdown=lambda: closed.append("ours"))
    )
    worker.terminate()
    assert closed == ["celery", *["ours"] * closes]
