"""What Twilio knows and its webhooks do not say: when a STOP or START was received."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import structlog

from sender import causes
from sender.domain.consent import Suppression
from sender.domain.incident import Because
from sender.domain.keywords import Keyword
from sender.domain.provider import MessageRecord
from sender.errors import ConfigurationError, ProviderUnavailable
from sender.storage import consent, inbound
from sender.storage.database import AsyncDatabase, Transaction
from sender.storage.inbound import Undated

log = structlog.get_logger(__name__)

#: Messages asked about in one round; each is one request.
AT_A_TIME = 50
#: After so many questions, over about a day, a record is gone: deleted or redacted.
LOOKUPS = 35


class ProviderLog(Protocol):
    """Twilio's log of messages."""

    async def fetch(self, sid: str) -> MessageRecord | None:
        """One message's record, ``None`` if there is none."""


class SuppressionCache(Protocol):
    """The Redis set: best effort, it never raises. A wrong hit left in it is repaired on use."""

    async def add(self, entries: Iterable[Suppression]) -> None:
        """Make these numbers hit at once."""

    async def forget(self, scopes: Sequence[tuple[int, int]], recipients: Sequence[int]) -> None:
        """Take these numbers out of these (tenant, scope) pairs."""


class ProviderLogs(Protocol):
    """Each tenant's log."""

    async def of(self, tenant_id: int) -> ProviderLog:
        """The tenant's log; ``ConfigurationError`` where it cannot sign in."""


@dataclass(frozen=True, kw_only=True)
class ProviderTimes:
    """Fetches the provider times of keywords, and folds again what they change.

    Until a STOP's time is known it counts as latest, and a START does not lift yet: whoever
    answered START waits for this, never the other way round.
    """

    db: AsyncDatabase
    providers: ProviderLogs
    cache: SuppressionCache

    async def fetch(self) -> int:
        """Date the keywords that are due; how many were."""
        found = 0
        for undated in await self.db.run_alone(inbound.undated, limit=AT_A_TIME):
            found += await self._date(undated)
        return found

    async def _date(self, undated: Undated) -> bool:
        at = await self._ask(undated)
        if at is None:
            await self.db.run(inbound.postpone_lookup, undated.sid)
            return False
        known, active = await self.db.run(_apply, undated, at)
        lifted = known - {(one.tenant_id, one.scope) for one in active}
        await self.cache.add(active)
        await self.cache.forget(sorted(lifted), [undated.recipient])
        return True

    async def _ask(self, undated: Undated) -> datetime | None:
        try:
            provider = await self.providers.of(undated.tenant_id)
            return _time_of(undated, await provider.fetch(undated.sid))
        except (ProviderUnavailable, ConfigurationError) as exc:
            log.warning("provider_time_unknown", sid=undated.sid, error=str(exc))
            return None


def _time_of(undated: Undated, record: MessageRecord | None) -> datetime | None:
    """The provider's time; for an opt-out whose record is gone for good, when we received it.

    That is later than the truth, so it suppresses for longer, never for shorter. A START
    without a record never lifts.
    """
    if record is not None:
        return record.date_created
    gone = undated.keyword != Keyword.START and undated.lookups >= LOOKUPS
    return undated.received_at if gone else None


def _apply(
    tx: Transaction, undated: Undated, at: datetime
) -> tuple[set[tuple[int, int]], list[Suppression]]:
    """Record the time and fold anew: the (tenant, scope) pairs concerned, and what is active."""
    person = {"tenant_id": undated.tenant_id, "recipient": undated.recipient}
    consent.lock_person(tx, **person)
    inbound.set_provider_time(tx, undated.sid, at)
    causes.retrace(tx, **person, because=Because.KEYWORD_DATED)
    active = consent.refold(tx, **person)
    known = {(event.tenant_id, event.scope) for event in consent.history(tx, **person)}
    return known, sorted(active, key=lambda one: one.scope)
