"""Asks Twilio's log about the people whose 21610 nobody expected: what did they text, and when.

In the background, a few at a time, never on the send path. It changes no consent: a STOP that was
missed is applied by whoever pulls the log, and the block that Twilio reported suppresses already.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from sender import causes
from sender.domain.incident import OPEN_CAUSES, Because, LoggedKeyword
from sender.domain.keywords import Keyword, classify
from sender.domain.provider import MessageRecord
from sender.errors import ConfigurationError, ProviderUnavailable
from sender.storage import consent, incidents, senders
from sender.storage.database import AsyncDatabase, Transaction
from sender.storage.incidents import DueLook

log = structlog.get_logger(__name__)

#: Incidents looked into in one round; each is one question to Twilio.
AT_A_TIME = 5
#: Between the looks into one incident, the first of which comes a minute after it: Twilio's log may
#: show a STOP late. What is proven by then is not looked into again.
PAUSES = (timedelta(minutes=10), timedelta(hours=1), timedelta(hours=6), timedelta(hours=24))
#: How far back Twilio's log is read: it keeps 400 days at most.
REACH = timedelta(days=400)

_KEYWORDS = {Keyword.STOP: True, Keyword.START: False, Keyword.YES: False}


class ProviderLog(Protocol):
    """Twilio's log of messages."""

    async def list_from(self, recipient: int, since: datetime) -> list[MessageRecord]:
        """Messages that one person sent us since then."""


class ProviderLogs(Protocol):
    """Each tenant's log."""

    async def of(self, tenant_id: int) -> ProviderLog:
        """The tenant's log; ``ConfigurationError`` where it cannot sign in."""


@dataclass(frozen=True, kw_only=True)
class Investigation:
    """Completes the evidence of incidents with what Twilio's own log says."""

    db: AsyncDatabase
    providers: ProviderLogs

    async def investigate(self) -> int:
        """Look into the incidents that are due, a few; how many Twilio answered about."""
        due = await self.db.run(incidents.claim_looks, limit=AT_A_TIME, pauses=PAUSES)
        return sum([await self._try(one) for one in due])

    async def _try(self, due: DueLook) -> bool:
        """Look into one; what goes wrong with it keeps nobody from the others."""
        try:
            return await self._look(due)
        except Exception as exc:  # noqa: BLE001  # whatever it is: it was put off, and is told
            log.error("investigation_failed", incident=due.id, error=type(exc).__name__)
            return False

    async def _look(self, due: DueLook) -> bool:
        try:
            provider = await self.providers.of(due.tenant_id)
            records = await provider.list_from(due.recipient, due.began_at - REACH)
        except (ProviderUnavailable, ConfigurationError) as exc:
            log.warning("incident_not_investigated", incident=due.id, error=str(exc))
            return False
        await self.db.run(_apply, due, records)
        return True


def _apply(tx: Transaction, due: DueLook, records: Sequence[MessageRecord]) -> None:
    person = {"tenant_id": due.tenant_id, "recipient": due.recipient}
    consent.lock_person(tx, **person)
    incidents.keep_log(tx, due.id, _keywords(tx, due, records))
    causes.retrace(tx, **person, because=Because.PROVIDER_LOG)
    incidents.ask_no_more(tx, due.id, unless=OPEN_CAUSES)


def _keywords(
    tx: Transaction, due: DueLook, records: Sequence[MessageRecord]
) -> list[LoggedKeyword]:
    """The STOPs and STARTs among what they texted, oldest first."""
    own = frozenset(senders.scopes_of(tx, due.sender_id))
    found = [(one, _KEYWORDS.get(classify(one.body))) for one in records]
    return [
        LoggedKeyword(
            sid=one.sid,
            at=one.date_created,
            is_stop=is_stop,
            to_sender=bool(own & _scopes_of(tx, one)),
        )
        for one, is_stop in sorted(found, key=lambda pair: pair[0].date_created)
        if is_stop is not None
    ]


def _scopes_of(tx: Transaction, record: MessageRecord) -> frozenset[int]:
    """What a block at the address that was texted covers, as far as we know the address."""
    known = [senders.find(tx, one) for one in (record.to, record.service_sid) if one]
    return frozenset(
        scope for one in known if one is not None for scope in senders.scopes_of(tx, one.id)
    )
