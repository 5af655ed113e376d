"""The consent log and what follows from it: suppressions, and opt-outs to enforce."""

from collections.abc import Sequence

from sqlalchemy import RowMapping, text

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

_LOG = """
    SELECT e.id, e.tenant_id, e.recipient, e.scope, e.direction, e.reason, e.source, e.source_id,
           coalesce(e.provider_at, i.provider_at) AS provider_at, e.author, e.evidence,
           e.received_at
    FROM consent_event e
    LEFT JOIN inbound i ON e.source = 'inbound' AND i.sid = e.source_id
    WHERE e.tenant_id = :tenant_id
"""
_EVENTS = text(f"{_LOG} AND e.recipient = :recipient ORDER BY e.id")
_ALL_EVENTS = text(f"{_LOG} ORDER BY e.id")

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
    rows = tx.execute(_EVENTS, {"tenant_id": tenant_id, "recipient": recipient})
    return [_event(row) for row in rows.mappings()]


def whole_log(tx: Transaction, *, tenant_id: int) -> list[ConsentEvent]:
    """Everybody's events with a tenant, oldest first: for an audit, not for the send path."""
    return [_event(row) for row in tx.execute(_ALL_EVENTS, {"tenant_id": tenant_id}).mappings()]


def _event(row: RowMapping) -> ConsentEvent:
    direction = Direction(row["direction"])
    reason = ReasonClass(row["reason"]) if row["reason"] else None
    return ConsentEvent(**{**row, "direction": direction, "reason": reason})


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
