"""What is said of a database's error: enough to find it, never the row it quotes."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Never

import psycopg.errors
from sqlalchemy.exc import IntegrityError, OperationalError
from structlog.testing import capture_logs

from sender.enforcement import EnforcementQueue
from sender.storage.database import told
from workers.consumer import _repeat
from workers.process import WorkerProcess

QUOTING = IntegrityError(
    "INSERT …", None, psycopg.errors.NotNullViolation("Failing row contains (14155552001).")
)


class Failing:
    """A use case, whichever, that meets a row Postgres refuses."""

    #: How many of its calls fail; those after them succeed.
    failures: int = 1_000_000

    async def work(self, _: int) -> Never:
        """Of the pump."""
        raise QUOTING

    async def resolve(self) -> Never:
        """Of the resolver."""
        raise QUOTING

    async def recall(self) -> Never:
        """Of the recaller."""
        raise QUOTING

    async def chase(self) -> Never:
        """Of the chaser."""
        raise QUOTING

    def kick(self) -> Never:
        """Of the kicker."""
        raise QUOTING

    def sweep(self) -> Never:
        """Of the sweeper."""
        raise QUOTING

    async def async_step(self, _db: object, _ids: Sequence[int]) -> frozenset[int]:
        """Of the enforcement."""
        self.failures -= 1
        if self.failures >= 0:
            raise QUOTING
        return frozenset()

    @property
    def pump(self) -> "Failing":
        """Of a worker."""
        return self

    @property
    def resolver(self) -> "Failing":
        """Of a worker."""
        return self

    @property
    def recaller(self) -> "Failing":
        """Of a worker."""
        return self

    @property
    def chaser(self) -> "Failing":
        """Of a worker."""
        return self


def _process(loop: asyncio.AbstractEventLoop) -> WorkerProcess:
    """A worker process that is open, and all of whose use cases fail."""
    failing: Any = Failing()
    return WorkerProcess(
        build=lambda: failing, _loop=loop, _worker=failing, _kicker=failing, _sweeper=failing
    )


def _queue(failures: int) -> EnforcementQueue:
    failing: Any = Failing()
    failing.failures = failures
    return EnforcementQueue(enforcement=failing, db=failing)


def test_class_and_code() -> None:
    """The class, and Postgres's code where Postgres answered."""
    assert told(QUOTING) == "IntegrityError 23502"
    assert told(OperationalError("SELECT", None, psycopg.OperationalError("x"))) == (
        "OperationalError"
    )
    assert told(TimeoutError("14155552001")) == "TimeoutError"


async def test_tasks_do_not_raise_it() -> None:
    """A task's database error ends in a line of ours: Celery would show its text to all."""
    process = _process(asyncio.get_running_loop())
    with capture_logs() as lines:
        worked = await asyncio.to_thread(process.work, 1)
        await asyncio.to_thread(process.resolve)
        process.kick(lambda _: None, lambda _: None)
        process.sweep()
    assert not worked
    tasks = ["send_slice", "resolve", "recall", "chase", "kick", "sweep"]
    assert [line["task"] for line in lines] == tasks
    assert {line["error"] for line in lines} == {"IntegrityError 23502"}
    assert "14155552001" not in str(lines)


async def test_the_consumer_does_not_quote_it() -> None:
    """A round of the consumer that failed is told of without the row."""
    failed = asyncio.Event()

    async def duty() -> None:
        failed.set()
        raise QUOTING

    with capture_logs() as lines:
        rounds = asyncio.create_task(_repeat(duty, timedelta()))
        await failed.wait()
        rounds.cancel()
        await asyncio.wait({rounds})
    assert [line["error"] for line in lines] == ["IntegrityError 23502"]


async def test_a_duty_of_the_consumer_that_breaks() -> None:
    """What nobody foresaw is told of by class and place, and ends neither it nor the others."""
    failed, going_on = asyncio.Event(), asyncio.Event()

    async def duty() -> None:
        if failed.is_set():
            going_on.set()
        failed.set()
        raise AttributeError("14155552001")

    with capture_logs() as lines:
        async with asyncio.timeout(10):
            rounds = asyncio.create_task(_repeat(duty, timedelta(), bug_pause=timedelta()))
            await going_on.wait()
        assert not rounds.done()
        rounds.cancel()
        await asyncio.wait({rounds})
    said = lines[0]
    assert (said["event"], said["error"]) == ("consumer_duty_broke", "AttributeError")
    assert said["at"].startswith("test_told.py:")
    assert "14155552001" not in str(lines)


async def test_a_failed_round_of_enforcement() -> None:
    """Rounds that fail one after the other leave one line, and fail nobody."""
    with capture_logs() as lines:
        assert await _queue(failures=3).enforced(1, within=timedelta(seconds=20))
    assert [(line["event"], line["error"]) for line in lines] == [
        ("enforcement_round_failed", "IntegrityError 23502")
    ]
