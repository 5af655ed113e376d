"""The consent log and what follows from it: suppressions, and opt-outs to enforce."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import text

from sender.domain.consent import (
    ConsentEvent,
    Direction,
    NewConsentEvent,
    ReasonClass,
    Suppression,
    fold,
)
from sender.storage.database import Transaction

_LOCK_PERSON = text("SELECT pg_advisory_xact_lock(:tenant_id, hashint8(:recipient))")

_APPEND = text("""
    INSERT INTO consent_event (tenant_id, recipient, scope, direction, reason, source, source_id,
                               provider_at, author, evidence)
    VALUES (:tenant_id, :recipient, :scope, :direction, :reason, :source, :source_id,
            :provider_at, :author, :evidence)
    ON CONFLICT DO NOTHING
    RETURNING id
""")

_SAME = text("""
    SELECT id FROM consent_event
    WHERE source = :source AND source_id = :source_id AND direction = :direction
      AND scope = :scope AND coalesce(reason, '') = coalesce(CAST(:reason AS text), '')
""")

_EVENTS = text("""
    SELECT e.id, e.tenant_id, e.recipient, e.scope, e.direction, e.reason, e.source, e.source_id,
           coalesce(e.provider_at, i.provider_at) AS provider_at, e.author, e.evidence,
           e.received_at
    FROM consent_event e
    LEFT JOIN inbound i ON e.source = 'inbound' AND i.sid = e.source_id
    WHERE e.tenant_id = :tenant_id AND e.recipient = :recipient
    ORDER BY e.id
""")

_FORGET = text("DELETE FROM suppression WHERE tenant_id = :tenant_id AND recipient = :recipient")

_REMEMBER = text("""
    INSERT INTO suppression (recipient, tenant_id, scope, reason, event_id, since)
    VALUES (:recipient, :tenant_id, :scope, :reason, :event_id, :since)
""")


def lock_person(tx: Transaction, *, tenant_id: int, recipient: int) -> None:
    """Serialise changes to one person's consent until the transaction ends.

    Without it two transactions could each fold without the other's event, and the one that
    lifts could overwrite the one that suppresses. Taken before any message row is locked.
    """
    tx.execute(_LOCK_PERSON, {"tenant_id": tenant_id, "recipient": recipient})


def append(tx: Transaction, event: NewConsentEvent) -> int:
    """Store an event and fold the person anew; storing the same event twice changes nothing.

    Returns:
        The event's id, new or old.
    """
    lock_person(tx, tenant_id=event.tenant_id, recipient=event.recipient)
    values = {
        "tenant_id": event.tenant_id,
        "recipient": event.recipient,
        "scope": event.scope,
        "direction": event.direction.value,
        "reason": event.reason.value if event.reason else None,
        "source": event.source,
        "source_id": event.source_id,
        "provider_at": event.provider_at,
        "author": event.author,
        "evidence": event.evidence,
    }
    stored = tx.execute(_APPEND, values).scalar_one_or_none()
    if stored is None:
        return int(tx.execute(_SAME, values).scalar_one())
    refold(tx, tenant_id=event.tenant_id, recipient=event.recipient)
    return int(stored)


def history(tx: Transaction, *, tenant_id: int, recipient: int) -> list[ConsentEvent]:
    """All of a person's events with a tenant, oldest first."""
    rows = tx.execute(_EVENTS, {"tenant_id": tenant_id, "recipient": recipient}).mappings()
    return [
        ConsentEvent(
            **{
                **row,
                "direction": Direction(row["direction"]),
                "reason": ReasonClass(row["reason"]) if row["reason"] else None,
            }
        )
        for row in rows
    ]


def refold(tx: Transaction, *, tenant_id: int, recipient: int) -> frozenset[Suppression]:
    """Fold a person's events and make the suppression table say so; the active suppressions.

    The person's lock must be held.
    """
    active = fold(history(tx, tenant_id=tenant_id, recipient=recipient))
    tx.execute(_FORGET, {"tenant_id": tenant_id, "recipient": recipient})
    for entry in sorted(active, key=lambda s: (s.scope, s.reason)):
        tx.execute(_REMEMBER, _suppression_values(entry))
    return active


def _suppression_values(entry: Suppression) -> dict[str, object]:
    return {
        "recipient": entry.recipient,
        "tenant_id": entry.tenant_id,
        "scope": entry.scope,
        "reason": entry.reason.value,
        "event_id": entry.event_id,
        "since": entry.since,
    }


