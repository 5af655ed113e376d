"""Permits for rows on their way to the provider: a limit that is shared, and taken in turn."""

import asyncio
from collections import deque

from sender.slots import Slots


class Permits:
    """A counting semaphore that is taken by the window, in turn.

    A few more rows may be guarded than requests made at a time: they wait for a *slot* each, so
    that none is idle while the next window is looked up and guarded.

    Waiting for a worthwhile batch keeps windows large: taking single permits as they come back
    would make every guard a statement for one row.

    While it is closed, nobody takes any: whoever asks waits in line until it is opened.
    """

    #: A window is not begun with fewer permits than this, unless fewer are wanted or exist.
    WORTHWHILE = 64

    def __init__(self, total: int, *, ahead: int = 0) -> None:
        """So many slots, and permits for as many rows and ``ahead`` more."""
        self.slots = Slots(total)
        #: How many slots there were at first.
        self.most = total
        self._rows = total + ahead
        self._worthwhile = self._least()
        self._free = self._rows
        self._line: deque[tuple[int, asyncio.Future[int]]] = deque()
        self._closed = False
        self._open_for_good = False

    @property
    def total(self) -> int:
        """How many requests there may be at a time."""
        return self.slots.total

    @property
    def ahead(self) -> int:
        """How many more rows may be guarded."""
        return self._rows - self.total

    @property
    def rows(self) -> int:
        """For how many rows there are permits, taken or not."""
        return self._rows

    def resize(self, total: int, *, ahead: int = 0) -> None:
        """Change how many there are. Of what is taken nothing is taken back."""
        self.slots.resize(total)
        self.bound(total + ahead)

    def bound(self, rows: int) -> None:
        """Change for how many rows there are permits, and leave the slots as they are."""
        self._free += rows - self._rows
        self._rows = rows
        self._worthwhile = self._least()
        self._serve()

    async def take(self, wanted: int) -> int:
        """Wait in line for permits; returns how many were taken, at most ``wanted``."""
        enough = self._enough(wanted)
        if self._closed or self._line or self._free < enough:
            enough = await self._turn(wanted)
        else:
            self._free -= enough
        more = 0 if self._line else max(0, min(wanted - enough, self._free))
        self._free -= more
        return enough + more

    def give_back(self, count: int) -> None:
        """Return permits, to whoever is first in line."""
        self._free += count
        if self._line:
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

    def _enough(self, wanted: int) -> int:
        """With how many a window is begun."""
        return min(wanted, self._worthwhile)

    def _least(self) -> int:
        return min(self.WORTHWHILE, max(1, min(self.total, self._rows) // 2))

    def _serve(self) -> None:
        """Set permits aside for as many at the head of the line as there are permits for."""
        while not self._closed and self._line:
            wanted, turn = self._line[0]
            enough = self._enough(wanted)
            if self._free < enough:
                return
            self._line.popleft()
            if not turn.done():
                self._free -= enough
                turn.set_result(enough)

    async def _turn(self, wanted: int) -> int:
        """Wait until enough permits have been set aside for the caller; how many."""
        turn: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._line.append((wanted, turn))
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back(turn.result())
            raise
