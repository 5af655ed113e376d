"""Hand-offs: a guarded row's way through its slot, its request and its answer to its settlement.

Slots are fewer than guarded rows, by a few (`sender.permits`): a row waits for its own as long as
its guard is good for, and goes back if none comes. Slot and permit are others' as soon as the
answer is there; it is committed later, together with others'.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

import structlog

from sender.budgets import Budget
from sender.config import BEGIN_WITHIN, SEND_DEADLINE
from sender.crashing import CrashPoint, Passing
from sender.domain.message import Guarded, OutboundText
from sender.domain.outcome import TOO_LATE, NotBegun
from sender.domain.provider import HandOff
from sender.domain.rests import Rest
from sender.experience import Experience, Pauses, tell
from sender.inflight import InFlight
from sender.settlement import Handed
from sender.settling import Settler
from sender.storage.slices import SliceWork
from sender.texts import DueText

log = structlog.get_logger(__name__)

#: What becomes of a row that found no slot in its guard's time.
_LATE = NotBegun(why=TOO_LATE)
_BEGIN_WITHIN, _SEND_DEADLINE = BEGIN_WITHIN.total_seconds(), SEND_DEADLINE.total_seconds()


class Gateway(Protocol):
    """Twilio, as the pump sees it."""

    async def send(self, text: OutboundText, *, deadline: float, connect_by: float) -> HandOff:
        """Make one create request, or none; never raises for what the wire does."""


@dataclass(kw_only=True)
class HandOffs:
    """Those of one run over a slice."""

    work: SliceWork
    in_flight: InFlight
    budget: Budget
    settler: Settler
    experience: Experience
    #: How the fleet is told to leave the account alone.
    pauses: Pauses
    passing: Passing
    #: Told when the sender must rest.
    on_rest: Callable[[Rest], None]
    #: Set before the first begins.
    gateway: Gateway = field(init=False)
    #: Of those that have begun, how many have not ended.
    under_way: int = field(default=0, init=False)
    _all_ended: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    #: Of all others the one that is settled last.
    _last: asyncio.Future[None] | None = field(default=None, init=False)

    def begin(self, text: DueText, licence: Guarded, began: float) -> None:
        """Begin one, which gives its permit back itself.

        Args:
            text: what is sent.
            licence: what the guard let pass.
            began: when the window began, by the send clock.
        """
        self.under_way += 1
        self.in_flight.hand_off(_HandOff(self, text, licence, began))

    def ended(self) -> None:
        """One has ended."""
        self.under_way -= 1
        if not self.under_way:
            self._all_ended.set()

    async def all_settled(self) -> None:
        """Wait until what began is settled."""
        while self.under_way:
            self._all_ended.clear()
            await self._all_ended.wait()
        if self._last:
            await asyncio.wait({self._last})

    def answered(
        self, text: DueText, licence: Guarded, hand_off: HandOff, began: float
    ) -> timedelta:
        """Settle one, and let those that come after know; for how long the fleet is to pause."""
        # First of all: whatever goes wrong below, what the provider said is stored.
        self._last = self.settler.submit(Handed(guarded=licence, hand_off=hand_off))
        self.budget.note(hand_off.outcome, text.segments, at=began)
        rest, pause = self.experience.learn(hand_off.outcome, work=self.work, began=began)
        if rest is not None:
            self.on_rest(rest)
        return pause

    def outbound(self, text: DueText) -> OutboundText:
        """A text as the provider gets it."""
        return OutboundText(
            message_id=text.row.id,
            sender=self.work.sender,
            recipient=text.row.recipient,
            body=text.body,
            validity=self.work.validity,
        )


class _HandOff:
    """One row's."""

    __slots__ = ("_began", "_licence", "_run", "_text", "by")

    def __init__(self, run: HandOffs, text: DueText, licence: Guarded, began: float) -> None:
        self._run, self._text, self._licence, self._began = run, text, licence, began
        #: By the send clock.
        self.by = began + _BEGIN_WITHIN

    async def hand_off(self) -> None:
        """Make the request, with a slot for it."""
        run, began = self._run, self._began
        try:
            hand_off = await run.gateway.send(
                run.outbound(self._text), deadline=began + _SEND_DEADLINE, connect_by=self.by
            )
            run.passing(CrashPoint.AFTER_ANSWER)
            pause = run.answered(self._text, self._licence, hand_off, began)
            if pause:
                await tell(run.pauses, run.work.tenant_id, pause)
        finally:
            run.ended()

    def turn_away(self) -> None:
        """No slot came."""
        at = self._licence.guarded_at
        late = HandOff(outcome=_LATE, began_at=at, clock_offset=None)
        self._run.answered(self._text, self._licence, late, self._began)
        self._run.ended()
