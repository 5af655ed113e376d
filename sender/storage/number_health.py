"""What deliveries say about each tenant's numbers; most numbers have no row."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from sender.domain.number_health import Health
from sender.storage.database import Transaction

#: (tenant, recipient).
Owner = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class NumberHealth:
    """What failures say about one number, as it is shown."""

    #: E.164 digits without the plus.
    recipient: int
    #: Until then campaigns skip it; ``None``: they do not.
    bad_until: datetime | None
    #: Twilio's code of the last failure.
    code: int
    #: Failures that prove nothing one by one, and since when they are counted.
    strikes: int
    first_strike_at: datetime | None
    changed_at: datetime
    #: Who last had it forgotten; what is shown came after that.
    forgotten_by: str | None


@dataclass(frozen=True, kw_only=True)
class Locked:
    """The entries that a transaction may change."""

    entries: Mapping[Owner, Health]
    #: The database's clock.
    at: datetime


# An entry that is not there yet is made first: else two transactions could both begin it.
_LOCK = text("""
    INSERT INTO number_health AS n (tenant_id, recipient, code)
    SELECT * FROM unnest(CAST(:tenants AS integer[]), CAST(:recipients AS bigint[]),
                         CAST(:codes AS integer[])) AS asked (tenant_id, recipient, code)
    ORDER BY tenant_id, recipient
    ON CONFLICT (tenant_id, recipient) DO UPDATE SET code = EXCLUDED.code
    RETURNING n.tenant_id, n.recipient, n.strikes, n.first_strike_at, n.bad_until, n.changed_at,
              clock_timestamp() AS at
""")
_KEEP = text("""
    UPDATE number_health n
    SET strikes = known.strikes, first_strike_at = known.first_strike_at,
        bad_until = known.bad_until, changed_at = known.changed_at
    FROM unnest(CAST(:tenants AS integer[]), CAST(:recipients AS bigint[]),
                CAST(:strikes AS integer[]), CAST(:firsts AS timestamptz[]),
                CAST(:untils AS timestamptz[]), CAST(:changes AS timestamptz[]))
         AS known (tenant_id, recipient, strikes, first_strike_at, bad_until, changed_at)
    WHERE (n.tenant_id, n.recipient) = (known.tenant_id, known.recipient)
""")
_WIPE = text("""
    DELETE FROM number_health n
    USING unnest(CAST(:tenants AS integer[]), CAST(:recipients AS bigint[]))
          AS well (tenant_id, recipient)
    WHERE (n.tenant_id, n.recipient) = (well.tenant_id, well.recipient)
""")


def lock(tx: Transaction, codes: Mapping[Owner, int]) -> Locked:
    """The entries of these numbers, made where there are none, locked in their order.

    Args:
        tx: it keeps the locks until it ends.
        codes: each number's last code, which is stored.
    """
    columns = _owners(codes) | {"codes": list(codes.values())}
    rows = tx.execute(_LOCK, columns).all()
    entries = {
        (row.tenant_id, row.recipient): Health(
            strikes=row.strikes,
            first_strike_at=row.first_strike_at,
            bad_until=row.bad_until,
            changed_at=row.changed_at,
        )
        for row in rows
    }
    return Locked(entries=entries, at=max(row.at for row in rows))


def keep(tx: Transaction, entries: Mapping[Owner, Health]) -> None:
    """Store what is now known of numbers whose entries are locked."""
    known = list(entries.values())
    columns = _owners(entries) | {
        "strikes": [one.strikes for one in known],
        "firsts": [one.first_strike_at for one in known],
        "untils": [one.bad_until for one in known],
        "changes": [one.changed_at for one in known],
    }
    tx.execute(_KEEP, columns)


def wipe(tx: Transaction, owners: Iterable[Owner]) -> None:
    """Forget everything about numbers whose entries are locked."""
    tx.execute(_WIPE, _owners(owners))


def _owners(owners: Iterable[Owner]) -> dict[str, list[object]]:
    pairs = list(owners)
    return {"tenants": [one for one, _ in pairs], "recipients": [one for _, one in pairs]}


_COLUMNS = "recipient, bad_until, code, strikes, first_strike_at, changed_at, forgotten_by"
_OF = text(f"""
    SELECT {_COLUMNS} FROM number_health WHERE tenant_id = :tenant_id AND recipient = :recipient
""")  # noqa: S608  # constant columns
_BAD = text(f"""
    SELECT {_COLUMNS} FROM number_health
    WHERE tenant_id = :tenant_id AND recipient > :after AND bad_until > now()
    ORDER BY recipient LIMIT :limit
""")  # noqa: S608  # constant columns
_FORGET = text("""
    UPDATE number_health
    SET strikes = 0, first_strike_at = NULL, bad_until = NULL, changed_at = clock_timestamp(),
        forgotten_by = :author
    WHERE tenant_id = :tenant_id AND recipient = :recipient
""")


def of(tx: Transaction, *, tenant_id: int, recipient: int) -> NumberHealth | None:
    """A number's entry, if it has one."""
    row = tx.execute(_OF, {"tenant_id": tenant_id, "recipient": recipient}).mappings().first()
    return None if row is None else NumberHealth(**row)


def bad(tx: Transaction, *, tenant_id: int, after: int, limit: int) -> list[NumberHealth]:
    """A page of the numbers that are skipped now, by number, after this one."""
    values = {"tenant_id": tenant_id, "after": after, "limit": limit}
    return [NumberHealth(**row) for row in tx.execute(_BAD, values).mappings()]


def forget(tx: Transaction, *, tenant_id: int, recipient: int, author: str) -> bool:
    """Take back what failures said of a number; whether anything was known of it."""
    values = {"tenant_id": tenant_id, "recipient": recipient, "author": author}
    return bool(tx.execute(_FORGET, values).rowcount)
