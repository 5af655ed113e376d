"""Requests in flight: one limit for a worker process, shared by all its slices."""

import asyncio
from collections import deque


class Permits:
    """A counting semaphore that is taken by the window.

    Waiting for a worthwhile batch keeps windows large: taking single permits as they come back
    would make every guard a statement for one row.
    """

    #: A window is not begun with less than this many permits, unless fewer are wanted or exist.
    WORTHWHILE = 16

    def __init__(self, total: int) -> None:
        self._free = total
        self._worthwhile = min(self.WORTHWHILE, max(1, total // 2))
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, wanted: int) -> int:
        """Wait for permits, in turn; between a worthwhile batch and ``wanted`` of them."""
        enough = min(wanted, self._worthwhile)
        if self._waiting or self._free < enough:
            await self._turn(enough)
        taken = min(wanted, self._free)
        self._free -= taken
        self._wake()
        return taken

    def give_back(self, count: int) -> None:
        """Return permits."""
        self._free += count
        self._wake()

    async def _turn(self, enough: int) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((enough, future))
        try:
            await future
        finally:
            if not future.done() or future.cancelled():
                self._waiting = deque(one for one in self._waiting if one[1] is not future)
                self._wake()

    def _wake(self) -> None:
        """Call the first in line once there is enough for it; it takes before it yields again."""
        while self._waiting and self._free >= self._waiting[0][0]:
            _, future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
                return
