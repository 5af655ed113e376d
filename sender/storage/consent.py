"""The consent log and what follows from it: suppressions, and opt-outs to enforce."""

import json
import secrets
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import RowMapping, text

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

_LOCK_PEOPLE = text("""
    SELECT pg_advisory_xact_lock(one.tenant_id, one.hash) FROM (
        SELECT DISTINCT tenant_id, hashint8(recipient) AS hash
        FROM unnest(CAST(:tenants AS integer[]), CAST(:recipients AS bigint[]))
             AS person (tenant_id, recipient)
        ORDER BY tenant_id, hash
    ) AS one
""")
_SHARE_LIST = text("SELECT pg_advisory_xact_lock_shared(:list_lock)")

_APPEND = text("""
    INSERT INTO consent_event (tenant_id, recipient, scope, direction, reason, source, source_id,
                               provider_at, author, batch_id, evidence_digest)
    SELECT tenant_id, recipient, scope, direction, reason, source, source_id, provider_at, author,
           batch_id, digest
    FROM unnest(CAST(:tenant_id AS integer[]), CAST(:recipient AS bigint[]),
                CAST(:scope AS integer[]), CAST(:direction AS text[]), CAST(:reason AS text[]),
                CAST(:source AS text[]), CAST(:source_id AS text[]),
                CAST(:provider_at AS timestamptz[]), CAST(:author AS text[]),
                CAST(:batch_id AS bigint[]), CAST(:digest AS bytea[]))
         WITH ORDINALITY
         AS event (tenant_id, recipient, scope, direction, reason, source, source_id, provider_at,
                   author, batch_id, digest, n)
    ORDER BY n
    ON CONFLICT DO NOTHING
    RETURNING id, source, source_id, direction, scope, coalesce(reason, '') AS reason
""")
_KEEP_EVIDENCE = text("""
    INSERT INTO consent_evidence (event_id, salt, content)
    SELECT event_id, salt, CAST(content AS jsonb)
    FROM unnest(CAST(:ids AS bigint[]), CAST(:salts AS bytea[]), CAST(:contents AS text[]))
         AS one (event_id, salt, content)
""")

