"""Lists of opt-outs in bulk: a chunk of rows in a transaction, folded as single events are."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.expression import bindparam

from sender.domain.consent import Direction
from sender.storage import consent, id_range
from sender.storage.database import Transaction
from sender.storage.id_range import WITHIN
from sender.storage.recalls import LONGEST_KEPT


@dataclass(frozen=True, kw_only=True)
class Batch:
    """An import as it is kept."""

    id: int
    author: str
    source_name: str
    file_digest: bytes
    #: Rows by what became of them.
    counts: dict[str, int]
    created_at: datetime
    #: ``None``: broken off; running the same file again goes on with it.
    finished_at: datetime | None
    undone_at: datetime | None
    undone_by: str | None
    undo_reason: str | None


@dataclass(frozen=True, kw_only=True)
class KeptEvidence:
    """What stands beside an event: see `sender.domain.chain`."""

    digest: bytes
    salt: bytes
    content: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class BatchEvent:
    """An event of a batch, before it is stored."""

    recipient: int
    scope: int
    direction: Direction
    reason: str
    source: str
    source_id: str
    provider_at: datetime | None
    author: str
    evidence: KeptEvidence | None = None


_COLUMNS = """
    id, author, source_name, file_digest, counts, created_at, finished_at, undone_at, undone_by,
    undo_reason
"""
_BEGIN = text("""
    INSERT INTO import_batch (tenant_id, author, source_name, file_digest)
    VALUES (:tenant_id, :author, :source_name, :file_digest) RETURNING id
""")
_FINISH = text("""
    UPDATE import_batch SET counts = :counts, finished_at = clock_timestamp() WHERE id = :id
""").bindparams(bindparam("counts", type_=JSONB))
_UNDO = text("""
    UPDATE import_batch
    SET undone_at = clock_timestamp(), undone_by = :author, undo_reason = :reason
    WHERE id = :id AND undone_at IS NULL
""")
_OF = text(f"""
    SELECT {_COLUMNS} FROM import_batch WHERE tenant_id = :tenant_id ORDER BY id
""")  # noqa: S608  # a constant
_GET = text(f"""
    SELECT {_COLUMNS} FROM import_batch WHERE tenant_id = :tenant_id AND id = :id
""")  # noqa: S608  # a constant
_SAME_FILE = text(f"""
    SELECT {_COLUMNS} FROM import_batch
    WHERE tenant_id = :tenant_id AND file_digest = :digest AND undone_at IS NULL
    ORDER BY id DESC LIMIT 1
""")  # noqa: S608  # a constant


def begin(tx: Transaction, *, tenant_id: int, author: str, source_name: str, digest: bytes) -> int:
    """Enter a batch; its id."""
    values = {
        "tenant_id": tenant_id,
        "author": author,
        "source_name": source_name,
        "file_digest": digest,
    }
    return int(tx.execute(_BEGIN, values).scalar_one())


def finish(tx: Transaction, batch_id: int, counts: dict[str, int]) -> None:
    """Record that a batch is whole, and what became of its rows."""
    tx.execute(_FINISH, {"id": batch_id, "counts": counts})


def mark_undone(tx: Transaction, batch_id: int, *, author: str, reason: str) -> bool:
    """Record who undid a batch and why; ``False`` if somebody had."""
    values = {"id": batch_id, "author": author, "reason": reason}
    return tx.execute(_UNDO, values).rowcount == 1


def every(tx: Transaction, tenant_id: int) -> list[Batch]:
    """A tenant's batches, oldest first."""
    return [_batch(row) for row in tx.execute(_OF, {"tenant_id": tenant_id}).mappings()]


def get(tx: Transaction, *, tenant_id: int, batch_id: int) -> Batch | None:
    """One of a tenant's batches."""
    values = {"tenant_id": tenant_id, "id": batch_id}
    row = tx.execute(_GET, values).mappings().one_or_none()
    return None if row is None else _batch(row)


def same_file(tx: Transaction, *, tenant_id: int, digest: bytes) -> Batch | None:
    """The latest batch of the same bytes that nobody has undone."""
    values = {"tenant_id": tenant_id, "digest": digest}
    row = tx.execute(_SAME_FILE, values).mappings().one_or_none()
    return None if row is None else _batch(row)


