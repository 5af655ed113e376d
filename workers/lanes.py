"""A bound for one kind of work, so that a crowd of it leaves room for the other kinds."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from sender.errors import SenderError


class Crowded(SenderError):  # noqa: N818  # as in sender.errors
    """There was no place in time. Answer 503; Twilio repeats."""


@dataclass(kw_only=True)
class Lane:
    """At most so many at a time; the others wait in line, in their order, and not for ever."""

    places: int
    #: How long one waits for a place.
    within: timedelta
    _free: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._free = asyncio.Semaphore(self.places)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place for as long as the block runs.

        Raises:
            Crowded: none became free in time.
        """
        try:
            async with asyncio.timeout(self.within.total_seconds()):
                await self._free.acquire()
        except TimeoutError as exc:
            raise Crowded("no place became free in time") from exc
        try:
            yield
        finally:
            self._free.release()
