"""One account's requests in flight in one worker process.

Two limits hold at once: the process's, which is its connections, and the account's, which follows
what Twilio refuses (`sender.domain.concurrency`). Everybody takes the account's permits first and
the process's second, so nobody waits in a circle: who holds both waits for nobody.
"""

import random
from collections.abc import Callable
from datetime import timedelta

from sender.domain.concurrency import Allowance
from sender.domain.outcome import Outcome, Throttled
from sender.permits import Permits

#: By how much longer, in seconds, the account must be left alone than is known already to be worth
#: telling the fleet again: what was refused together asks for the same pause, within a window.
_TOLD_AGAIN = 0.25
#: Of each answer's time, how much of it enters the mean.
_NEWEST = 0.1
#: Seconds that an answer takes on the mean, from which no row is guarded ahead: it could have to
#: wait for its slot for longer than a guard is good for.
_SLOW = 1.0
_NO_PAUSE = timedelta()


class InFlight:
    """Counts and limits them; used on one event loop, by all the slices of the account's senders.

    The process's permits may be closed (`sender.liveness`), and are opened for good at shutdown.
    The account's never are: what holds them is in flight and comes back by its deadline, or waits
    for the process's. So who waits here waits no longer than for those.
    """

    def __init__(
        self, process: Permits, *, ahead: int = 0, chance: Callable[[], float] = random.random
    ) -> None:
        """At most ``ahead`` rows are guarded before there are slots for them."""
        self._process = process
        self._most_ahead = ahead
        self._chance = chance
        #: Seconds from a window's beginning to an answer, the latest ones counting most.
        self.mean = 0.0
        self._allowance = Allowance.first(process.most)
        self._own = Permits(self._allowance.limit, ahead=self._ahead)
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

    @property
    def _ahead(self) -> int:
        """So many that they wait for no more than half of what an answer takes."""
        return 0 if self.mean > _SLOW else min(self._most_ahead, self._allowance.limit // 2)

    async def begin(self, *, by: float) -> bool:
        """Wait for the slots of a request, with one of the permits that were taken.

        Args:
            by: by the send clock, until when it must have begun.

        Returns:
            Whether it may begin; else its permit was given back.
        """
        own, process, has_own, begins = self._own.slots, self._process.slots, False, False
        try:
            has_own = own.take_now() or await own.take(by=by)
            begins = has_own and (process.take_now() or await process.take(by=by))
        finally:  # who is cancelled in line takes nothing along
            if begins:
                self._begun += 1
            else:
                if has_own:
                    own.give_back()
                self.give_back(1)
        return begins

    def end(self) -> None:
        """It was answered, or is given up: its slots and its permit are returned."""
        self._begun -= 1
        self._own.slots.give_back()
        self._process.slots.give_back()
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
        before, was_slow = self._allowance, self.mean > _SLOW
        self._allowance = before.after(outcome, begun=begun, at=at, in_flight=self._begun)
        self.mean += _NEWEST * (at - begun - self.mean)
        if self._allowance is not before or (self.mean > _SLOW) is not was_slow:
            self._own.resize(self._allowance.limit, ahead=self._ahead)
        if not isinstance(outcome, Throttled):
            return _NO_PAUSE
        pause = before.pause(outcome, begun=begun, chance=self._chance())
        if not pause or at + pause.total_seconds() < self._paused_until + _TOLD_AGAIN:
            return _NO_PAUSE
        self._paused_until = at + pause.total_seconds()
        return pause
