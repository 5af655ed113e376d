"""How long an absence of Postgres is waited out by those who alone know what is to be done."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from sqlalchemy.exc import OperationalError, ProgrammingError

from sender.absence import Patience, through_absence
from sender.config import LEASE
from sender.sending import CLOSE_PATIENCE
from sender.storage.database import DatabaseError

AWAY = OperationalError("UPDATE", {}, Exception("the server is away"))
REFUSED = ProgrammingError("UPDATE", {}, Exception("no such column"))
PATIENCE = Patience(attempts=50, few=5, pause=timedelta())


@dataclass
class Work:
    """Fails so often."""

    failures: int
    error: DatabaseError = field(default=AWAY)
    attempts: int = 0

    async def __call__(self) -> None:
        """Try it once more."""
        self.attempts += 1
        if self.attempts <= self.failures:
            raise self.error


async def _try(work: Work, *, is_stopping: bool = False) -> bool:
    stopping = asyncio.Event()
    if is_stopping:
        stopping.set()
    return await through_absence(work, patience=PATIENCE, stopping=stopping, what="a test")


@pytest.mark.parametrize("failures", [0, 1, 49])
async def test_it_is_done_once_the_absence_is_over(failures: int) -> None:
    """What failed before is done then, and once."""
    work = Work(failures)
    assert await _try(work)
    assert work.attempts == failures + 1


async def test_it_is_given_up_in_the_end() -> None:
    """An absence beyond all patience ends it."""
    work = Work(50)
    assert not await _try(work)
    assert work.attempts == 50


@pytest.mark.parametrize(("error", "is_stopping"), [(AWAY, True), (REFUSED, False)])
async def test_a_few_attempts_where_more_are_of_no_use(
    error: DatabaseError, *, is_stopping: bool
) -> None:
    """A process that is to end, or a server that refuses, is not waited for so long."""
    work = Work(50, error)
    assert not await _try(work, is_stopping=is_stopping)
    assert work.attempts == 5


def test_a_slice_is_given_back_within_its_lease() -> None:
    """Whoever alone knows that nobody works on a slice tries as long as that could be believed."""
    assert CLOSE_PATIENCE.attempts * CLOSE_PATIENCE.pause >= LEASE
