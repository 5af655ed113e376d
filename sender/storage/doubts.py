"""The resolver's work list: messages whose outcome nobody knows yet."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from sender.storage.database import Transaction


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """An ``in_doubt`` message and what to look for in the provider's log."""

    message_id: UUID
    tenant_id: int
    recipient: int
    sender: str
    sender_kind: str
    #: The campaign's template and the row's fields: together the body that was sent.
    body: str
    fields: dict[str, str]
    guarded_at: datetime


_FORGET_RESOLVED = text("""
    DELETE FROM doubt d USING message m
    WHERE m.id = d.message_id AND m.state NOT IN ('in_doubt', 'unknown')
""")
#: Claimed before they are looked into, each time for twice as long, at most an hour: whoever
#: fails on one, or is slow, keeps nobody from the others. What a restore put in doubt was asked for
#: in bulk and may be millions: it comes last.
_CLAIM = text("""
    WITH due AS (
        SELECT d.message_id FROM doubt d JOIN message m ON m.id = d.message_id
        WHERE d.next_check <= now() AND m.state = 'in_doubt'
        ORDER BY m.reason = 'restored', d.next_check LIMIT :limit FOR UPDATE OF d SKIP LOCKED
    ),
    claimed AS (
        UPDATE doubt d
        SET checks = checks + 1,
            next_check = now() + least(interval '1 hour',
                                       interval '5 seconds' * 2 ^ least(checks, 10))
        FROM due WHERE d.message_id = due.message_id
        RETURNING d.message_id
    )
    SELECT m.id AS message_id, c.tenant_id, m.recipient, s.address AS sender, s.kind AS sender_kind,
           c.body, coalesce(m.fields, '{}') AS fields, m.guarded_at
    FROM claimed
    JOIN message m ON m.id = claimed.message_id
    JOIN campaign c ON c.id = m.campaign_id
    JOIN sender s ON s.id = c.sender_id
""")
_GIVE_UP = text("""
    WITH old AS (
        SELECT m.id FROM doubt d JOIN message m ON m.id = d.message_id
        WHERE d.since < now() - interval '48 hours' AND m.state = 'in_doubt'
        ORDER BY m.id FOR UPDATE OF m
    )
    UPDATE message m SET state = 'unknown', changed_at = clock_timestamp()
    FROM old WHERE m.id = old.id
""")
_SID_TAKEN = text("""
    SELECT EXISTS (SELECT FROM message WHERE recipient = :recipient AND sid = :sid
                   AND id <> :message_id)
""")


def claim(tx: Transaction, *, limit: int) -> list[Doubt]:
    """Doubts to look into now, put off for everybody else; resolved ones leave the list."""
    tx.execute(_FORGET_RESOLVED)
    return [Doubt(**row) for row in tx.execute(_CLAIM, {"limit": limit}).mappings()]


def give_up_old(tx: Transaction) -> int:
    """After 48 hours without evidence a doubt becomes ``unknown``; how many did."""
    return tx.execute(_GIVE_UP).rowcount


def sid_belongs_elsewhere(tx: Transaction, doubt: Doubt, sid: str) -> bool:
    """Whether another message of ours to that person already has this SID."""
    values = {"recipient": doubt.recipient, "sid": sid, "message_id": doubt.message_id}
    return bool(tx.execute(_SID_TAKEN, values).scalar_one())
