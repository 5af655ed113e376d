"""Requests in flight: one limit for a worker process, shared by all its slices."""

import asyncio
from collections import deque


class Permits:
    """A counting semaphore that is taken by the window, in turn.

    Waiting for a worthwhile batch keeps windows large: taking single permits as they come back
    would make every guard a statement for one row.

    While it is closed, nobody takes any: whoever asks waits in line until it is opened.
    """

    #: A window is not begun with fewer permits than this, unless fewer are wanted or exist.
    WORTHWHILE = 16

    def __init__(self, total: int) -> None:
        self._free = total
        self._worthwhile = min(self.WORTHWHILE, max(1, total // 2))
        self._line: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._closed = False
        self._open_for_good = False

    async def take(self, wanted: int) -> int:
        """Wait in line for permits; returns how many were taken, at most ``wanted``."""
        enough = min(wanted, self._worthwhile)
        if self._closed or self._line or self._free < enough:
            await self._turn(enough)
        else:
            self._free -= enough
        more = 0 if self._line else min(wanted - enough, self._free)
        self._free -= more
        return enough + more

    def give_back(self, count: int) -> None:
        """Return permits, to whoever is first in line."""
        self._free += count
        self._serve()

    def close(self) -> None:
        """Let nobody begin anything until `open`; what was taken may be finished."""
        self._closed = not self._open_for_good

    def open(self, *, for_good: bool = False) -> None:
        """Let those in line go on.

        Args:
            for_good: at shutdown: nobody may wait for another `open` that never comes.
        """
        self._open_for_good |= for_good
        self._closed = False
        self._serve()

    def _serve(self) -> None:
        """Set permits aside for as many at the head of the line as there are permits for."""
        while not self._closed and self._line and self._free >= self._line[0][0]:
            enough, turn = self._line.popleft()
            if not turn.done():
                self._free -= enough
                turn.set_result(None)

    async def _turn(self, enough: int) -> None:
        """Wait until ``enough`` permits have been set aside for the caller."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append((enough, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back(enough)
            raise
