"""Whether the process could store a STOP now, asked of the database seldom, whoever asks us."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from sender.errors import SenderError
from sender.storage.database import AsyncDatabase, DatabaseError
from sender.storage.migrate import require_still_usable

#: How long an answer holds. Anybody may ask; STOPs are stored over the same connections.
HOLDS = timedelta(seconds=1)


@dataclass(kw_only=True)
class Readiness:
    """One answer for all who ask at the same time, over one connection."""

    db: AsyncDatabase
    clock: Callable[[], float] = time.monotonic
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _answer: bool = False
    _holds_until: float = float("-inf")

    async def is_ready(self) -> bool:
        """Whether the database is there and of a schema that this release can work on."""
        async with self._asking:
            if self.clock() >= self._holds_until:
                self._answer = await self._ask()
                self._holds_until = self.clock() + HOLDS.total_seconds()
            return self._answer

    async def _ask(self) -> bool:
        try:
            await self.db.run(require_still_usable)
        except (DatabaseError, SenderError):
            return False
        return True