_SUPPRESSIONS = text("""
    SELECT recipient, tenant_id, scope, reason, event_id, since FROM suppression
    WHERE recipient = :recipient AND tenant_id IN (0, :tenant_id)
    ORDER BY since, reason
""")


def suppressions_of(tx: Transaction, *, tenant_id: int, recipient: int) -> list[Suppression]:
    """What is enforced for a person: the tenant's entries and the platform-wide ones."""
    rows = tx.execute(_SUPPRESSIONS, {"tenant_id": tenant_id, "recipient": recipient}).mappings()
    return [Suppression(**{**row, "reason": ReasonClass(row["reason"])}) for row in rows]


_ANY_OF = text("""
    SELECT DISTINCT recipient FROM suppression
    WHERE recipient = ANY (CAST(:recipients AS bigint[]))
      AND (tenant_id, scope) IN (
          SELECT * FROM unnest(CAST(:tenants AS integer[]), CAST(:scopes AS integer[])))
""")


def unsuppressed(
    tx: Transaction, scopes: Sequence[tuple[int, int]], recipients: Sequence[int]
) -> list[int]:
    """Those of ``recipients`` that no suppression covers in any of the (tenant, scope) pairs."""
    values = {
        "recipients": list(recipients),
        "tenants": [tenant_id for tenant_id, _ in scopes],
        "scopes": [scope for _, scope in scopes],
    }
    found = {row.recipient for row in tx.execute(_ANY_OF, values)}
    return [recipient for recipient in recipients if recipient not in found]


@dataclass(frozen=True, kw_only=True)
class OptOut:
    """An opt-out whose enforcement is asked for, in the scope it covers."""

    event_id: int
    tenant_id: int
    recipient: int
    scope: int


_REQUEST = text("""
    INSERT INTO enforcement (event_id, tenant_id, recipient, scope)
    VALUES (:event_id, :tenant_id, :recipient, :scope)
    ON CONFLICT (event_id) DO NOTHING
""")


def request_enforcement(tx: Transaction, opt_out: OptOut) -> None:
    """Ask for an opt-out's enforcement; asking twice changes nothing."""
    tx.execute(
        _REQUEST,
        {
            "event_id": opt_out.event_id,
            "tenant_id": opt_out.tenant_id,
            "recipient": opt_out.recipient,
            "scope": opt_out.scope,
        },
    )


#: True for a row ``m`` of campaign ``c`` that the opt-out ``e`` covers; a platform-wide one
#: (tenant 0) covers every tenant's rows. Campaigns that have not
#: started are left out: the guard decides about them, so that a START in between counts.
_IN_SCOPE = """
    m.recipient = e.recipient AND e.tenant_id IN (0, c.tenant_id)
    AND c.state NOT IN ('DRAFT', 'SCHEDULED')
    AND (e.scope = 0 OR EXISTS (SELECT FROM sender_scope ss
                                WHERE ss.sender_id = c.sender_id AND ss.scope = e.scope))
"""
_STILL_SUPPRESSED = """
    EXISTS (SELECT FROM suppression s
            WHERE s.recipient = e.recipient AND s.tenant_id = e.tenant_id AND s.scope = e.scope)
"""

_WITHDRAW = text(f"""
    WITH asked AS (
        SELECT m.id, min(o.reason) AS reason
        FROM enforcement e
        JOIN consent_event o ON o.id = e.event_id
        JOIN message m ON m.recipient = e.recipient AND m.state = 'pending'
        JOIN campaign c ON c.id = m.campaign_id
        WHERE e.event_id = ANY (CAST(:ids AS bigint[])) AND {_IN_SCOPE} AND {_STILL_SUPPRESSED}
        GROUP BY m.id
    ),
    withdrawn AS (
        SELECT m.id, asked.reason FROM message m JOIN asked ON asked.id = m.id
        WHERE m.state = 'pending' ORDER BY m.id FOR UPDATE OF m
    )
    UPDATE message m
    SET state = 'suppressed', reason = withdrawn.reason, changed_at = clock_timestamp()
    FROM withdrawn WHERE m.id = withdrawn.id AND m.state = 'pending'
""")  # noqa: S608  # built from the constants above only

_ENFORCED = text(f"""
    UPDATE enforcement e SET enforced_at = clock_timestamp()
    WHERE e.event_id = ANY (CAST(:ids AS bigint[])) AND e.enforced_at IS NULL
      AND NOT EXISTS (
        SELECT FROM message m JOIN campaign c ON c.id = m.campaign_id
        WHERE {_IN_SCOPE}
          AND (m.state = 'sending'
               OR (m.state = 'pending' AND {_STILL_SUPPRESSED})
               OR (m.state = 'in_doubt' AND m.changed_at > now() - CAST(:horizon AS interval))))
""")  # noqa: S608  # built from the constants above only

