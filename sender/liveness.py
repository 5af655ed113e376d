"""A worker's sign of life: an advisory lock, held on a connection of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import structlog

from sender.storage import workers
from sender.storage.database import AsyncDatabase, DatabaseError

log = structlog.get_logger(__name__)

#: How often the lock's connection is tried, and how soon a lost one is replaced.
CHECK_EVERY = timedelta(seconds=1)


@asynccontextmanager
async def living(db: AsyncDatabase, *, name: str, slices: int) -> AsyncIterator[int]:
    """Register a worker and hold its lock while the block runs; yields its id.

    A lost connection is replaced. Meanwhile the sweeper may call this worker's rows in doubt,
    which costs certainty, never a second text: their outcomes are still accepted.
    """
    worker_id = await db.run(workers.register, name=name, slices=slices)
    holding = asyncio.Event()
    keeper = asyncio.create_task(_keep(db, worker_id, holding))
    try:
        await holding.wait()
        yield worker_id
    finally:
        keeper.cancel()
        with suppress(asyncio.CancelledError):
            await keeper


async def _keep(db: AsyncDatabase, worker_id: int, holding: asyncio.Event) -> None:
    while True:
        try:
            async with db.session() as session:
                await session.run(workers.hold_lock, worker_id)
                holding.set()
                while True:
                    await asyncio.sleep(CHECK_EVERY.total_seconds())
                    await session.ping()
        except (DatabaseError, OSError) as exc:
            log.warning("worker_lock_lost", worker=worker_id, error=type(exc).__name__)
            await asyncio.sleep(CHECK_EVERY.total_seconds())
