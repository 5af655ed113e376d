"""The webhook app's signs of life, beside its requests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog

from sender.errors import SenderError
from sender.heartbeat import Heartbeat
from sender.storage.database import DatabaseError, told
from workers import metrics

log = structlog.get_logger(__name__)


@asynccontextmanager
async def beating(heartbeat: Heartbeat) -> AsyncIterator[None]:
    """Give signs of life while the block runs, where anybody waits for them."""
    if not heartbeat.is_demanded:
        yield
        return
    task = asyncio.create_task(_beat_for_ever(heartbeat))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _beat_for_ever(heartbeat: Heartbeat) -> None:
    """Beginning one pause after the start: who cannot listen ends before that, however often."""
    has_started = False
    while True:
        await asyncio.sleep(heartbeat.rhythm.beat_every.total_seconds())
        try:
            if not has_started:
                await heartbeat.start()
                has_started = True
            metrics.SENDERS_IN_GAP.set(await heartbeat.beat())
        except (DatabaseError, SenderError, OSError) as exc:
            log.warning("sign_of_life_failed", source=heartbeat.source.value, error=told(exc))
