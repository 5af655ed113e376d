"""Daily caps: how many segments a sender, or a tenant, may send a day, and how many it has.

They are kept here and not in Redis because a lost counter would let the cap be passed. Rows are
locked in one order, the tenant's before the sender's, and before any message.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import text

from sender.errors import ConfigurationError
from sender.storage.database import Transaction

TENANT, SENDER = "tenant", "sender"


@dataclass(frozen=True, kw_only=True)
class CapToday:
    """A cap as it stands today, in its own zone."""

    #: ``tenant`` or ``sender``.
    level: str
    subject: int
    day: date
    #: What may go a day.
    segments: int
    #: Segments that may still go; below zero when the cap was lowered meanwhile.
    left: int
    #: Counted from the transaction's `now()`, as a sender's rest is.
    until_midnight: timedelta


@dataclass(frozen=True, kw_only=True)
class DailyCap:
    """A daily cap, and how much of today is used."""

    #: The From number or Messaging Service SID; ``None``: all of the tenant's senders together.
    sender: str | None
    #: What may go a day.
    segments: int
    #: What went today, or is on its way.
    used: int
    #: Where the day ends at midnight, and when that is.
    zone: str
    until: datetime


# A day never goes back: who waited for the lock across midnight finds the new one.
_LOCKED = """
    SELECT c.level, c.subject, greatest(c.day, today.day) AS day, c.segments,
           CASE WHEN c.day >= today.day THEN c.used ELSE 0 END AS used,
           (greatest(c.day, today.day) + 1)::timestamp AT TIME ZONE c.zone - now()
               AS until_midnight
    FROM daily_cap c
    CROSS JOIN LATERAL (SELECT (clock_timestamp() AT TIME ZONE c.zone)::date AS day) AS today
    WHERE (c.level, c.subject) IN (('tenant', :tenant_id), ('sender', :sender_id))
    ORDER BY c.level DESC FOR UPDATE OF c
"""
_LOCK = text(f"""
    WITH locked AS ({_LOCKED})
    SELECT level, subject, day, segments, segments - used AS left, until_midnight
    FROM locked ORDER BY level DESC
""")  # noqa: S608  # built from a constant
_USE = text("""
    UPDATE daily_cap SET day = :day, used = CASE WHEN day = :day THEN used ELSE 0 END + :segments
    WHERE level = :level AND subject = :subject
""")
# One statement, so that nobody waits for these rows through our round trips; all or nothing.
_RESERVE = text(f"""
    WITH locked AS ({_LOCKED})
    UPDATE daily_cap c SET day = locked.day, used = locked.used + :segments
    FROM locked
    WHERE c.level = locked.level AND c.subject = locked.subject
      AND (SELECT bool_and(l.segments - l.used >= :plenty) FROM locked l)
    RETURNING c.level, c.subject, c.day, c.segments, c.segments - c.used AS left,
              locked.until_midnight
""")  # noqa: S608  # built from a constant
_GIVE_BACK = text("""
    WITH own AS (
        SELECT c.level, c.subject
        FROM unnest(CAST(:levels AS text[]), CAST(:subjects AS bigint[]), CAST(:days AS date[]))
             AS counted (level, subject, day)
        JOIN daily_cap c USING (level, subject, day)
        ORDER BY c.level DESC FOR UPDATE OF c
    )
    UPDATE daily_cap c SET used = greatest(0, c.used - :segments)
    FROM own WHERE c.level = own.level AND c.subject = own.subject
""")
_KNOWN_ZONE = text("SELECT EXISTS (SELECT FROM pg_timezone_names WHERE name = :zone)")
# What is used of today stays used, whatever the new zone calls the day.
_SET = text("""
    INSERT INTO daily_cap AS c (level, subject, segments, zone)
    VALUES (:level, :subject, :segments, :zone)
    ON CONFLICT (level, subject) DO UPDATE
    SET segments = excluded.segments, zone = excluded.zone,
        day = (clock_timestamp() AT TIME ZONE excluded.zone)::date,
        used = CASE WHEN c.day >= (clock_timestamp() AT TIME ZONE c.zone)::date
                    THEN c.used ELSE 0 END
""")
_REMOVE = text("DELETE FROM daily_cap WHERE level = :level AND subject = :subject")
_OF_TENANT = text("""
    SELECT s.address AS sender, c.segments, c.zone,
           CASE WHEN c.day >= today.day THEN c.used ELSE 0 END AS used,
           (greatest(c.day, today.day) + 1)::timestamp AT TIME ZONE c.zone AS until
    FROM daily_cap c
    CROSS JOIN LATERAL (SELECT (clock_timestamp() AT TIME ZONE c.zone)::date AS day) AS today
    LEFT JOIN sender s ON c.level = 'sender' AND s.id = c.subject
    WHERE c.level = 'tenant' AND c.subject = :tenant_id OR s.tenant_id = :tenant_id
    ORDER BY s.address NULLS FIRST
""")


def lock(tx: Transaction, *, tenant_id: int, sender_id: int) -> list[CapToday]:
    """The caps that hold for a sender, nobody else's until this transaction ends."""
    rows = tx.execute(_LOCK, {"tenant_id": tenant_id, "sender_id": sender_id})
    return [CapToday(**row) for row in rows.mappings()]


def reserve(
    tx: Transaction, *, tenant_id: int, sender_id: int, segments: int, plenty: int
) -> list[CapToday]:
    """Count segments as sent in one statement, where every cap has ``plenty`` left; else none.

    Returns:
        The caps, the tenant's first, as they stand then; empty where there was too little left.
    """
    values = {"tenant_id": tenant_id, "sender_id": sender_id}
    rows = tx.execute(_RESERVE, {**values, "segments": segments, "plenty": plenty})
    found = [CapToday(**row) for row in rows.mappings()]
    return sorted(found, key=lambda cap: cap.level, reverse=True)


def use(tx: Transaction, caps: Sequence[CapToday], segments: int) -> None:
    """Count segments as sent, against caps that `lock` gave."""
    for cap in caps:
        values = {"level": cap.level, "subject": cap.subject, "day": cap.day}
        tx.execute(_USE, {**values, "segments": segments})


def give_back(tx: Transaction, caps: Sequence[CapToday], segments: int) -> None:
    """Count no longer what did not go after all; of a day that is over, nothing."""
    values = {
        "levels": [cap.level for cap in caps],
        "subjects": [cap.subject for cap in caps],
        "days": [cap.day for cap in caps],
    }
    tx.execute(_GIVE_BACK, {**values, "segments": segments})


def put(tx: Transaction, level: str, subject: int, *, segments: int, zone: str) -> None:
    """Set a cap; it counts from now on.

    Raises:
        ConfigurationError: Postgres does not know the zone.
    """
    if not tx.execute(_KNOWN_ZONE, {"zone": zone}).scalar_one():
        raise ConfigurationError(f"there is no time zone {zone!r}; e.g. America/New_York")
    values = {"level": level, "subject": subject, "segments": segments, "zone": zone}
    tx.execute(_SET, values)


def remove(tx: Transaction, level: str, subject: int) -> None:
    """Have no cap."""
    tx.execute(_REMOVE, {"level": level, "subject": subject})


def of_tenant(tx: Transaction, tenant_id: int) -> list[DailyCap]:
    """A tenant's caps as they stand: that of all its senders first, then theirs by address."""
    return [DailyCap(**row) for row in tx.execute(_OF_TENANT, {"tenant_id": tenant_id}).mappings()]
