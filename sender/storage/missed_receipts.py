"""Messages without a final status long after they were sent: whom Twilio is to be asked for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import text

from sender.domain import slicing
from sender.storage.database import Transaction


@dataclass(frozen=True, kw_only=True)
class Missed:
    """A message whose final status did not come."""

    message_id: UUID
    tenant_id: int
    #: ``None`` for one that is in doubt: it cannot be asked for yet.
    sid: str | None
    #: Whether its final status has not come meanwhile.
    is_open: bool


#: Slices and rows looked at in one transaction: 10,000 messages at most, and a thousand entries.
SLICES_AT_A_TIME = 10_000 // slicing.LARGEST
ROWS_AT_A_TIME = 1000

#: Skips what somebody works on just now: it is not done, and looked at next time.
_DUE_SLICES = text("""
    SELECT id FROM slice
    WHERE receipts_due
      AND coalesce(receipts_listed_at, started_at) < now() - CAST(:after AS interval)
    ORDER BY coalesce(receipts_listed_at, started_at) LIMIT :limit FOR UPDATE SKIP LOCKED
""")
#: What is in doubt may turn out to have been sent. A slice at a time, which OFFSET sees to: the
#: planner takes a join over ranges for a ninth of all messages each, and would read them all.
_ENLIST = text("""
    INSERT INTO missed_receipt (message_id, tenant_id, passed_on, ask_until)
    SELECT row.id, c.tenant_id, row.passed_on,
           row.guarded_at + c.validity + CAST(:longest AS interval)
    FROM slice s JOIN campaign c ON c.id = s.campaign_id
    CROSS JOIN LATERAL (
        SELECT m.id, m.guarded_at,
               m.provider_status IS NOT NULL
               AND NOT m.provider_status = ANY (CAST(:kept AS text[])) AS passed_on
        FROM message m
        WHERE m.id BETWEEN s.first_id AND s.last_id AND m.campaign_id = s.campaign_id
          AND m.state IN ('sent', 'in_doubt') AND m.guarded_at < now() - CAST(:after AS interval)
        OFFSET 0
    ) AS row
    WHERE s.id = ANY (CAST(:ids AS bigint[]))
      AND row.guarded_at + c.validity + CAST(:longest AS interval) > now()
    ON CONFLICT DO NOTHING
""")
#: A slice that is done for that long has no messages that could become due later.
_LISTED = text("""
    UPDATE slice
    SET receipts_listed_at = now(),
        receipts_due = done_at IS NULL OR done_at > now() - CAST(:after AS interval)
    WHERE id = ANY (CAST(:ids AS bigint[]))
""")
_GIVE_UP = text("""
    WITH old AS (
        SELECT message_id FROM missed_receipt WHERE ask_until <= now()
        LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    DELETE FROM missed_receipt r USING old WHERE r.message_id = old.message_id
""")
#: Each tenant's first in turn, so that nobody waits for a tenant who has thousands; of a tenant's,
#: those that may have failed at Twilio. Put off before they are asked for, each time for twice as
#: long: what fails on one keeps nobody from the others.
_CLAIM = text("""
    WITH due AS (
        SELECT one.message_id
        FROM tenant t CROSS JOIN LATERAL (
            SELECT head.message_id,
                   row_number() OVER (ORDER BY head.passed_on, head.next_try) AS rank
            FROM (
                (SELECT message_id, passed_on, next_try FROM missed_receipt
                 WHERE tenant_id = t.id AND NOT passed_on AND next_try <= now()
                 ORDER BY next_try LIMIT :limit)
                UNION ALL
                (SELECT message_id, passed_on, next_try FROM missed_receipt
                 WHERE tenant_id = t.id AND passed_on AND next_try <= now()
                 ORDER BY next_try LIMIT :limit)
            ) AS head
        ) AS one
        ORDER BY one.rank LIMIT :limit
    ),
    claimed AS (
        UPDATE missed_receipt r
        SET tries = tries + 1,
            next_try = now() + least(CAST(:after AS interval) * 2 ^ least(r.tries, 10),
                                     interval '24 hours')
        FROM due WHERE r.message_id = due.message_id AND r.next_try <= now()
        RETURNING r.message_id, r.tenant_id
    )
    SELECT claimed.message_id, claimed.tenant_id, m.sid,
           coalesce(m.state IN ('sent', 'in_doubt'), false) AS is_open
    FROM claimed LEFT JOIN message m ON m.id = claimed.message_id
""")
_FORGET = text("DELETE FROM missed_receipt WHERE message_id = ANY (CAST(:ids AS uuid[]))")


def enlist(tx: Transaction, *, after: timedelta, longest: timedelta, kept: Iterable[str]) -> int:
    """Put on the list what has no final status, of a few slices; how many slices those were.

    Args:
        tx: the transaction.
        after: how long a callback is waited for.
        longest: how long after a message's validity Twilio is asked.
        kept: the provider's words for a message that it has not passed on.
    """
    found = tx.execute(_DUE_SLICES, {"after": after, "limit": SLICES_AT_A_TIME})
    ids = [row.id for row in found]
    if ids:
        values = {"ids": ids, "after": after}
        tx.execute(_ENLIST, {**values, "longest": longest, "kept": list(kept)})
        tx.execute(_LISTED, values)
    return len(ids)


def give_up_old(tx: Transaction) -> int:
    """Take off the list what is too old to be asked for, ``ROWS_AT_A_TIME`` at most; how many.

    Those that no callback comes for after all stay ``sent``.
    """
    return tx.execute(_GIVE_UP, {"limit": ROWS_AT_A_TIME}).rowcount


def claim(tx: Transaction, *, limit: int, after: timedelta) -> list[Missed]:
    """Messages to ask for now, put off for everybody else."""
    values = {"limit": limit, "after": after}
    return [Missed(**row) for row in tx.execute(_CLAIM, values).mappings()]


def forget(tx: Transaction, ids: Sequence[UUID]) -> None:
    """Take messages off the list."""
    tx.execute(_FORGET, {"ids": list(ids)})
