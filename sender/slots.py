"""Slots for requests at the provider: who has a row guarded waits for one, in turn and briefly."""

import asyncio
from collections import deque
from collections.abc import Callable

from sender.send_clock import send_clock


class Slots:
    """A counting semaphore that is taken one by one, and waited for until a given moment only."""

    def __init__(self, total: int, *, clock: Callable[[], float] = send_clock) -> None:
        self._total = total
        self._free = total
        self._clock = clock
        #: In the order of their windows, and so of their moments.
        self._line: deque[tuple[float, asyncio.Future[bool]]] = deque()
        self._alarm: asyncio.TimerHandle | None = None

    @property
    def total(self) -> int:
        """How many there are, taken or not."""
        return self._total

    def resize(self, total: int) -> None:
        """Change how many there are. Of what is taken nothing is taken back."""
        self._free += total - self._total
        self._total = total
        self._serve()

    def take_now(self) -> bool:
        """Take one if one is free that nobody waits for; whether it was got."""
        if self._free <= 0 or self._line:
            return False
        self._free -= 1
        return True

    async def take(self, *, by: float) -> bool:
        """Wait in line for one.

        Args:
            by: by the send clock; nobody waits for longer.

        Returns:
            Whether it was got.
        """
        if self.take_now():
            return True
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._line.append((by, turn))
        self._watch()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.result():
                self.give_back()
            raise

    def give_back(self) -> None:
        """Return one, to whoever is first in line."""
        self._free += 1
        if self._line:
            self._serve()

    def _serve(self) -> None:
        while self._free > 0 and self._line:
            _, turn = self._line.popleft()
            if not turn.done():
                self._free -= 1
                turn.set_result(True)

    def _watch(self) -> None:
        """Come back when the first in line has waited for long enough."""
        if self._alarm is None and self._line:
            left = max(0.0, self._line[0][0] - self._clock())
            self._alarm = asyncio.get_running_loop().call_later(left, self._turn_away)

    def _turn_away(self) -> None:
        """Send those away whose moment has passed."""
        self._alarm, now = None, self._clock()
        while self._line and (self._line[0][1].done() or self._line[0][0] <= now):
            _, turn = self._line.popleft()
            if not turn.done():
                turn.set_result(False)
        self._watch()
