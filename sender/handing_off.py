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
from sender.domain.outcome import TOO_LATE, NotBegun, Outcome
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
    #: Those whose answers are not there yet.
    _tasks: set[asyncio.Task[None]] = field(default_factory=set, init=False)
    #: Of all others the one that is settled last.
    _last: asyncio.Future[None] | None = field(default=None, init=False)

    def begin(self, text: DueText, licence: Guarded, began: float) -> None:
        """Start one, which gives its permit back itself.

        Args:
            text: what is sent.
            licence: what the guard let pass.
            began: when the window began, by the send clock.
        """
        task = asyncio.create_task(self._hand_off(text, licence, began))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def all_settled(self) -> None:
        """Wait until what began is settled."""
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._last:
            await asyncio.wait({self._last})

    async def _hand_off(self, text: DueText, licence: Guarded, began: float) -> None:
        connect_by = began + _BEGIN_WITHIN
        begins = await self.in_flight.begin(by=connect_by)
        try:
            if begins:
                hand_off = await self.gateway.send(
                    self._outbound(text, licence),
                    deadline=began + _SEND_DEADLINE,
                    connect_by=connect_by,
                )
                self.passing(CrashPoint.AFTER_ANSWER)
            else:
                hand_off = HandOff(outcome=_LATE, began_at=licence.guarded_at, clock_offset=None)
            # First of all: whatever goes wrong below, what the provider said is stored.
            handed = Handed(guarded=licence, hand_off=hand_off)
            self._last = self.settler.submit(handed)
            self.budget.note(hand_off.outcome, text.segments, at=began)
            if pause := self._learn(hand_off.outcome, began):
                await tell(self.pauses, self.work.tenant_id, pause)
        finally:
            if begins:
                self.in_flight.end()

    def _outbound(self, text: DueText, licence: Guarded) -> OutboundText:
        return OutboundText(
            message_id=licence.message_id,
            sender=self.work.sender,
            recipient=text.row.recipient,
            body=text.body,
            validity=self.work.validity,
        )

    def _learn(self, outcome: Outcome, began: float) -> timedelta:
        """Let those that come after know of an answer; for how long the fleet is to pause."""
        rest, pause = self.experience.learn(outcome, work=self.work, began=began)
        if rest is not None:
            self.on_rest(rest)
        return pause
