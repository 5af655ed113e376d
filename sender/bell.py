"""Rings for what the consumer does as soon as anything waits for it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from sender.storage import waiting
from sender.storage.database import AsyncDatabase


class Ring:
    """Rings for one duty."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Something waits."""
        self._event.set()

    async def answer(self, duty: Callable[[], Awaitable[object]]) -> None:
        """Wait until it rings, then do the duty once; what that raises reaches the caller."""
        await self._event.wait()
        try:
            await duty()
        finally:
            # After it: between rounds that take long lies the bell's pause, too.
            self._event.clear()


@dataclass(frozen=True, kw_only=True)
class Bell:
    """One question for several duties, to be asked again and again; for one event loop.

    It rings for as long as something waits: a duty that failed is rung for once more, and so is
    what came while one was at work.
    """

    db: AsyncDatabase
    #: Opt-outs that are stored and not enforced.
    opt_outs: Ring = field(default_factory=Ring)
    #: Scrubs that are due.
    scrubs: Ring = field(default_factory=Ring)

    async def ask(self) -> None:
        """Ask once.

        Raises:
            DatabaseError: Postgres cannot be asked.
        """
        found = await self.db.run_alone(waiting.look)
        for ring, waits in ((self.opt_outs, found.opt_outs), (self.scrubs, found.scrubs)):
            if waits:
                ring.ring()
