"""A worker's pulse: a hint to itself alone, again and again, and the notes that tell of it.

``sender.domain.pulse`` says what the notes mean.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version

import structlog

from sender.domain.pulse import PULSE_EVERY
from sender.storage import workers
from sender.storage.database import AsyncDatabase, DatabaseError, told

log = structlog.get_logger(__name__)

#: How long publishing may take until it counts as failed; no shorter than the broker's own limit.
PUBLISH_WITHIN = timedelta(seconds=10)
#: How soon the next one follows where a note could not be written: a worker whose pulses nobody
#: noted while Postgres was away looks stuck when it is back.
NOTE_AGAIN = timedelta(seconds=1)


@dataclass(kw_only=True)
class Pulse:
    """One worker process's pulse, on its event loop."""

    db: AsyncDatabase
    worker_id: int
    #: Of the code that this process runs.
    version: str = ""
    every: timedelta = PULSE_EVERY
    within: timedelta = PUBLISH_WITHIN
    _publishing: asyncio.Task[bool] | None = field(default=None, init=False)

    async def beat(self, publish: Callable[[int], bool]) -> None:
        """Publish pulses until cancelled.

        Args:
            publish: takes the worker's id and says whether the broker took the hint; never raises.
                It may block, for it has a thread of its own.
        """
        while True:
            published = await self._publish(publish)
            noted = await self._note(published=published)
            pause = self.every if noted else NOTE_AGAIN
            await asyncio.sleep(pause.total_seconds())

    async def hear(self, worker_id: int) -> None:
        """Note that a pulse was run; another worker's counts for nothing."""
        if worker_id == self.worker_id:
            await self.db.run(workers.note_heard, worker_id)

    async def _publish(self, publish: Callable[[int], bool]) -> bool:
        """Publish one within the limit. While an earlier one hangs, no second is begun."""
        if self._publishing is None:
            self._publishing = asyncio.create_task(asyncio.to_thread(publish, self.worker_id))
        done, _ = await asyncio.wait({self._publishing}, timeout=self.within.total_seconds())
        if not done:
            return False
        self._publishing = None
        return done.pop().result()

    async def _note(self, *, published: bool) -> bool:
        note, version = workers.note_pulse, self.version
        try:
            await self.db.run(note, self.worker_id, sent=published, version=version)
        except DatabaseError as exc:
            log.warning("pulse_not_noted", worker=self.worker_id, error=told(exc))
            return False
        return True


def installed_version() -> str:
    """Of this package; empty where it runs without being installed."""
    try:
        return version("bulk-sms-sender")
    except PackageNotFoundError:
        return ""
