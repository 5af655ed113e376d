"""What a refused webhook leaves behind: a count, a line now and then, an alarm where one is due.

A STOP that we refuse reaches nobody; without a trace, nobody would know either.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

import structlog

from sender.seldom import Seldom
from sender.storage import incidents
from sender.storage.database import AsyncDatabase, DatabaseError, told
from sender.storage.texts import storable
from workers import metrics

log = structlog.get_logger(__name__)

#: Anybody can call us: neither the log nor the table of alarms grows faster than this, a reason.
LINE_EVERY = timedelta(seconds=1)
ALARM_EVERY = timedelta(minutes=1)


class Refused(StrEnum):
    """Why a webhook was refused before anything was done."""

    #: Not signed by Twilio with one of our tokens, or over another URL than ours.
    SIGNATURE = "signature"
    #: The body is larger than any webhook's.
    TOO_LARGE = "too_large"
    #: No form, or it did not arrive whole: who sent it cannot be known.
    UNREADABLE = "unreadable"
    #: Signed, but without a field that Twilio always sends.
    MALFORMED = "malformed"
    #: Signed, but no tenant has its account.
    UNKNOWN_ACCOUNT = "unknown_account"
    #: An event that is signed by one account and tells of another's messages.
    FOREIGN_EVENT = "foreign_event"


STATUS = {
    Refused.SIGNATURE: 403,
    Refused.TOO_LARGE: 413,
    Refused.UNREADABLE: 400,
    Refused.MALFORMED: 400,
    Refused.UNKNOWN_ACCOUNT: 404,
    Refused.FOREIGN_EVENT: 404,
}

#: Those that Twilio certainly sent: a person must look. The others may be anybody's.
ALARMING = frozenset({Refused.MALFORMED, Refused.UNKNOWN_ACCOUNT, Refused.FOREIGN_EVENT})


@dataclass(frozen=True, kw_only=True)
class Refusals:
    """One webhook process's refusals."""

    db: AsyncDatabase
    lines: Seldom = field(default_factory=lambda: Seldom(LINE_EVERY))
    alarms: Seldom = field(default_factory=lambda: Seldom(ALARM_EVERY))

    async def refuse(self, why: Refused, **detail: str) -> int:
        """Leave the traces of a refusal; the HTTP status to answer.

        Args:
            why: what is wrong with the webhook.
            detail: for the operator; no numbers, no texts. An alarm keeps it, a line does not.
        """
        metrics.REFUSED.labels(why.value).inc()
        if self.lines.is_time(why):
            log.warning("webhook_refused", why=why.value)
        if why in ALARMING and self.alarms.is_time(why):
            await self._raise_alarm(f"webhook_{why}", detail)
        return STATUS[why]

    async def _raise_alarm(self, kind: str, detail: Mapping[str, str]) -> None:
        try:
            kept = {name: storable(value) for name, value in detail.items()}
            await self.db.run(incidents.raise_alarm, kind, kept)
        except DatabaseError as exc:
            log.error("alarm_not_stored", kind=kind, error=told(exc))
