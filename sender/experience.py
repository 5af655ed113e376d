"""What one process has met with at the provider lately, and what follows for those that come after.

It is learnt anew by each process and lost with it: it costs requests that are refused again.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

import structlog

from sender.domain.outage import Streak
from sender.domain.outcome import Outcome, QueueFull
from sender.domain.rests import Rest, RestReason
from sender.errors import PacingUnavailable
from sender.inflight import InFlight
from sender.permits import Permits
from sender.send_clock import send_clock
from sender.storage.slices import SliceWork

log = structlog.get_logger(__name__)

#: Rows of an account that are guarded before there is a slot for their requests, at most. A window
#: is looked up and guarded while as many requests are answered; more would only grow older.
AHEAD = 64
_NO_STREAK = Streak()


class Pauses(Protocol):
    """How the fleet is told to leave an account alone."""

    async def pause(self, tenant_id: int, length: timedelta) -> None:
        """Have no worker begin anything of it for so long."""


@dataclass(frozen=True, kw_only=True)
class Experience:
    """By sender and by account; shared by all of a process's slices."""

    #: By sender: its failures in a row, once there were some.
    streaks: dict[int, Streak] = field(default_factory=dict)
    #: By tenant: its account's requests in flight.
    accounts: dict[int, InFlight] = field(default_factory=dict)

    def account(self, tenant_id: int, permits: Permits) -> InFlight:
        """The tenant's requests in flight in this process, within its permits."""
        if tenant_id not in self.accounts:
            self.accounts[tenant_id] = InFlight(permits, ahead=AHEAD)
        return self.accounts[tenant_id]

    def is_outage(self, sender_id: int) -> bool:
        """Whether the provider is asked with one message of this sender only."""
        return self._streak(sender_id).is_outage

    def learn(
        self, outcome: Outcome, *, work: SliceWork, began: float
    ) -> tuple[Rest | None, timedelta]:
        """Learn from an answer.

        Args:
            outcome: what the provider said.
            work: whose message it was.
            began: when its window began, by the send clock in seconds.

        Returns:
            How long its sender must rest, if it must, and for how long the whole fleet must be told
            to leave its account alone; mostly not at all.
        """
        now, before = send_clock(), self._streak(work.sender_id)
        streak = before.after(outcome, at=now)
        if streak is not before:
            self.streaks[work.sender_id] = streak
        pause = self.accounts[work.tenant_id].answered(outcome, begun=began, at=now)
        return _rest(outcome, streak, now), pause

    def _streak(self, sender_id: int) -> Streak:
        return self.streaks.get(sender_id, _NO_STREAK)


def _rest(outcome: Outcome, streak: Streak, at: float) -> Rest | None:
    if isinstance(outcome, QueueFull):
        return Rest(length=outcome.retry_after, why=RestReason.QUEUE_FULL)
    length = streak.rest(at=at)
    return Rest(length=length, why=RestReason.OUTAGE) if length else None


async def tell(pauses: Pauses, tenant_id: int, length: timedelta) -> None:
    """Have everybody leave an account alone, as far as Redis is there to be told."""
    log.warning("account_paused", tenant=tenant_id, seconds=length.total_seconds())
    try:
        await pauses.pause(tenant_id, length)
    except PacingUnavailable as exc:  # it is asked again, refuses again, and is told of again
        log.warning("pause_not_told", tenant=tenant_id, error=str(exc))
