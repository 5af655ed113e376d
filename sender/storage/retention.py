"""Months of messages that are old enough to go, what keeps one, and what goes with it.

Consent events, suppressions, enforcements, incidents and verdicts are not touched: they are what
tells, years later, whom nobody may text and why somebody was. A campaign stays, with its counts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text

from sender.storage import partitions
from sender.storage.database import Transaction
from sender.storage.partitions import Partition, created_at

#: Receipts and alarms deleted in one transaction: a fraction of a second.
AT_A_TIME = 10_000

_RETENTION_LOCK = 0x72657465  # "rete" in ASCII


@dataclass(frozen=True, kw_only=True)
class Month:
    """Messages of one month (or of several that share a partition), as far as they may go."""

    partition: Partition
    #: What lies in it, as Postgres last estimated.
    messages: int
    #: Its campaigns that are not over, or not for long enough.
    campaigns_in_use: int
    #: Its messages in doubt; unknown ones are given up and do not count.
    doubts: int
    #: Parts of its campaigns in which something is still to be ended.
    open_slices: int
    is_old: bool

    @property
    def may_go(self) -> bool:
        """Whether nothing speaks against deleting it."""
        in_use = self.campaigns_in_use or self.doubts or self.open_slices
        return self.is_old and not in_use


#: The partition's campaigns ``c``: those whose creation its ids begin with.
_CAMPAIGNS = """
    c.created_at < message_time(p.end_id)
    AND (p.first_id IS NULL OR c.created_at >= message_time(p.first_id))
"""
_MONTHS = text(f"""
    SELECT p.name, p.first_id, p.end_id, p.is_default,
           greatest(0, (SELECT CAST(reltuples AS bigint) FROM pg_class
                        WHERE oid = CAST(quote_ident(p.name) AS regclass))) AS messages,
           message_time(p.end_id) <= now() - CAST(:age AS interval) AS is_old,
           (SELECT count(*) FROM campaign c
            WHERE {_CAMPAIGNS} AND (c.state NOT IN ('COMPLETED', 'CANCELED')
                                    OR c.completed_at > now() - CAST(:age AS interval)))
               AS campaigns_in_use,
           (SELECT count(*) FROM doubt d JOIN message m ON m.id = d.message_id
            WHERE m.state = 'in_doubt' AND d.message_id < p.end_id
              AND (p.first_id IS NULL OR d.message_id >= p.first_id)) AS doubts,
           (SELECT count(*) FROM slice s JOIN campaign c ON c.id = s.campaign_id
            WHERE s.done_at IS NULL AND {_CAMPAIGNS}) AS open_slices
    FROM message_partition p
    WHERE NOT p.is_default AND (CAST(:name AS text) IS NULL OR p.name = :name)
    ORDER BY p.end_id
""")  # noqa: S608  # built from a constant

_IN_IT = "id < :end_id AND (CAST(:first_id AS uuid) IS NULL OR id >= :first_id)"
_OF_IT = "created_at < :until AND (CAST(:since AS timestamptz) IS NULL OR created_at >= :since)"
_ITS_CAMPAIGNS = f"SELECT id FROM campaign WHERE {_OF_IT}"  # noqa: S608  # a constant
_ABOUT_IT = _IN_IT.replace("id <", "message_id <").replace("id >=", "message_id >=")
#: What its campaigns' reports and progress are made of from now on.
_COUNT = text(f"""
    INSERT INTO kept_count (campaign_id, state, reason, code, messages, answers, accepted)
    SELECT campaign_id, state, reason, provider_code, count(*),
           count(*) FILTER (WHERE guarded_at IS NOT NULL AND state NOT IN ('pending', 'sending')),
           count(*) FILTER (WHERE sid IS NOT NULL)
    FROM message WHERE {_IN_IT}
    GROUP BY campaign_id, state, reason, provider_code
