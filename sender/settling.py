"""Settles hand-offs in batches: one commit for whatever was answered in a few milliseconds."""

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta

import structlog

from sender.batching import Batcher
from sender.crashing import CrashPoint, Passing, pass_by
from sender.settlement import Handed, Settlement
from sender.storage.database import AsyncDatabase, DatabaseError, is_passing, told

log = structlog.get_logger(__name__)

#: Answers are gathered this long: a commit costs far more than the wait, and what a crash leaves
#: in doubt grows with it.
GATHER = timedelta(milliseconds=30)
#: The most rows in one commit.
LARGEST = 200
#: While Postgres is down answers are kept in memory and tried again this often, this long. After
#: that the rows stay ``sending``, become ``in_doubt`` and are resolved by their callbacks.
RETRY_EVERY = timedelta(seconds=1)
RETRY_FOR = timedelta(minutes=5)


class Settler:
    """The settling end of one worker process."""

    def __init__(
        self, settlement: Settlement, db: AsyncDatabase, passing: Passing = pass_by
    ) -> None:
        self._settlement = settlement
        self._passing = passing
        self._db = db
        self._batches: Batcher[Handed, None] = Batcher(
            work=self._settle, gather=GATHER, largest=LARGEST
        )

    def submit(self, handed: Handed) -> asyncio.Future[None]:
        """Settle a hand-off; done once that is committed, or given up on with a log line.

        In turn: once one is done, so are all that were submitted before it.
        """
        return self._batches.submit(handed)

    async def room(self) -> None:
        """Return once there is room for a window's answers.

        Slots are free before answers are committed. Where commits fall behind, or fail, no more is
        begun than a crash may leave in doubt.
        """
        while self._batches.waiting > LARGEST:  # noqa: ASYNC110  # rare, and not for long
            await asyncio.sleep(GATHER.total_seconds())

    async def _settle(self, batch: Sequence[Handed]) -> Sequence[None]:
        """Commit a batch, however long Postgres is away, within reason."""
        self._passing(CrashPoint.BEFORE_SETTLE)
        give_up_at = time.monotonic() + RETRY_FOR.total_seconds()
        while not await self._try(batch):
            if time.monotonic() > give_up_at:
                ids = [str(one.guarded.message_id) for one in batch]
                log.error("settlement_given_up", messages=ids)
                break
            await asyncio.sleep(RETRY_EVERY.total_seconds())
        self._passing(CrashPoint.AFTER_SETTLE)
        return [None] * len(batch)

    async def _try(self, batch: Sequence[Handed]) -> bool:
        try:
            await self._settlement.settle(self._db, batch)
        except DatabaseError as exc:
            if not is_passing(exc):
                return await self._one_by_one(batch, exc)
            log.warning("settlement_delayed", rows=len(batch), error=told(exc))
            return False
        return True

    async def _one_by_one(self, batch: Sequence[Handed], exc: DatabaseError) -> bool:
        """Keep a row that Postgres refuses from holding up the others; it becomes a doubt."""
        if len(batch) == 1:
            message_id = str(batch[0].guarded.message_id)
            log.error("settlement_refused", message=message_id, error=told(exc))
            return True
        return all([await self._try([one]) for one in batch])
