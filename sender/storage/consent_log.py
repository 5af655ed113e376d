"""The consent log and the list as the Redis set's reader sees them: what changed, what is in it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import text

from sender.storage.database import Transaction

#: The latest of a table, read from its index. Whether *any* is later than a position Postgres could
#: answer by reading the table, of which it takes a third for later.
_LATEST = """
    SELECT written_by FROM {table} WHERE written_by < pg_snapshot_xmin(now)
    ORDER BY written_by DESC LIMIT 1
"""
_RUNNING = text(f"""
    SELECT CAST(CAST(pg_snapshot_xmin(now) AS text) AS bigint) AS oldest,
           CAST(CAST(pg_snapshot_xmax(now) AS text) AS bigint) AS next,
           coalesce(greatest(({_LATEST.format(table="consent_event")}),
                             ({_LATEST.format(table="consent_time")}))
                    >= CAST(CAST(:position AS text) AS xid8), false) AS changed
    FROM pg_current_snapshot() AS now
""")  # noqa: S608  # built from the constant above only
_WITHIN = """
    written_by >= CAST(CAST(:position AS text) AS xid8)
    AND written_by < CAST(CAST(:upto AS text) AS xid8)
"""
#: Events, and times that became known of older ones: both change what a person's events amount to.
_CHANGED = text(f"""
    SELECT DISTINCT tenant_id, recipient FROM (
        SELECT tenant_id, recipient FROM consent_event WHERE {_WITHIN}
        UNION ALL
        SELECT e.tenant_id, e.recipient
        FROM (SELECT source_id FROM consent_time WHERE {_WITHIN}) AS t
        JOIN consent_event e ON e.source = 'inbound' AND e.source_id = t.source_id
    ) AS changed
""")  # noqa: S608  # built from the constant above only


@dataclass(frozen=True, kw_only=True)
class Running:
    """The transactions that are running."""

    #: The oldest of them: everything before it is visible.
    oldest: int
    #: The next to begin: a position beyond it is of another history (a restored dump).
    next: int
    #: Whether anybody's consent changed from the position that was asked about to the oldest.
    changed: bool


def running(tx: Transaction, position: int | None) -> Running:
    """Those of this moment; without a position nothing has changed."""
    values = {"position": None if position is None else str(position)}
    return Running(**tx.execute(_RUNNING, values).mappings().one())


#: A tenant and a recipient.
Person = tuple[int, int]
#: People whose entries are read at once.
PEOPLE_AT_A_TIME = 5_000


def changed_between(tx: Transaction, position: int, upto: int) -> Iterator[list[Person]]:
    """Whose consent changed in the transactions from ``position`` to before ``upto``, by pages.

    Positions are transaction ids, not event ids: those are handed out before commit, so a
    smaller event id may appear after a larger one. Below the oldest running transaction nothing
    can appear any more.
    """
    values = {"position": str(position), "upto": str(upto)}
    streamed = {"yield_per": PEOPLE_AT_A_TIME}
    with tx.execute(_CHANGED, values, execution_options=streamed) as found:
        for page in found.partitions():
            yield [(row.tenant_id, row.recipient) for row in page]


@dataclass(frozen=True, kw_only=True)
class Standing:
    """In which scopes a person was ever concerned, and where they are suppressed now."""

    tenant_id: int
    recipient: int
    known: frozenset[int]
    suppressed: frozenset[int]


_STANDING = text("""
    SELECT p.tenant_id, p.recipient,
           ARRAY(SELECT DISTINCT e.scope FROM consent_event e
                 WHERE e.tenant_id = p.tenant_id AND e.recipient = p.recipient) AS known,
           ARRAY(SELECT DISTINCT s.scope FROM suppression s
                 WHERE s.tenant_id = p.tenant_id AND s.recipient = p.recipient) AS suppressed
    FROM unnest(CAST(:tenants AS integer[]), CAST(:recipients AS bigint[]))
         AS p (tenant_id, recipient)
""")


def standing(tx: Transaction, people: Sequence[Person]) -> list[Standing]:
    """How things stand now with these people."""
    values = {
        "tenants": [tenant_id for tenant_id, _ in people],
        "recipients": [recipient for _, recipient in people],
    }
    return [
        Standing(
            tenant_id=row.tenant_id,
            recipient=row.recipient,
            known=frozenset(row.known),
            suppressed=frozenset(row.suppressed),
        )
        for row in tx.execute(_STANDING, values)
    ]


_SCOPE_COUNT = text("""
    SELECT count(DISTINCT recipient) FROM suppression
    WHERE tenant_id = :tenant_id AND scope = :scope
""")
_SCOPE_MEMBERS = text("""
    SELECT recipient FROM suppression WHERE tenant_id = :tenant_id AND scope = :scope
""")


_SCOPE_ENTRIES = text("""
    SELECT count(*) FROM suppression WHERE tenant_id = :tenant_id AND scope = :scope
""")


def entries_in(tx: Transaction, *, tenant_id: int, scope: int) -> int:
    """How many entries one (tenant, scope) has: a person counts once for each reason.

    Near enough to size a set by, and ten times as fast as counting people.
    """
    found = tx.execute(_SCOPE_ENTRIES, {"tenant_id": tenant_id, "scope": scope})
    return int(found.scalar_one())


def scope_size(tx: Transaction, *, tenant_id: int, scope: int) -> int:
    """How many recipients one (tenant, scope) suppresses."""
    found = tx.execute(_SCOPE_COUNT, {"tenant_id": tenant_id, "scope": scope})
    return int(found.scalar_one())


def members(tx: Transaction, *, tenant_id: int, scope: int) -> Iterator[int]:
    """The recipients one (tenant, scope) suppresses, streamed; once for each reason."""
    values, streamed = {"tenant_id": tenant_id, "scope": scope}, {"yield_per": 20_000}
    with tx.execute(_SCOPE_MEMBERS, values, execution_options=streamed) as found:
        for row in found:
            yield row.recipient
