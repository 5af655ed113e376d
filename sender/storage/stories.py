"""Everything that is stored about one recipient, or one incident, read for people who ask why."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, text

from sender.domain.incident import Because, Cause
from sender.domain.message import State
from sender.domain.receipt import ReceiptSource
from sender.domain.story import CauseRecord, IncidentStory, Known, MessageStory, StoredText, Told
from sender.domain.story import Verdict as PersonsVerdict
from sender.storage import consent, enforcement
from sender.storage.database import Transaction
from sender.storage.incidents import logged

_MESSAGES = text("""
    SELECT m.id AS message_id, c.id AS campaign_id, c.name AS campaign, c.state AS campaign_state,
           s.address AS sender, c.created_at, m.line, m.state, m.reason, m.guarded_at,
           m.changed_at, m.sid, m.provider_status, m.provider_code,
           ARRAY(SELECT DISTINCT h.reason FROM hold h WHERE h.released_at IS NULL
                 AND (h.level = 'all' OR (h.level, h.subject) IN (
                     ('tenant', c.tenant_id), ('sender', c.sender_id), ('campaign', c.id)))
                 ORDER BY h.reason) AS holds
    FROM message m JOIN campaign c ON c.id = m.campaign_id JOIN sender s ON s.id = c.sender_id
    WHERE m.recipient = :recipient AND c.tenant_id = :tenant_id ORDER BY m.id
""")
_TOLD = text("""
    SELECT message_id, status, code, received_at, source FROM receipt
    WHERE message_id = ANY (CAST(:ids AS uuid[])) ORDER BY received_at
""")
_VERDICTS = text("""
    SELECT message_id, sent, author, evidence, given_at FROM verdict
    WHERE message_id = ANY (CAST(:ids AS uuid[]))
""")
_TEXTS = text("""
    SELECT i.sid, s.address AS sender, i.keyword, i.received_at, i.provider_at,
           i.raw = '{}' AND i.erased_at IS NULL AS pulled
    FROM inbound i LEFT JOIN sender s ON s.id = i.sender_id
    WHERE i.recipient = :recipient AND i.tenant_id = :tenant_id ORDER BY i.received_at
""")
_BATCHES = text("SELECT id, source_name FROM import_batch WHERE id = ANY (CAST(:ids AS bigint[]))")
_SENDERS = text("SELECT id, address FROM sender WHERE id = ANY (CAST(:ids AS integer[]))")
_STORIES = text("""
    SELECT i.id, i.message_id, i.campaign_id, i.door, i.began_at, i.created_at AS told_at,
           i.looked_at, coalesce(i.log, '[]') AS logged
    FROM incident i
    WHERE i.recipient = :recipient AND i.tenant_id = :tenant_id ORDER BY i.id
""")
_CAUSES = text("""
    SELECT incident_id, cause, detail, because, decided_at FROM incident_cause
    WHERE incident_id = ANY (CAST(:ids AS bigint[])) ORDER BY id
""")


def known(tx: Transaction, *, tenant_id: int, recipient: int) -> Known:
    """All about a tenant's recipient: a few looks into indexes on the number."""
    who = {"tenant_id": tenant_id, "recipient": recipient}
    events = consent.history(tx, **who)
    incidents = _incidents(tx, who)
    scopes = [event.scope for event in events]
    batches = [event.batch_id for event in events if event.batch_id is not None]
    return Known(
        messages=_messages(tx, who, {one.message_id for one in incidents}),
        texts=tuple(StoredText(**row) for row in tx.execute(_TEXTS, who).mappings()),
        events=tuple(events),
        enforced=enforcement.times_of(tx, [event.id for event in events]),
        batches={row.id: row.source_name for row in tx.execute(_BATCHES, {"ids": batches})},
        senders={row.id: row.address for row in tx.execute(_SENDERS, {"ids": scopes})},
        incidents=incidents,
    )


