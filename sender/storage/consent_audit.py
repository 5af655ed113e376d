"""The whole consent log with what follows from it, read in the order of people, for an audit."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from sqlalchemy import RowMapping, text

from sender.domain.consent import ConsentEvent, Direction, ReasonClass
from sender.storage.database import Transaction

PAGE = 5_000

_LOG = text("""
    SELECT e.id, e.tenant_id, e.recipient, e.scope, e.direction, e.reason, e.source, e.source_id,
           coalesce(e.provider_at, t.provider_at) AS provider_at, e.author, e.batch_id,
           e.received_at
    FROM consent_event e
    LEFT JOIN consent_time t ON e.source = 'inbound' AND t.source_id = e.source_id
    WHERE CAST(:tenant_id AS integer) IS NULL OR e.tenant_id = :tenant_id
    ORDER BY e.tenant_id, e.recipient
""")
_LIST = text("""
    SELECT tenant_id, recipient, scope, reason FROM suppression
    WHERE CAST(:tenant_id AS integer) IS NULL OR tenant_id = :tenant_id
    ORDER BY tenant_id, recipient
""")

#: A tenant and a recipient.
Person = tuple[int, int]
#: A scope and a reason class in it.
Entry = tuple[int, str]


def people(tx: Transaction, tenant_id: int | None) -> Iterator[tuple[Person, list[ConsentEvent]]]:
    """Everybody's events (of one tenant, or of all), a person at a time, in order."""
    found = tx.execute(_LOG, {"tenant_id": tenant_id}, execution_options={"yield_per": PAGE})
    for person, rows in groupby(found.mappings(), key=_person):
        yield person, [_event(row) for row in rows]


def listed(tx: Transaction, tenant_id: int | None) -> Iterator[tuple[Person, set[Entry]]]:
    """What the list says of each person on it, in the same order."""
    found = tx.execute(_LIST, {"tenant_id": tenant_id}, execution_options={"yield_per": PAGE})
    for person, rows in groupby(found.mappings(), key=_person):
        yield person, {(row["scope"], row["reason"]) for row in rows}


def _person(row: RowMapping) -> Person:
    return row["tenant_id"], row["recipient"]


def _event(row: RowMapping) -> ConsentEvent:
    direction = Direction(row["direction"])
    reason = ReasonClass(row["reason"]) if row["reason"] else None
    return ConsentEvent(**{**row, "direction": direction, "reason": reason})


@dataclass(frozen=True, kw_only=True)
class StoredEvidence:
    """The digest in the log, and what stands beside it: one of them, or both."""

    event_id: int
    tenant_id: int
    recipient: int
    digest: bytes | None
    #: Both ``None`` where it was erased, or is missing.
    salt: bytes | None
    content: dict[str, str] | None
    erased: bool


_EVIDENCE = text("""
    SELECT e.id AS event_id, e.tenant_id, e.recipient, e.evidence_digest AS digest, v.salt,
           v.content, v.erased_at IS NOT NULL AS erased
    FROM consent_event e LEFT JOIN consent_evidence v ON v.event_id = e.id
    WHERE (e.evidence_digest IS NOT NULL OR v.event_id IS NOT NULL)
      AND (CAST(:tenant_id AS integer) IS NULL OR e.tenant_id = :tenant_id)
    ORDER BY e.id
""")


def evidence(tx: Transaction, tenant_id: int | None) -> Iterator[StoredEvidence]:
    """All evidence there is or that the log has a digest of, in the order of the events."""
    found = tx.execute(_EVIDENCE, {"tenant_id": tenant_id}, execution_options={"yield_per": PAGE})
    for row in found.mappings():
        yield StoredEvidence(
            **{**row, "digest": _bytes(row["digest"]), "salt": _bytes(row["salt"])}
        )


def _bytes(column: memoryview | bytes | None) -> bytes | None:
    return None if column is None else bytes(column)
