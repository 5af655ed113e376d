"""What others need to know about one message and its campaign."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import TextClause, text

from sender.domain.message import State
from sender.storage.database import Transaction


@dataclass(frozen=True, kw_only=True)
class MessageFacts:
    """What a callback or an audit needs to know about one row and its campaign."""

    id: UUID
    campaign_id: int
    tenant_id: int
    sender_id: int
    #: The From number or Messaging Service SID, and its kind.
    sender: str
    sender_kind: str
    recipient: int
    state: State
    reason: str
    sid: str | None
    guarded_at: datetime | None
    account_sid: str | None
    #: Whether the tenant's number health has an entry for the recipient.
    has_health: bool = False


#: The number's health is one look into a primary key a message. It is no EXISTS, because the
#: planner may answer one by reading the whole table into a hash.
_FACTS = text("""
    SELECT m.id, m.campaign_id, c.tenant_id, c.sender_id, s.address AS sender,
           s.kind AS sender_kind, m.recipient, m.state, m.reason, m.sid, m.guarded_at,
           t.account_sid,
           (SELECT true FROM number_health n
            WHERE n.tenant_id = c.tenant_id AND n.recipient = m.recipient) IS NOT NULL AS has_health
    FROM message m
    JOIN campaign c ON c.id = m.campaign_id
    JOIN sender s ON s.id = c.sender_id
    JOIN tenant t ON t.id = c.tenant_id
    WHERE m.id = ANY (CAST(:ids AS uuid[])) ORDER BY m.id
""")
_FACTS_LOCKED = text(f"{_FACTS.text} FOR UPDATE OF m")


def facts(tx: Transaction, message_id: UUID) -> MessageFacts | None:
    """One message's facts; ``None`` if there is no such row."""
    return _facts(tx, _FACTS, [message_id]).get(message_id)


def facts_of(tx: Transaction, ids: Sequence[UUID]) -> dict[UUID, MessageFacts]:
    """The facts of those messages that exist."""
    return _facts(tx, _FACTS, ids)


def lock_facts(tx: Transaction, ids: Sequence[UUID]) -> dict[UUID, MessageFacts]:
    """The facts of those messages that exist, their rows locked until the transaction ends."""
    return _facts(tx, _FACTS_LOCKED, ids)


def _facts(tx: Transaction, query: TextClause, ids: Sequence[UUID]) -> dict[UUID, MessageFacts]:
    rows = tx.execute(query, {"ids": list(ids)}).mappings()
    return {row["id"]: MessageFacts(**{**row, "state": State(row["state"])}) for row in rows}


_WITH_SIDS = text("""
    SELECT m.sid, m.id FROM unnest(CAST(:recipients AS bigint[]), CAST(:sids AS text[]))
        AS told (recipient, sid)
    JOIN message m ON m.recipient = told.recipient AND m.sid = told.sid
""")


def with_sids(tx: Transaction, told: Sequence[tuple[int, str]]) -> dict[str, UUID]:
    """Our messages to these recipients that the provider has by these SIDs."""
    values = {"recipients": [one for one, _ in told], "sids": [sid for _, sid in told]}
    return {row.sid: row.id for row in tx.execute(_WITH_SIDS, values)}


_TEXTED_BEFORE = text("""
    SELECT EXISTS (
        SELECT FROM message m JOIN campaign c ON c.id = m.campaign_id
        WHERE m.recipient = :recipient AND c.tenant_id = :tenant_id AND m.id <> :id
          AND m.state IN ('sent', 'delivered', 'undelivered'))
""")


def texted_before(tx: Transaction, message: MessageFacts) -> bool:
    """Whether the provider ever took another message of the tenant's to this recipient."""
    values = {"recipient": message.recipient, "tenant_id": message.tenant_id, "id": message.id}
    return bool(tx.execute(_TEXTED_BEFORE, values).scalar_one())