def _messages(
    tx: Transaction, who: Mapping[str, int], with_incident: set[UUID]
) -> tuple[MessageStory, ...]:
    rows = list(tx.execute(_MESSAGES, who).mappings())
    ids = {"ids": [row["message_id"] for row in rows]}
    told: defaultdict[UUID, list[Told]] = defaultdict(list)
    for one in tx.execute(_TOLD, ids):
        told[one.message_id].append(
            Told(
                status=one.status,
                code=one.code,
                received_at=one.received_at,
                source=ReceiptSource(one.source),
            )
        )
    verdicts = {one["message_id"]: _verdict(one) for one in tx.execute(_VERDICTS, ids).mappings()}
    return tuple(
        MessageStory(
            **{**row, "state": State(row["state"]), "holds": tuple(row["holds"])},
            has_incident=row["message_id"] in with_incident,
            told=tuple(told[row["message_id"]]),
            verdict=verdicts.get(row["message_id"]),
        )
        for row in rows
    )


def _verdict(row: RowMapping) -> PersonsVerdict:
    return PersonsVerdict(**{name: row[name] for name in row if name != "message_id"})


def _incidents(tx: Transaction, who: Mapping[str, int]) -> tuple[IncidentStory, ...]:
    rows = list(tx.execute(_STORIES, who).mappings())
    causes = _causes(tx, [row["id"] for row in rows])
    return tuple(
        IncidentStory(**{**row, "logged": logged(row["logged"])}, causes=tuple(causes[row["id"]]))
        for row in rows
    )


def _causes(tx: Transaction, ids: Sequence[int]) -> Mapping[int, list[CauseRecord]]:
    found: defaultdict[int, list[CauseRecord]] = defaultdict(list)
    for row in tx.execute(_CAUSES, {"ids": list(ids)}):
        record = CauseRecord(
            cause=Cause(row.cause),
            detail=row.detail,
            because=Because(row.because),
            decided_at=row.decided_at,
        )
        found[row.incident_id].append(record)
    return found


@dataclass(frozen=True, kw_only=True)
class Incident:
    """A 21610 that got past the list, and why, as far as is known."""

    id: int
    campaign_id: int
    #: The campaign's name.
    campaign: str
    #: The From number or Messaging Service SID.
    sender: str
    #: E.164 digits without the plus.
    recipient: int
    message_id: UUID
    cause: Cause
    #: What decided: ``raced_by_ms``, ``stop`` (its MessageSid), ``stop_at``, ``late_by_ms``.
    detail: Mapping[str, Any]
    #: What led to this cause: what was known at first, or what became known later.
    because: Because
    #: ``create``: as the answer to our request; ``callback``: later.
    door: str
    #: When our request began, and when we were told.
    began_at: datetime
    told_at: datetime


_INCIDENTS = """
    SELECT i.id, i.campaign_id, c.name AS campaign, s.address AS sender, i.recipient, i.message_id,
           i.cause, i.detail, i.because, i.door, i.began_at, i.created_at AS told_at
    FROM incident i JOIN campaign c ON c.id = i.campaign_id
    JOIN sender s ON s.id = i.sender_id
"""
_LIST = text(f"""
    {_INCIDENTS}
    WHERE i.tenant_id = :tenant_id
      AND (CAST(:campaign_id AS bigint) IS NULL OR i.campaign_id = :campaign_id)
      AND (CAST(:cause AS text) IS NULL OR i.cause = :cause)
      AND (CAST(:since AS timestamptz) IS NULL OR i.began_at >= :since)
    ORDER BY i.id DESC LIMIT :limit
""")  # built from a constant
_ONE = text(f"{_INCIDENTS} WHERE i.id = :id AND i.tenant_id = :tenant_id")


def incidents(  # filters by name
    tx: Transaction,
    *,
    tenant_id: int,
    campaign_id: int | None,
    cause: Cause | None,
    since: datetime | None,
    limit: int,
) -> list[Incident]:
    """A tenant's incidents, the newest first."""
    values = {"tenant_id": tenant_id, "campaign_id": campaign_id, "since": since, "limit": limit}
    found = tx.execute(_LIST, {**values, "cause": cause.value if cause else None})
    return [_incident(row) for row in found.mappings()]


def incident(tx: Transaction, incident_id: int, *, tenant_id: int) -> Incident | None:
    """One of a tenant's incidents."""
    row = tx.execute(_ONE, {"id": incident_id, "tenant_id": tenant_id}).mappings().one_or_none()
    return None if row is None else _incident(row)


def _incident(row: RowMapping) -> Incident:
    return Incident(**{**row, "cause": Cause(row["cause"]), "because": Because(row["because"])})
