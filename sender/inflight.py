"""One account's requests in flight in one worker process.

Two limits hold at once: the process's, which is its connections, and the account's, which follows
what Twilio refuses (`sender.domain.concurrency`). Everybody takes the account's permits first and
the process's second, so nobody waits in a circle: who holds both waits for nobody.
"""

import random
from collections.abc import Callable
from datetime import timedelta

from sender.domain.concurrency import Allowance
from sender.domain.outcome import Outcome
from sender.permits import Permits

#: By how much longer, in seconds, the account must be left alone than is known already to be worth
#: telling the fleet again: what was refused together asks for the same pause, within a window.
_TOLD_AGAIN = 0.25


class InFlight:
    """Counts and limits them; used on one event loop, by all the slices of the account's senders.

    The process's permits may be closed (`sender.liveness`), and are opened for good at shutdown.
    The account's never are: what holds them is in flight and comes back by its deadline, or waits
    for the process's. So who waits here waits no longer than for those.
    """

    def __init__(self, process: Permits, *, chance: Callable[[], float] = random.random) -> None:
        self._process = process
        self._chance = chance
        self._allowance = Allowance.first(process.total)
        self._own = Permits(self._allowance.limit)
        self._begun = 0
        self._paused_until = float("-inf")

    @property
    def limit(self) -> int:
        """How many the account is believed to bear from this process."""
        return self._own.total

    async def take(self, wanted: int) -> int:
        """Wait in both lines for permits; returns how many were taken, at most ``wanted``."""
        own = await self._own.take(wanted)
        taken = 0
        try:
            taken = await self._process.take(own)
        finally:
            self._own.give_back(own - taken)
        return taken

    def give_back(self, count: int) -> None:
        """Return permits that nothing was begun with."""
        self._process.give_back(count)
        self._own.give_back(count)

    def begin(self) -> None:
        """A request begins, with one of the permits that were taken."""
        self._begun += 1

    def end(self) -> None:
        """It was answered and settled, or is given up: its permit is returned."""
        self._begun -= 1
        self.give_back(1)

    def answered(self, outcome: Outcome, *, begun: float, at: float) -> timedelta:
        """Adapt to the answer of a request that has not ended yet.

        Args:
            outcome: what the provider said.
            begun: when its window began, with its permits taken.
            at: now, by the same clock in seconds.

        Returns:
            For how long the whole fleet must be told to leave the account alone; zero if it need
            not be, or was told so already.
        """
        before = self._allowance
        self._allowance = before.after(outcome, begun=begun, at=at, in_flight=self._begun)
        if self._allowance.limit != before.limit:
            self._own.resize(self._allowance.limit)
        pause = before.pause(outcome, begun=begun, chance=self._chance())
        if not pause or at + pause.total_seconds() < self._paused_until + _TOLD_AGAIN:
            return timedelta()
        self._paused_until = at + pause.total_seconds()
        return pause
