"""Settles hand-offs in batches: one commit for whatever was answered in a few milliseconds."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from sender.settlement import Handed, Settlement
from sender.storage.database import AsyncDatabase, DatabaseError

log = structlog.get_logger(__name__)

#: Answers are gathered this long: a commit costs far more than the wait, and what a crash leaves
#: in doubt grows with it.
GATHER = timedelta(milliseconds=15)
#: The most rows in one commit.
BATCH = 200
#: While Postgres is down answers are kept in memory and tried again this often, this long. After
#: that the rows stay ``sending``, become ``in_doubt`` and are resolved by their callbacks.
RETRY_EVERY = timedelta(seconds=1)
RETRY_FOR = timedelta(minutes=5)


@dataclass
class Settler:
    """The settling end of one worker process."""

    settlement: Settlement
    db: AsyncDatabase
    _buffer: list[tuple[Handed, asyncio.Future[None]]] = field(default_factory=list)
    _flusher: asyncio.Task[None] | None = None

    async def settled(self, handed: Handed) -> None:
        """Return once this hand-off's outcome is committed (or given up on, with a log line)."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._buffer.append((handed, future))
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush())
        await future

    async def _flush(self) -> None:
        while self._buffer:
            await asyncio.sleep(GATHER.total_seconds())
            batch, self._buffer = self._buffer[:BATCH], self._buffer[BATCH:]
            await self._settle([handed for handed, _ in batch])
            for _, future in batch:
                if not future.done():
                    future.set_result(None)

    async def _settle(self, batch: Sequence[Handed]) -> None:
        give_up_at = asyncio.get_running_loop().time() + RETRY_FOR.total_seconds()
        while True:
            try:
                await self.settlement.settle(self.db, batch)
            except DatabaseError as exc:
                if asyncio.get_running_loop().time() > give_up_at:
                    ids = [str(one.guarded.message_id) for one in batch]
                    log.error("settlement_given_up", messages=ids, error=type(exc).__name__)
                    return
                log.warning("settlement_delayed", rows=len(batch), error=type(exc).__name__)
                await asyncio.sleep(RETRY_EVERY.total_seconds())
            else:
                return
