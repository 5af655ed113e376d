"""What nobody else would do is tried again through an absence of Postgres."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog

from sender.storage.database import DatabaseError, is_passing, told

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long an absence is waited out."""

    #: How often it is tried while the absence alone is to blame.
    attempts: int
    #: How often when the process is to end, or Postgres is there and refuses it.
    few: int = 30
    pause: timedelta = timedelta(seconds=1)


async def through_absence(
    work: Callable[[], Awaitable[object]],
    *,
    patience: Patience,
    stopping: asyncio.Event,
    what: str,
) -> bool:
    """Do it until it succeeds; whether it did.

    Args:
        work: a transaction that is harmless when it is committed twice: an answer that was lost
            counts as a failure.
        patience: how often it is tried.
        stopping: set at shutdown.
        what: names it in the log, which tells of an absence once.
    """
    attempt = 0
    while True:
        attempt += 1
        try:
            await work()
        except DatabaseError as exc:
            if attempt == 1:
                log.warning("database_waited_for", what=what, error=told(exc))
            may_pass = is_passing(exc) and not stopping.is_set()
            if attempt >= (patience.attempts if may_pass else patience.few):
                log.error("database_given_up", what=what, error=told(exc), attempts=attempt)
                return False
            await asyncio.sleep(patience.pause.total_seconds())
        else:
            return True