""")  # noqa: S608  # built from a constant
_NOTE = text(f"""
    INSERT INTO deleted_month (name, first_id, end_id, messages, author)
    SELECT :name, :first_id, :end_id, coalesce(sum(messages), 0), :author
    FROM kept_count WHERE campaign_id IN ({_ITS_CAMPAIGNS})
    RETURNING messages
""")  # noqa: S608  # built from constants
#: Work lists and rests that say nothing without the messages.
_CLEAR = (
    *(
        text(f"DELETE FROM {table} WHERE {_ABOUT_IT}")  # noqa: S608  # constants
        for table in ("doubt", "recall", "missed_receipt")
    ),
    *(
        text(f"DELETE FROM {table} WHERE campaign_id IN ({_ITS_CAMPAIGNS})")  # noqa: S608
        for table in ("slice", "left_out")
    ),
)
_DROP = text("SELECT drop_message_partition(:name)")
_RECEIPTS = text("""
    DELETE FROM receipt r USING (
        SELECT q.message_id, q.sid, q.status, q.code
        FROM deleted_month d CROSS JOIN LATERAL (
            SELECT message_id, sid, status, code FROM receipt
            WHERE message_id < d.end_id AND (d.first_id IS NULL OR message_id >= d.first_id)
            ORDER BY message_id LIMIT :limit) AS q
        LIMIT :limit
    ) AS old
    WHERE (r.message_id, r.sid, r.status, r.code)
        = (old.message_id, old.sid, old.status, old.code)
""")
_ALARMS = text("""
    DELETE FROM alarm WHERE id IN (
        SELECT id FROM alarm WHERE created_at < now() - CAST(:age AS interval)
        ORDER BY id LIMIT :limit)
""")
_DELETED_UPTO = text("SELECT end_id FROM deleted_month ORDER BY end_id DESC LIMIT 1")


def months(tx: Transaction, *, age: timedelta, name: str | None = None) -> Iterator[Month]:
    """Each month there is (or one), the oldest first: whether it may go at that age, or why not."""
    for row in tx.execute(_MONTHS, {"age": age, "name": name}).mappings():
        facts: dict[str, Any] = dict(row)
        whole = {field: facts.pop(field) for field in ("name", "first_id", "end_id", "is_default")}
        yield Month(partition=Partition(**whole), **facts)


def delete(tx: Transaction, month: Month, *, age: timedelta, author: str) -> int | None:
    """Delete a month, when nothing speaks against it by now; how many messages. ``None``: not.

    One at a time. Its campaigns are counted first, so that their reports stay.
    """
    tx.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _RETENTION_LOCK})
    found = next(months(tx, age=age, name=month.partition.name), None)
    if found is None or not found.may_go:
        return None
    partitions.wait_briefly(tx)
    values = _values(found.partition, author)
    tx.execute(_COUNT, values)
    deleted = int(tx.execute(_NOTE, values).scalar_one())
    for statement in _CLEAR:
        tx.execute(statement, values)
    # Last, for it locks out whoever reads or writes messages until the commit.
    tx.execute(_DROP, values)
    return deleted


def _values(partition: Partition, author: str) -> dict[str, Any]:
    first, until = partition.first_id, partition.until
    return {
        "name": partition.name,
        "first_id": first,
        "end_id": partition.end_id,
        "since": first and created_at(first),
        "until": until,
        "author": author,
    }


def delete_receipts(tx: Transaction) -> int:
    """Delete callbacks about deleted messages, ``AT_A_TIME`` at most; how many."""
    return tx.execute(_RECEIPTS, {"limit": AT_A_TIME}).rowcount


def delete_alarms(tx: Transaction, *, age: timedelta) -> int:
    """Delete alarms that are older, ``AT_A_TIME`` at most; how many."""
    return tx.execute(_ALARMS, {"age": age, "limit": AT_A_TIME}).rowcount


def kept_since(tx: Transaction) -> datetime | None:
    """Messages of campaigns created before that may be deleted; ``None``: nothing was."""
    upto: UUID | None = tx.execute(_DELETED_UPTO).scalar_one_or_none()
    return None if upto is None else created_at(upto)
