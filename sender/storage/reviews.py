"""Inbound messages that may be opt-outs, until a person has read them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from sender.storage.database import Transaction


@dataclass(frozen=True, kw_only=True)
class Doubtful:
    """One message of somebody who is held for review."""

    #: Its consent event; the latest one's names the review.
    event_id: int
    recipient: int
    #: The suppressions of reason ``review`` that it led to.
    scopes: tuple[int, ...]
    #: The person's words; empty if they were erased.
    text: str
    #: The address it was sent to.
    sender: str
    received_at: datetime
    #: By the provider's clock; ``None`` while that is unknown.
    provider_at: datetime | None


_DOUBTFUL = """
    SELECT min(e.id) AS event_id, e.recipient, array_agg(e.scope ORDER BY e.scope) AS scopes,
           coalesce(min(v.content ->> 'text'), '') AS text,
           coalesce(min(v.content ->> 'sender'), '') AS sender,
           min(e.received_at) AS received_at, min(t.provider_at) AS provider_at
    FROM suppression s
    JOIN consent_event e ON e.tenant_id = s.tenant_id AND e.recipient = s.recipient
     AND e.scope = s.scope AND e.reason = 'review' AND e.direction = 'opt_out'
    LEFT JOIN consent_evidence v ON v.event_id = e.id
    LEFT JOIN consent_time t ON t.source_id = e.source_id
    WHERE s.tenant_id = :tenant_id AND s.reason = 'review'
      AND (CAST(:recipient AS bigint) IS NULL OR s.recipient = :recipient)
      AND NOT EXISTS (
        SELECT FROM consent_event c
        WHERE c.tenant_id = e.tenant_id AND c.recipient = e.recipient AND c.scope = e.scope
          AND c.direction = 'opt_in' AND c.reason = 'review' AND c.id > e.id)
    GROUP BY e.recipient, e.source_id
    ORDER BY e.recipient, min(e.id)
"""
_QUEUE = text(_DOUBTFUL)
_WAITING = text("""
    SELECT m.recipient, count(*) AS messages
    FROM message m JOIN campaign c ON c.id = m.campaign_id
    WHERE m.recipient = ANY (CAST(:recipients AS bigint[])) AND c.tenant_id = :tenant_id
      AND m.state = 'pending'
    GROUP BY m.recipient
""")
_PERSON = text("""
    SELECT recipient FROM consent_event
    WHERE id = :id AND tenant_id = :tenant_id AND reason = 'review' AND direction = 'opt_out'
""")


def doubtful(tx: Transaction, *, tenant_id: int, recipient: int | None = None) -> list[Doubtful]:
    """The undecided messages of everybody held for review (or of one person), by person."""
    found = tx.execute(_QUEUE, {"tenant_id": tenant_id, "recipient": recipient}).mappings()
    return [Doubtful(**{**row, "scopes": tuple(row["scopes"])}) for row in found]


def waiting(tx: Transaction, *, tenant_id: int, recipients: Sequence[int]) -> dict[int, int]:
    """How many messages to each of these people wait for the decision."""
    found = tx.execute(_WAITING, {"tenant_id": tenant_id, "recipients": list(recipients)})
    return {row.recipient: row.messages for row in found}


def person_of(tx: Transaction, *, tenant_id: int, event_id: int) -> int | None:
    """Whose message led to this event; ``None`` if it is no review of the tenant's."""
    found = tx.execute(_PERSON, {"tenant_id": tenant_id, "id": event_id}).scalar_one_or_none()
    return None if found is None else int(found)