def _batch(row: Any) -> Batch:
    return Batch(**{**row, "file_digest": bytes(row["file_digest"])})


_ADD = text("""
    INSERT INTO consent_event (tenant_id, recipient, scope, direction, reason, source, source_id,
                               provider_at, author, batch_id, evidence_digest)
    SELECT :tenant_id, e.recipient, e.scope, e.direction, e.reason, e.source, e.source_id,
           e.provider_at, e.author, :batch_id, e.digest
    FROM unnest(CAST(:recipients AS bigint[]), CAST(:scopes AS integer[]),
                CAST(:directions AS text[]), CAST(:reasons AS text[]), CAST(:sources AS text[]),
                CAST(:source_ids AS text[]), CAST(:times AS timestamptz[]),
                CAST(:authors AS text[]), CAST(:digests AS bytea[]))
         AS e (recipient, scope, direction, reason, source, source_id, provider_at, author, digest)
    ON CONFLICT DO NOTHING
    RETURNING id, recipient, source_id
""")
_KEEP_EVIDENCE = text("""
    INSERT INTO consent_evidence (event_id, salt, content)
    SELECT one.id, one.salt, CAST(one.content AS jsonb)
    FROM unnest(CAST(:ids AS bigint[]), CAST(:salts AS bytea[]), CAST(:contents AS text[]))
         AS one (id, salt, content)
""")
_KNOWN_BEFORE = text("""
    SELECT DISTINCT recipient FROM consent_event
    WHERE tenant_id = :tenant_id AND recipient = ANY (CAST(:recipients AS bigint[]))
      AND id < :first
""")
_SUPPRESS_NEW = text("""
    INSERT INTO suppression (recipient, tenant_id, scope, reason, event_id, since)
    SELECT DISTINCT ON (e.recipient, e.scope, e.reason)
           e.recipient, e.tenant_id, e.scope, e.reason, e.id, coalesce(e.provider_at, e.received_at)
    FROM consent_event e
    WHERE e.id = ANY (CAST(:ids AS bigint[])) AND e.direction = 'opt_out'
      AND NOT EXISTS (SELECT FROM unnest(CAST(:known AS bigint[])) AS k (recipient)
                      WHERE k.recipient = e.recipient)
    ORDER BY e.recipient, e.scope, e.reason, e.provider_at DESC NULLS FIRST, e.id DESC
""")


def append(
    tx: Transaction, events: Sequence[BatchEvent], *, tenant_id: int, batch_id: int
) -> list[int]:
    """Store a chunk's events and fold everybody concerned; the ids of those that are new.

    The whole list is locked until the transaction ends: keep chunks small. Whoever has no other
    event needs no fold: an opt-out alone suppresses.
    """
    consent.lock_list(tx, tenant_id=tenant_id)
    stored = tx.execute(_ADD, _event_columns(events, tenant_id, batch_id)).all()
    ids = [row.id for row in stored]
    _keep_evidence(tx, events, {row.source_id: row.id for row in stored})
    if not ids:
        return []
    known = _fold_known(tx, sorted({row.recipient for row in stored}), min(ids), tenant_id)
    tx.execute(_SUPPRESS_NEW, {"ids": ids, "known": known})
    return ids


def _event_columns(
    events: Sequence[BatchEvent], tenant_id: int, batch_id: int
) -> dict[str, object]:
    return {
        "tenant_id": tenant_id,
        "batch_id": batch_id,
        "recipients": [one.recipient for one in events],
        "scopes": [one.scope for one in events],
        "directions": [one.direction.value for one in events],
        "reasons": [one.reason for one in events],
        "sources": [one.source for one in events],
        "source_ids": [one.source_id for one in events],
        "times": [one.provider_at for one in events],
        "authors": [one.author for one in events],
        "digests": [one.evidence.digest if one.evidence else None for one in events],
    }


def _keep_evidence(tx: Transaction, events: Sequence[BatchEvent], ids: dict[str, int]) -> None:
    kept = [
        (ids[one.source_id], one.evidence)
        for one in events
        if one.evidence and one.source_id in ids
    ]
    if kept:
        values = {
            "ids": [event_id for event_id, _ in kept],
            "salts": [evidence.salt for _, evidence in kept],
            "contents": [json.dumps(dict(evidence.content)) for _, evidence in kept],
        }
        tx.execute(_KEEP_EVIDENCE, values)


