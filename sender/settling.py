"""Settles hand-offs in batches: whatever was answered in a few milliseconds, together."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from sender.crashing import CrashPoint, Passing, pass_by
from sender.settlement import Handed, Settlement
from sender.storage.database import AsyncDatabase, DatabaseError, is_passing, told

log = structlog.get_logger(__name__)

#: Answers are gathered this long: a commit costs far more than the wait, and what a crash leaves
#: in doubt grows with it.
GATHER = timedelta(milliseconds=30)
#: The most rows of a batch.
LARGEST = 200
#: While Postgres is down answers are kept in memory and tried again this often, this long. After
#: that the rows stay ``sending``, become ``in_doubt`` and are resolved by their callbacks.
RETRY_EVERY = timedelta(seconds=1)
RETRY_FOR = timedelta(minutes=5)


@dataclass(kw_only=True)
class _Batch:
    """Answers that are settled together."""

    rows: list[Handed] = field(default_factory=list)
    #: Everybody's, so that an answer costs no future of its own.
    done: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    @property
    def is_full(self) -> bool:
        return len(self.rows) >= LARGEST


class Settler:
    """The settling end of one worker process."""

    def __init__(
        self, settlement: Settlement, db: AsyncDatabase, passing: Passing = pass_by
    ) -> None:
        self._settlement = settlement
        self._passing = passing
        self._db = db
        #: Those that are not being committed yet; the last one may still grow.
        self._batches: deque[_Batch] = deque()
        self._running: asyncio.Task[None] | None = None

    def submit(self, handed: Handed) -> asyncio.Future[None]:
        """Settle a hand-off; done once that is committed, or given up on with a log line.

        In turn: once one is done, so are all that were submitted before it. Others wait for the
        same future, so nobody may cancel it.
        """
        if not self._batches or self._batches[-1].is_full:
            self._batches.append(_Batch())
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        batch = self._batches[-1]
        batch.rows.append(handed)
        return batch.done

    async def room(self) -> None:
        """Return once there is room for a window's answers.

        Slots are free before answers are committed. Where commits fall behind, or fail, no more is
        begun than a crash may leave in doubt.
        """
        while self._waiting > LARGEST:  # noqa: ASYNC110  # rare, and not for long
            await asyncio.sleep(GATHER.total_seconds())

    @property
    def _waiting(self) -> int:
        return sum(len(batch.rows) for batch in self._batches)

    async def _run(self) -> None:
        while self._batches:
            if not self._batches[0].is_full:
                await asyncio.sleep(GATHER.total_seconds())
            batch = self._batches.popleft()
            try:
                await self._settle(batch.rows)
            except Exception as exc:  # noqa: BLE001  # told to whoever waits; the others go on
                batch.done.set_exception(exc)
            else:
                batch.done.set_result(None)

    async def _settle(self, batch: Sequence[Handed]) -> None:
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

    async def _try(self, batch: Sequence[Handed]) -> bool:
        try:
            await self._settlement.settle(self._db, batch)
        except UnicodeEncodeError as exc:  # a text that cannot even be written down
            return await self._one_by_one(batch, exc)
        except DatabaseError as exc:
            if not is_passing(exc):
                return await self._one_by_one(batch, exc)
            log.warning("settlement_delayed", rows=len(batch), error=told(exc))
            return False
        return True

    async def _one_by_one(self, batch: Sequence[Handed], exc: Exception) -> bool:
        """Keep a row that Postgres refuses from holding up the others; it becomes a doubt."""
        if len(batch) == 1:
            message_id = str(batch[0].guarded.message_id)
            log.error("settlement_refused", message=message_id, error=told(exc))
            return True
        return all([await self._try([one]) for one in batch])
