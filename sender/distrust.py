"""Notices that nothing at the webhooks is signed as it should be: a wrong token refuses each STOP.

Forged requests look the same from here, so that what is told leaves it open, and is told seldom.
"""

import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from sender.storage import alerts
from sender.storage.alerts import AlertKind
from sender.storage.database import AsyncDatabase, DatabaseError, told

log = structlog.get_logger(__name__)

#: So many refusals in that time, and not one good signature: one text is refused a dozen times, at
#: both URLs with all repeats, while a forger cannot keep Twilio's own requests from being good.
ENOUGH = 10
WITHIN = timedelta(minutes=5)
#: No process tells of a tenant more often, nor does the fleet raise more alerts.
TELL_EVERY = timedelta(minutes=1)
ALERT_EVERY = timedelta(hours=1)

WHAT = (
    "no request to the webhooks in this tenant's name was signed with one of its auth tokens: "
    "either the token or PUBLIC_BASE_URL is wrong, and every STOP is refused, or somebody forges "
    "requests"
)

#: Tells of a tenant.
Tell = Callable[[int], Awaitable[None]]


@dataclass(kw_only=True)
class Distrust:
    """One process's signatures, good and bad, by the tenant in whose name they are."""

    tell: Tell
    clock: Callable[[], float] = time.monotonic
    _good_at: dict[int, float] = field(default_factory=dict)
    _told_at: dict[int, float] = field(default_factory=dict)
    _bad: defaultdict[int, deque[float]] = field(
        default_factory=lambda: defaultdict(lambda: deque(maxlen=ENOUGH))
    )

    def good(self, tenant_id: int) -> None:
        """One was signed as it should be."""
        self._good_at[tenant_id] = self.clock()

    async def bad(self, tenant_id: int) -> None:
        """One was not; tells of it where that makes too many."""
        now, latest = self.clock(), self._bad[tenant_id]
        latest.append(now)
        many = len(latest) == ENOUGH and now - latest[0] <= WITHIN.total_seconds()
        if (
            many
            and not _since(self._good_at.get(tenant_id), now, WITHIN)
            and not _since(self._told_at.get(tenant_id), now, TELL_EVERY)
        ):
            self._told_at[tenant_id] = now
            await self.tell(tenant_id)


def _since(at: float | None, now: float, length: timedelta) -> bool:
    return at is not None and now - at < length.total_seconds()


def alerting(db: AsyncDatabase) -> Tell:
    """Tells by an alert and a line in the log; where none can be stored requests are answered."""

    async def tell(tenant_id: int) -> None:
        detail = {"refused": ENOUGH, "within_seconds": int(WITHIN.total_seconds()), "what": WHAT}
        kind = AlertKind.WEBHOOKS_REFUSED
        try:
            is_new = await db.run(
                alerts.raise_for_tenant, kind, tenant_id, detail=detail, every=ALERT_EVERY
            )
        except DatabaseError as exc:
            log.error("alert_not_stored", kind=kind.value, error=told(exc))
            return
        if is_new:
            log.error("webhooks_refused", tenant=tenant_id, what=WHAT)

    return tell
