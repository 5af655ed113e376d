"""Emptying what was kept of people's words; what must stay to keep them suppressed stays."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import text

from sender.storage.database import Transaction

#: Rows emptied in one transaction.
AT_A_TIME = 5_000

_EVIDENCE = text("""
    UPDATE consent_evidence v
    SET content = NULL, salt = NULL, erased_at = clock_timestamp(), erased_by = :author
    WHERE v.event_id IN (
        SELECT e.id FROM consent_event e JOIN consent_evidence x ON x.event_id = e.id
        WHERE x.content IS NOT NULL AND e.tenant_id = :tenant_id
          AND (CAST(:recipient AS bigint) IS NULL OR e.recipient = :recipient)
          AND (CAST(:age AS interval) IS NULL OR e.received_at < now() - CAST(:age AS interval))
          AND NOT EXISTS (
            -- Words that nobody has read yet are still needed to decide on them.
            SELECT FROM suppression s
            WHERE s.tenant_id = e.tenant_id AND s.recipient = e.recipient
              AND s.scope = e.scope AND s.reason = 'review' AND e.reason = 'review')
        LIMIT :limit)
""")
_INBOUND = text("""
    UPDATE inbound SET body = '', raw = '{}', reply = '', erased_at = clock_timestamp()
    WHERE sid IN (
        SELECT sid FROM inbound
        WHERE erased_at IS NULL AND tenant_id = :tenant_id
          AND (CAST(:recipient AS bigint) IS NULL OR recipient = :recipient)
          AND (CAST(:age AS interval) IS NULL OR received_at < now() - CAST(:age AS interval))
        LIMIT :limit)
""")
_FIELDS = text("""
    UPDATE message m SET fields = NULL
    WHERE m.id IN (
        SELECT x.id FROM message x JOIN campaign c ON c.id = x.campaign_id
        WHERE x.fields IS NOT NULL AND c.tenant_id = :tenant_id
          AND x.state = ANY (CAST(:over AS text[]))
          AND (CAST(:recipient AS bigint) IS NULL OR x.recipient = :recipient)
          AND (CAST(:age AS interval) IS NULL
               OR coalesce(c.completed_at, c.deadline_at) < now() - CAST(:age AS interval))
        LIMIT :limit)
""")


@dataclass(frozen=True, kw_only=True)
class Extent:
    """Whose words go, and which."""

    tenant_id: int
    #: ``None`` for everybody.
    recipient: int | None
    #: Only what is older; ``None`` for all.
    age: timedelta | None


def erase_evidence(tx: Transaction, extent: Extent, *, author: str) -> int:
    """Empty the evidence in the log's keeping; how many events', at most a batch."""
    values = {**vars(extent), "author": author, "limit": AT_A_TIME}
    return tx.execute(_EVIDENCE, values).rowcount


def erase_inbound(tx: Transaction, extent: Extent) -> int:
    """Empty what people texted to us; how many messages, at most a batch."""
    return tx.execute(_INBOUND, {**vars(extent), "limit": AT_A_TIME}).rowcount


def erase_fields(tx: Transaction, extent: Extent, *, over: Sequence[str]) -> int:
    """Empty the audience's columns in messages in these states; how many, at most a batch."""
    values = {**vars(extent), "over": list(over), "limit": AT_A_TIME}
    return tx.execute(_FIELDS, values).rowcount