_SAME = text("""
    SELECT id FROM consent_event
    WHERE source = :source AND source_id = :source_id AND direction = :direction
      AND scope = :scope AND coalesce(reason, '') = :reason
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


def lock_people(tx: Transaction, people: Iterable[tuple[int, int]]) -> None:
    """The same for many people, by tenant and recipient, in one order whoever asks."""
    wanted = sorted(set(people))
    if not wanted:
        return
    tenants = [tenant_id for tenant_id, _ in wanted]
    for tenant_id in dict.fromkeys(tenants):
        tx.execute(_SHARE_LIST, {"list_lock": _list_lock(tenant_id)})
    tx.execute(_LOCK_PEOPLE, {"tenants": tenants, "recipients": [one for _, one in wanted]})


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
    (stored,) = append_all(tx, [event])
    return stored


def append_all(tx: Transaction, events: Sequence[NewConsentEvent]) -> list[int]:
    """The same for events of people who are all locked; their ids, in order.

    Costs as many statements for a hundred events as for one.
    """
    if not events:
        return []
    kept = [(secrets.token_bytes(SALT_BYTES), storable_texts(one.evidence)) for one in events]
    digests = [evidence_digest(salt, content) if content else None for salt, content in kept]
    found = tx.execute(_APPEND, _columns_of(events) | {"digest": digests})
    ids: dict[tuple[object, ...], int] = {
        (row.source, row.source_id, row.direction, row.scope, row.reason): row.id for row in found
    }
    new = [ids.get(tuple(_identity(one).values())) for one in events]
    evidence: dict[int, tuple[bytes, dict[str, str]]] = {}
    changed: defaultdict[int, list[int]] = defaultdict(list)
    for event, id_, one in zip(events, new, kept, strict=True):
        if id_ is not None:
            evidence.setdefault(id_, one)  # the same event twice: the first was stored
            changed[event.tenant_id].append(event.recipient)
    _keep_evidence(tx, evidence)
    for tenant_id, recipients in changed.items():
        refold_many(tx, tenant_id=tenant_id, recipients=list(dict.fromkeys(recipients)))
    return [
        int(tx.execute(_SAME, _identity(event)).scalar_one()) if id_ is None else id_
        for event, id_ in zip(events, new, strict=True)
    ]


def _columns_of(events: Sequence[NewConsentEvent]) -> dict[str, list[object]]:
    return {
        "tenant_id": [one.tenant_id for one in events],
        "recipient": [one.recipient for one in events],
        "scope": [one.scope for one in events],
        "direction": [one.direction.value for one in events],
        "reason": [one.reason.value if one.reason else None for one in events],
        "source": [one.source for one in events],
        "source_id": [one.source_id for one in events],
        "provider_at": [one.provider_at for one in events],
        "author": [one.author for one in events],
        "batch_id": [one.batch_id for one in events],
    }


def _identity(event: NewConsentEvent) -> dict[str, object]:
    """What tells an event from every other one."""
    return {
        "source": event.source,
        "source_id": event.source_id,
        "direction": event.direction.value,
        "scope": event.scope,
        "reason": event.reason.value if event.reason else "",
    }


def _keep_evidence(tx: Transaction, kept: Mapping[int, tuple[bytes, Mapping[str, str]]]) -> None:
    given = {id_: one for id_, one in kept.items() if one[1]}
    if given:
        values = {
            "ids": list(given),
            "salts": [salt for salt, _ in given.values()],
            "contents": [json.dumps(content) for _, content in given.values()],
        }
        tx.execute(_KEEP_EVIDENCE, values)


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
    return frozenset(refold_many(tx, tenant_id=tenant_id, recipients=[recipient]))


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


def refold_many(tx: Transaction, *, tenant_id: int, recipients: Sequence[int]) -> list[Suppression]:
    """The same for many people at once; each of them must be locked, or the whole list."""
    if not recipients:
        return []
    who = {"tenant_id": tenant_id, "recipients": list(recipients)}
    events: defaultdict[int, list[ConsentEvent]] = defaultdict(list)
    for row in tx.execute(_EVENTS_OF_MANY, who).mappings():
        events[row["recipient"]].append(_event(row))
    entries = [
        entry
        for person in recipients
        for entry in sorted(fold(events[person]), key=lambda one: (one.scope, one.reason))
    ]
    tx.execute(_FORGET_MANY, who)
    if not entries:
        return []
    values = {
        "tenant_id": tenant_id,
        "persons": [entry.recipient for entry in entries],
        "scopes": [entry.scope for entry in entries],
        "reasons": [entry.reason.value for entry in entries],
        "events": [entry.event_id for entry in entries],
        "times": [entry.since for entry in entries],
    }
    tx.execute(_REMEMBER_MANY, values)
    return entries


_SUPPRESSIONS = text("""
    SELECT recipient, tenant_id, scope, reason, event_id, since FROM suppression
    WHERE recipient = ANY (CAST(:recipients AS bigint[])) AND tenant_id IN (0, :tenant_id)
    ORDER BY since, reason
""")


def suppressions_of(tx: Transaction, *, tenant_id: int, recipient: int) -> list[Suppression]:
    """What is enforced for a person: the tenant's entries and the platform-wide ones."""
    return suppressions_of_many(tx, tenant_id=tenant_id, recipients=[recipient])[recipient]


def suppressions_of_many(
    tx: Transaction, *, tenant_id: int, recipients: Sequence[int]
) -> dict[int, list[Suppression]]:
    """The same for each of these people."""
    found: dict[int, list[Suppression]] = {one: [] for one in recipients}
    rows = tx.execute(_SUPPRESSIONS, {"tenant_id": tenant_id, "recipients": list(found)})
    for row in rows.mappings():
        reason = ReasonClass(row["reason"])
        found[row["recipient"]].append(Suppression(**{**row, "reason": reason}))
    return found


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
