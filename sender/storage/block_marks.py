"""How far Twilio's records of blocks were read: of each sender, of each account."""

from datetime import datetime, timedelta

from sqlalchemy import text

from sender.storage.database import Transaction
from sender.storage.holds import OF_RECOVERY

_BLOCKS_UPTO = text("SELECT blocks_upto FROM intake_sender WHERE sender_id = :id")
_BLOCKS_READ = text("""
    INSERT INTO intake_sender AS i (sender_id, blocks_upto) VALUES (:id, :upto)
    ON CONFLICT (sender_id) DO UPDATE SET blocks_upto = excluded.blocks_upto
""")
_ALERTS_UPTO = text("SELECT alerts_upto FROM tenant WHERE id = :id")
_ALERTS_READ = text("""
    UPDATE tenant SET alerts_upto = greatest(alerts_upto, :upto) WHERE id = :id
""")


def blocks_upto(tx: Transaction, sender_id: int) -> datetime | None:
    """Up to when a sender's failed messages were read; ``None``: never."""
    found: datetime | None = tx.execute(_BLOCKS_UPTO, {"id": sender_id}).scalar_one_or_none()
    return found


def blocks_read(tx: Transaction, sender_id: int, upto: datetime) -> None:
    """They were, and what they tell is committed. Not the latest mark counts, but the last."""
    tx.execute(_BLOCKS_READ, {"id": sender_id, "upto": upto})


def alerts_upto(tx: Transaction, tenant_id: int) -> datetime | None:
    """Up to when a tenant's alerts were read; ``None``: never."""
    found: datetime | None = tx.execute(_ALERTS_UPTO, {"id": tenant_id}).scalar_one_or_none()
    return found


def alerts_read(tx: Transaction, tenant_id: int, upto: datetime) -> None:
    """They were, and what they tell is committed."""
    tx.execute(_ALERTS_READ, {"id": tenant_id, "upto": upto})


_LOG_UPTO = text("SELECT log_upto FROM tenant WHERE id = :id")
_LOG_READ = text("""
    UPDATE tenant SET log_upto = :upto, log_read_at = clock_timestamp() WHERE id = :id
""")
_ALL_READ = text("""
    INSERT INTO intake_sender AS i (sender_id, blocks_upto)
    SELECT s.id, :upto FROM sender s LEFT JOIN intake_sender k ON k.sender_id = s.id
    WHERE s.tenant_id = :tenant_id
      AND greatest(k.blocks_upto - CAST(:overlap AS interval), :oldest) >= :since
    ORDER BY s.id
    ON CONFLICT (sender_id) DO UPDATE SET blocks_upto = excluded.blocks_upto
    RETURNING sender_id
""")
_CLAIM_LOGS = text("""
    WITH due AS (
        SELECT id FROM tenant q
        WHERE account_sid IS NOT NULL
          AND NOT EXISTS (
              SELECT FROM hold h WHERE h.released_at IS NULL
                AND h.reason = ANY (CAST(:of_recovery AS text[]))
                AND (h.level = 'all' OR h.level = 'tenant' AND h.subject = q.id))
          AND coalesce(log_read_at, '-infinity') < clock_timestamp() - CAST(:every AS interval)
        ORDER BY log_read_at NULLS FIRST, id LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    UPDATE tenant t SET log_read_at = clock_timestamp() FROM due WHERE t.id = due.id
    RETURNING t.id
""")


def log_upto(tx: Transaction, tenant_id: int) -> datetime | None:
    """Up to when an account's log was read as a whole; ``None``: never."""
    found: datetime | None = tx.execute(_LOG_UPTO, {"id": tenant_id}).scalar_one_or_none()
    return found


def log_read(tx: Transaction, tenant_id: int, upto: datetime) -> None:
    """It was, or as much of it as is ever read; what it tells is committed."""
    tx.execute(_LOG_READ, {"id": tenant_id, "upto": upto})


def all_read(
    tx: Transaction,
    tenant_id: int,
    upto: datetime,
    *,
    since: datetime,
    oldest: datetime,
    overlap: timedelta,
) -> frozenset[int]:
    """Nothing was left out: move the marks of the senders that were read up to there before.

    Args:
        tx: the transaction.
        tenant_id: whose account.
        upto: the new mark.
        since: from when on the account's log was read.
        oldest: from when on a sender's is read that never was.
        overlap: read again before a mark.

    Returns:
        These senders: nothing of them is left to be read.
    """
    values = {"tenant_id": tenant_id, "upto": upto, "since": since, "oldest": oldest}
    rows = tx.execute(_ALL_READ, {**values, "overlap": overlap})
    return frozenset(row.sender_id for row in rows)


def claim_logs(tx: Transaction, *, every: timedelta, limit: int) -> list[int]:
    """Tenants whose account's log was not read for so long; not again at once, should that fail.

    Not those that wait for a recovery, which reads the log first: what is pending here may have
    been sent.
    """
    values = {"every": every, "limit": limit, "of_recovery": list(OF_RECOVERY)}
    return sorted(row.id for row in tx.execute(_CLAIM_LOGS, values))
