"""A worker process's event loop begins and ends with it."""

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from sender import logs
from workers import process
from workers.process import WorkerProcess


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


def test_it_ends_where_the_worker_does_not_open() -> None:
    """A worker that cannot be opened leaves no thread behind either."""
    with pytest.raises(ValueError, match="no database"):
        _process(_Runtime(failure=ValueError("no database"))).on_init()


def test_a_worker_that_was_never_opened() -> None:
    """There is nothing to end."""
    worker = _process(_Runtime())
    worker.on_shutting_down()
    worker.on_shutdown()
