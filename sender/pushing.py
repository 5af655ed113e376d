"""Tells Twilio of our opt-outs, so that its own block stands behind ours.

Opt-ins are never told: lifting a suppression here must not override Twilio's record of a STOP. The
platform-wide list is the operator's and is not told in tenants' names. An opt-out told for a
toll-free number does no harm; its network keeps a record of its own.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from math import ceil
from typing import Protocol

from sender.domain.pushing import CALLS_A_MINUTE, ITEMS_A_CALL, ItemAnswer, OptOutItem
from sender.errors import ProviderBusy
from sender.storage import pushes
from sender.storage.database import AsyncDatabase
from sender.storage.pushes import Place

#: How often an item that Twilio itself failed on is told again.
ATTEMPTS = 3
#: Between two calls, so that no minute has more than are allowed.
_PAUSE = timedelta(minutes=1) / CALLS_A_MINUTE


class Consents(Protocol):
    """Twilio's Consent API."""

    async def opt_out(self, items: Sequence[OptOutItem]) -> list[ItemAnswer]:
        """Tell of at most 25 opt-outs; ``ProviderBusy`` when there were too many calls."""


@dataclass(frozen=True, kw_only=True)
class PushPlan:
    """What a push would do."""

    #: Opt-outs to tell, by sender.
    items: dict[str, int]

    @property
    def calls(self) -> int:
        """How many calls that takes."""
        return ceil(sum(self.items.values()) / ITEMS_A_CALL)

    @property
    def minutes(self) -> int:
        """How long it takes at the rate Twilio allows."""
        return ceil(self.calls / CALLS_A_MINUTE)


@dataclass
class PushReport:
    """What a push did."""

    told: int = 0
    #: Items that Twilio refused for good, by its words.
    refused: Counter[str] = field(default_factory=Counter)
    #: Items that Twilio failed on every time: the next push tells them again.
    left_over: int = 0


@dataclass(frozen=True, kw_only=True)
class Pushes:
    """One tenant's opt-outs, told to Twilio. Broken off, the next push goes on."""

    db: AsyncDatabase
    tenant_id: int
    consents: Consents
    #: Waits so many seconds.
    sleep: Callable[[float], Awaitable[object]]

    async def plan(self) -> PushPlan:
        """What there is to tell; nothing is sent or written."""
        return PushPlan(items=await self.db.run(pushes.counts, self.tenant_id))

    async def push(self, *, progress: Callable[[int], object] = lambda _: None) -> PushReport:
        """Tell all that Twilio does not know; every call's answers are kept at once.

        Raises:
            ProviderUnavailable: Twilio gave no readable answer; what was told before is kept.
        """
        report, place, done = PushReport(), Place(), 0
        while items := await self._next(place):
            await self._tell(items, report)
            done += len(items)
            place = Place(sender_id=items[-1].sender_id, recipient=items[-1].recipient)
            progress(done)
        return report

    async def _next(self, place: Place) -> list[OptOutItem]:
        return await self.db.run(pushes.to_tell, self.tenant_id, place, limit=ITEMS_A_CALL)

    async def _tell(self, items: list[OptOutItem], report: PushReport) -> None:
        waiting = {item.correlation_id: item for item in items}
        for _ in range(ATTEMPTS):
            answers = await self._call(list(waiting.values()))
            final = [
                (waiting.pop(one.correlation_id), one)
                for one in answers
                if one.correlation_id in waiting and not one.may_go_again
            ]
            if final:
                await self.db.run(pushes.record, final)
            for _, answer in final:
                report.told += not answer.error
                if answer.error:
                    report.refused[answer.error] += 1
            if not waiting:
                return
        report.left_over += len(waiting)

    async def _call(self, items: Sequence[OptOutItem]) -> list[ItemAnswer]:
        while True:
            await self.sleep(_PAUSE.total_seconds())
            try:
                return await self.consents.opt_out(items)
            except ProviderBusy as busy:
                await self.sleep(busy.wait.total_seconds())
