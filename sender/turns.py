"""A run's turn on its thread: when it is over, and where waiting for pacing tokens is done.

Threads are few, and a slow sender needs one for hardly any time. So a run waits for its tokens on
the thread only while nobody else could use it; otherwise the *sender* rests in the database until
they are there. Either way it comes back when its bucket is half full: a window then has as many
rows as the pace allows, and no token is lost to a bucket that ran over.
"""

import asyncio
import time
from dataclasses import dataclass, field
from datetime import timedelta

from sender.domain.admission import Pace
from sender.domain.outage import LONGEST_REST
from sender.storage.database import AsyncDatabase
from sender.storage.slices import SliceTable, SliceWork, Waiting

#: Of the rate Twilio gives a sender, how much is used. Twilio's queue then drains faster than it is
#: filled: what a burst leaves there is gone after twenty times its length, and so is what Twilio's
#: own replies to STOP and HELP take. A text that waits there is one that a STOP cannot stop.
BELOW_THE_RATE = 0.95
#: A wait up to this is spent in the run if the thread is not wanted. Longer ones are not worth a
#: thread: the kicker comes once a second, so the sender is back in time.
PATIENCE = timedelta(seconds=2)
#: A turn's end: when other campaigns wait, and in any case before it looks stuck.
SHARE_AFTER = timedelta(seconds=5)
END_AFTER = timedelta(seconds=45)
#: Whether others wait is asked no more often: the question costs more than the window it is
#: asked for.
ASK_EVERY = timedelta(seconds=1)


def pace_of(work: SliceWork) -> Pace:
    """The sender's bucket, a little below its rate: a second's segments, and never fewer than two.

    With one, the time between "a token is there" and "it was asked for" would be lost each time,
    and a sender of one a second would never quite send one a second.

    Raises:
        ValueError: a pace at which nothing could ever be sent, or no number.
    """
    rate = work.segments_per_second * BELOW_THE_RATE
    return Pace(
        tenant_id=work.tenant_id,
        sender_id=work.sender_id,
        rate=rate,
        burst=max(2, round(rate)),
    )


@dataclass(kw_only=True)
class Turn:
    """One run's time."""

    db: AsyncDatabase
    slices: SliceTable
    work: SliceWork
    pace: Pace
    #: Set at shutdown: the turn is over.
    stopping: asyncio.Event
    began: float = field(default_factory=time.monotonic)
    _waiting: Waiting = field(default_factory=Waiting, init=False)
    _asked: float = field(default=float("-inf"), init=False)

    async def is_over(self) -> bool:
        """Whether the run must end before its next window.

        It must at shutdown, as soon as a transactional slice should go instead or its sender has
        its first daily cap (the next run counts), after `SHARE_AFTER` if another campaign waits
        for its thread or for its sender, and after `END_AFTER`.
        """
        age = timedelta(seconds=time.monotonic() - self.began)
        if self.stopping.is_set() or age >= END_AFTER or self._ends(self._waiting):
            return True
        if age < ASK_EVERY:
            return False
        others = await self._others()
        return self._ends(others) or (age >= SHARE_AFTER and others.any)

    def _ends(self, others: Waiting) -> bool:
        """Whether the run ends at once."""
        return others.transactional or (others.capped and not self.work.capped)

    async def wait(self, until_due: timedelta) -> timedelta:
        """Wait here until the pace lets a worthwhile window through, or say how long to rest.

        Args:
            until_due: until the next message is due.

        Returns:
            Zero: go on. Else nothing was waited for: end the run, and rest the sender this long.
        """
        pause = max(until_due, self._half_full)
        others = await self._others()
        if self._ends(others):  # the turn is over; the sender is wanted at once
            return timedelta()
        if pause > PATIENCE or others.other_senders:
            return min(pause, LONGEST_REST)
        await self._sleep(pause)
        return timedelta()

    @property
    def _half_full(self) -> timedelta:
        return timedelta(seconds=self.pace.burst / self.pace.rate / 2)

    async def _sleep(self, pause: timedelta) -> None:
        """Sleep, but not through a shutdown."""
        try:
            async with asyncio.timeout(pause.total_seconds()):
                await self.stopping.wait()
        except TimeoutError:
            return

    async def _others(self) -> Waiting:
        now = time.monotonic()
        if now - self._asked >= ASK_EVERY.total_seconds():
            work, self._asked = self.work, now
            self._waiting = await self.db.run_alone(
                self.slices.others_wait, campaign_id=work.campaign_id, sender_id=work.sender_id
            )
        return self._waiting