def _fold_known(
    tx: Transaction, recipients: Sequence[int], first_new: int, tenant_id: int
) -> list[int]:
    """Fold anew whoever has older events as well; who they are.

    The list is locked, so all that others have written is older than what we just have.
    """
    values = {"tenant_id": tenant_id, "recipients": list(recipients), "first": first_new}
    known = [row.recipient for row in tx.execute(_KNOWN_BEFORE, values)]
    consent.refold_many(tx, tenant_id=tenant_id, recipients=known)
    return known


_OPT_OUTS_OF = text("""
    SELECT id, recipient, scope, reason FROM consent_event
    WHERE batch_id = :batch_id AND direction = 'opt_out' AND id > :after ORDER BY id LIMIT :limit
""")


def opt_outs_of(tx: Transaction, batch_id: int, *, after: int, limit: int) -> list[Any]:
    """A page of a batch's opt-outs: id, recipient, scope and reason."""
    values = {"batch_id": batch_id, "after": after, "limit": limit}
    return list(tx.execute(_OPT_OUTS_OF, values))


_REQUEST = text(f"""
    INSERT INTO enforcement (event_id, tenant_id, recipient, scope)
    SELECT e.id, e.tenant_id, e.recipient, e.scope
    FROM consent_event e
    WHERE e.id = ANY (CAST(:ids AS bigint[])) AND e.direction = 'opt_out' AND e.reason <> 'review'
      AND EXISTS (SELECT FROM message m WHERE m.recipient = e.recipient AND {WITHIN})
    ON CONFLICT (event_id) DO NOTHING
    RETURNING event_id
""")  # noqa: S608  # built from a constant


def request_enforcement(tx: Transaction, ids: Sequence[int]) -> list[int]:
    """Ask for the enforcement of those of these opt-outs whose people have messages under way.

    In a transaction that began after theirs was committed: to anybody else nothing can have begun
    before, and nothing can begin since.
    """
    values = {"ids": list(ids), **id_range.of_open(tx, ended=LONGEST_KEPT)}
    return [row.event_id for row in tx.execute(_REQUEST, values)]


_ACTIVE = text("""
    SELECT recipient, scope, reason FROM suppression
    WHERE tenant_id = :tenant_id AND recipient = ANY (CAST(:recipients AS bigint[]))
""")


def active(
    tx: Transaction, *, tenant_id: int, recipients: Sequence[int]
) -> set[tuple[int, int, str]]:
    """Which (recipient, scope, reason) of these people are suppressed."""
    found = tx.execute(_ACTIVE, {"tenant_id": tenant_id, "recipients": list(recipients)})
    return {(row.recipient, row.scope, row.reason) for row in found}


@dataclass(frozen=True, kw_only=True)
class Listed:
    """An entry of the list, as it is exported."""

    recipient: int
    scope: str
    reason: str
    since: datetime | None
    author: str
    evidence: dict[str, str]


_LIST = text("""
    SELECT s.recipient, CASE s.scope WHEN 0 THEN 'all' ELSE f.address END AS scope, s.reason,
           coalesce(e.provider_at, t.provider_at) AS since, e.author,
           coalesce(v.content, '{}') AS evidence
    FROM suppression s
    JOIN consent_event e ON e.id = s.event_id
    LEFT JOIN consent_time t ON e.source = 'inbound' AND t.source_id = e.source_id
    LEFT JOIN consent_evidence v ON v.event_id = e.id
    LEFT JOIN sender f ON f.id = s.scope
    WHERE s.tenant_id = :tenant_id
    ORDER BY s.recipient, CASE s.scope WHEN 0 THEN 'all' ELSE f.address END COLLATE "C",
             s.reason COLLATE "C"
""")
#: Rows fetched at a time.
_PAGE = 10_000


def listed(tx: Transaction, tenant_id: int) -> Iterator[Listed]:
    """The whole list in one order, streamed."""
    found = tx.execute(_LIST, {"tenant_id": tenant_id}, execution_options={"yield_per": _PAGE})
    for row in found.mappings():
        yield Listed(**row)