_OPEN = text("SELECT event_id FROM enforcement WHERE enforced_at IS NULL ORDER BY event_id")
_OPEN_OF = text("""
    SELECT event_id FROM enforcement
    WHERE enforced_at IS NULL AND event_id = ANY (CAST(:ids AS bigint[]))
""")


class EnforcementTable:
    """The statements that enforce opt-outs; each runs in a transaction of its own."""

    def withdraw(self, tx: Transaction, ids: Sequence[int]) -> int:
        """Suppress the pending rows these opt-outs cover; how many.

        It waits for a guard that holds such a row (no SKIP LOCKED): whoever is first decides.
        """
        return tx.execute(_WITHDRAW, {"ids": list(ids)}).rowcount

    def mark_enforced(self, tx: Transaction, ids: Sequence[int], *, horizon: timedelta) -> None:
        """Mark those opt-outs for which no request can be under way any more.

        One look, in a snapshot younger than the withdrawal: nothing pending, sending, or in
        doubt for less than ``horizon`` (a lost worker's request may still be on the network).
        """
        tx.execute(_ENFORCED, {"ids": list(ids), "horizon": horizon})

    def still_open(self, tx: Transaction, ids: Sequence[int]) -> frozenset[int]:
        """Those of ``ids`` that are not enforced yet."""
        return frozenset(row.event_id for row in tx.execute(_OPEN_OF, {"ids": list(ids)}))

    def all_open(self, tx: Transaction) -> list[int]:
        """Every opt-out that is stored and not enforced yet, oldest first."""
        return [row.event_id for row in tx.execute(_OPEN)]


_OLDEST_RUNNING = text("""
    SELECT CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)
""")
_WRITTEN_BETWEEN = text("""
    SELECT DISTINCT tenant_id, recipient FROM consent_event
    WHERE written_by >= CAST(CAST(:position AS text) AS xid8)
      AND written_by < CAST(CAST(:upto AS text) AS xid8)
""")


def oldest_running(tx: Transaction) -> int:
    """The oldest transaction that is still running: everything before it is visible."""
    return int(tx.execute(_OLDEST_RUNNING).scalar_one())


@dataclass(frozen=True, kw_only=True)
class LogStretch:
    """A stretch of the consent log whose transactions have all ended."""

    #: Where the next read begins.
    upto: int
    #: The (tenant, recipient) pairs whose consent changed in it.
    people: tuple[tuple[int, int], ...]


def changed_since(tx: Transaction, position: int) -> LogStretch:
    """Whose consent changed in transactions from ``position`` to the oldest one still running.

    Positions are transaction ids, not event ids: those are handed out before commit, so a
    smaller event id may appear after a larger one. Below the oldest running transaction nothing
    can appear any more.
    """
    upto = oldest_running(tx)
    rows = tx.execute(_WRITTEN_BETWEEN, {"position": str(position), "upto": str(upto)})
    return LogStretch(upto=upto, people=tuple((r.tenant_id, r.recipient) for r in rows))


_SCOPE_COUNTS = text("""
    SELECT tenant_id, scope, count(DISTINCT recipient) AS size FROM suppression GROUP BY 1, 2
""")
_SCOPE_COUNT = text("""
    SELECT count(DISTINCT recipient) FROM suppression
    WHERE tenant_id = :tenant_id AND scope = :scope
""")
_SCOPE_MEMBERS = text("""
    SELECT DISTINCT recipient FROM suppression WHERE tenant_id = :tenant_id AND scope = :scope
""")


def scope_sizes(tx: Transaction) -> dict[tuple[int, int], int]:
    """How many recipients each (tenant, scope) suppresses; scopes without any are absent."""
    return {(row.tenant_id, row.scope): row.size for row in tx.execute(_SCOPE_COUNTS)}


def scope_size(tx: Transaction, *, tenant_id: int, scope: int) -> int:
    """How many recipients one (tenant, scope) suppresses."""
    found = tx.execute(_SCOPE_COUNT, {"tenant_id": tenant_id, "scope": scope})
    return int(found.scalar_one())


def members(tx: Transaction, *, tenant_id: int, scope: int) -> Iterator[int]:
    """The recipients one (tenant, scope) suppresses, streamed."""
    streamed = tx.execution_options(yield_per=20_000)
    with streamed.execute(_SCOPE_MEMBERS, {"tenant_id": tenant_id, "scope": scope}) as found:
        for row in found:
            yield row.recipient
