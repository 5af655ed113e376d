"""The consent log and what follows from it: suppressions, and opt-outs to enforce."""

import secrets
from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import RowMapping, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.expression import bindparam

from sender.domain.chain import SALT_BYTES, evidence_digest
from sender.domain.consent import (
    ConsentEvent,
    Direction,
    NewConsentEvent,
    ReasonClass,
    Suppression,
    fold,
)
from sender.storage.database import Transaction
from sender.storage.texts import storable_texts

#: First part of the name of a tenant's lock, "cons" in ASCII; the second is the tenant's id. A lock
#: on one bigint, so that it cannot meet the persons' locks, which are on two integers.
_LIST_LOCK = 0x636F6E73

_LOCK_PERSON = text("""
    SELECT pg_advisory_xact_lock_shared(:list_lock),
           pg_advisory_xact_lock(:tenant_id, hashint8(:recipient))
""")
_LOCK_LIST = text("SELECT pg_advisory_xact_lock(:list_lock)")

_APPEND = text("""
    INSERT INTO consent_event (tenant_id, recipient, scope, direction, reason, source, source_id,
                               provider_at, author, batch_id, evidence_digest)
    VALUES (:tenant_id, :recipient, :scope, :direction, :reason, :source, :source_id,
            :provider_at, :author, :batch_id, :digest)
    ON CONFLICT DO NOTHING
    RETURNING id
""")
_KEEP_EVIDENCE = text("""
    INSERT INTO consent_evidence (event_id, salt, content) VALUES (:event_id, :salt, :content)
""").bindparams(bindparam("content", type_=JSONB))

_SAME = text("""
    SELECT id FROM consent_event
    WHERE source = :source AND source_id = :source_id AND direction = :direction
      AND scope = :scope AND coalesce(reason, '') = coalesce(CAST(:reason AS text), '')
""")

_LOG = """
    SELECT e.id, e.tenant_id, e.recipient, e.scope, e.direction, e.reason, e.source, e.source_id,
           coalesce(e.provider_at, t.provider_at) AS provider_at, e.author, e.batch_id,
           coalesce(v.content, '{}') AS evidence, e.received_at
    FROM consent_event e
    LEFT JOIN consent_time t ON e.source = 'inbound' AND t.source_id = e.source_id
    LEFT JOIN consent_evidence v ON v.event_id = e.id
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
    lifts could overwrite the one that suppresses. Taken before any message row is locked. Waits
    while an import holds the whole list.
    """
    values = {
        "list_lock": _list_lock(tenant_id),
        "tenant_id": tenant_id,
        "recipient": recipient,
    }
    tx.execute(_LOCK_PERSON, values)


def lock_list(tx: Transaction, *, tenant_id: int) -> None:
    """Lock every person of a tenant's list at once: for a batch, and for a moment only.

    Locks on single persons would not do: thousands of them exceed Postgres's table of locks.
    """
    tx.execute(_LOCK_LIST, {"list_lock": _list_lock(tenant_id)})


def _list_lock(tenant_id: int) -> int:
    return _LIST_LOCK << 32 | tenant_id


def append(tx: Transaction, event: NewConsentEvent) -> int:
    """Store an event and fold the person anew; storing the same event twice changes nothing.

    Returns:
        The event's id, new or old.
    """
    lock_person(tx, tenant_id=event.tenant_id, recipient=event.recipient)
    values: dict[str, object] = {
        "tenant_id": event.tenant_id,
        "recipient": event.recipient,
        "scope": event.scope,
        "direction": event.direction.value,
        "reason": event.reason.value if event.reason else None,
        "source": event.source,
        "source_id": event.source_id,
        "provider_at": event.provider_at,
        "author": event.author,
        "batch_id": event.batch_id,
        "digest": None,
    }
    salt = secrets.token_bytes(SALT_BYTES)
    evidence = storable_texts(event.evidence)
    if evidence:
        values["digest"] = evidence_digest(salt, evidence)
    stored = tx.execute(_APPEND, values).scalar_one_or_none()
    if stored is None:
        return int(tx.execute(_SAME, values).scalar_one())
    if evidence:
        tx.execute(_KEEP_EVIDENCE, {"event_id": stored, "salt": salt, "content": evidence})
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


_EVENTS_OF_MANY = text(f"{_LOG} AND e.recipient = ANY (CAST(:recipients AS bigint[]))")
_FORGET_MANY = text("""
    DELETE FROM suppression
    WHERE tenant_id = :tenant_id AND recipient = ANY (CAST(:recipients AS bigint[]))
""")
_REMEMBER_MANY = text("""
    INSERT INTO suppression (recipient, tenant_id, scope, reason, event_id, since)
    SELECT r, :tenant_id, s, w, e, t
    FROM unnest(CAST(:persons AS bigint[]), CAST(:scopes AS integer[]), CAST(:reasons AS text[]),
                CAST(:events AS bigint[]), CAST(:times AS timestamptz[])) AS one (r, s, w, e, t)
""")


def refold_many(tx: Transaction, *, tenant_id: int, recipients: Sequence[int]) -> None:
    """Fold many people at once; the whole list must be locked."""
    if not recipients:
        return
    who = {"tenant_id": tenant_id, "recipients": list(recipients)}
    events: defaultdict[int, list[ConsentEvent]] = defaultdict(list)
    for row in tx.execute(_EVENTS_OF_MANY, who).mappings():
        events[row["recipient"]].append(_event(row))
    entries = [entry for person in recipients for entry in fold(events[person])]
    tx.execute(_FORGET_MANY, who)
    values = {
        "tenant_id": tenant_id,
        "persons": [entry.recipient for entry in entries],
        "scopes": [entry.scope for entry in entries],
        "reasons": [entry.reason.value for entry in entries],
        "events": [entry.event_id for entry in entries],
        "times": [entry.since for entry in entries],
    }
    tx.execute(_REMEMBER_MANY, values)


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
