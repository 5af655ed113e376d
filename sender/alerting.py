"""Delivers alerts: each a signed POST to the operator's address, repeated until it is taken."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from sender.config import Settings
from sender.posting import Poster, Posts
from sender.storage import alerts
from sender.storage.alerts import Alert
from sender.storage.database import AsyncDatabase

log = structlog.get_logger(__name__)

#: Alerts delivered in one round.
AT_A_TIME = 10
#: How long one is tried; an alert of yesterday helps nobody.
PATIENCE = timedelta(hours=24)


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Alerting:
    """Tells whoever is to be told. Without an address alerts are kept and logged only."""

    db: AsyncDatabase
    poster: Posts
    url: str
    secret: str
    now: Callable[[], datetime] = _now

    @classmethod
    @asynccontextmanager
    async def open(cls, db: AsyncDatabase, settings: Settings) -> AsyncIterator["Alerting"]:
        """As the settings say, with connections that last for the block."""
        secret = settings.alert_secret.get_secret_value()
        async with Poster.open(allow_private=settings.test_faults) as poster:
            yield cls(db=db, poster=poster, url=settings.alert_url, secret=secret)

    async def deliver(self) -> int:
        """Deliver the alerts that are due; how many were taken.

        One may come twice (its answer was lost): receivers tell by ``id``.
        """
        if not self.url:
            return 0
        due = await self.db.run(alerts.claim, limit=AT_A_TIME, patience=PATIENCE)
        return sum([await self._deliver(one) for one in due])

    async def _deliver(self, alert: Alert) -> bool:
        error = await self.poster.post(self.url, _body(alert), secret=self.secret, at=self.now())
        if error:
            log.warning("alert_not_delivered", alert=alert.id, tries=alert.tries, error=error)
            await self.db.run(alerts.failed, alert.id, error)
            return False
        await self.db.run(alerts.delivered, alert.id)
        return True


def _body(alert: Alert) -> bytes:
    """What the receiver reads; no numbers, no texts."""
    content = {
        "id": alert.id,
        "kind": alert.kind.value,
        "tenant": alert.tenant,
        "campaign": {"id": alert.campaign_id, "name": alert.campaign},
        "at": alert.created_at.isoformat(),
        "detail": alert.detail,
    }
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
