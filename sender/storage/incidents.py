"""Incidents (a 21610 that got past us), receipts of status callbacks, and alarms."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.expression import bindparam

from sender.domain.incident import Because, Cause, LoggedKeyword, Trace
from sender.domain.receipt import Receipt
from sender.storage.database import Transaction


@dataclass(frozen=True, kw_only=True)
class NewIncident:
    """A 21610 with the first trace of how it got past suppression."""

    tenant_id: int
    campaign_id: int
    message_id: UUID
    sender_id: int
    recipient: int
    code: int
    #: ``create`` (HTTP 400) or ``callback``.
    door: str
    #: When our request began.
    began_at: datetime
    cause: str
    detail: Mapping[str, Any]


_OPEN = text("""
    INSERT INTO incident (tenant_id, campaign_id, message_id, sender_id, recipient, code, door,
                          began_at, cause, detail)
    VALUES (:tenant_id, :campaign_id, :message_id, :sender_id, :recipient, :code, :door,
            :began_at, :cause, :detail)
    ON CONFLICT (message_id) DO NOTHING
""").bindparams(bindparam("detail", type_=JSONB))

_RECEIPT = text("""
    INSERT INTO receipt (message_id, sid, status, code, source)
    SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:sids AS text[]), CAST(:statuses AS text[]),
                         CAST(:codes AS integer[]), CAST(:sources AS text[]))
    ON CONFLICT DO NOTHING
""")

_ALARM = text("INSERT INTO alarm (kind, detail) VALUES (:kind, :detail)").bindparams(
    bindparam("detail", type_=JSONB)
)


def open_incident(tx: Transaction, incident: NewIncident) -> bool:
    """Store an incident, one for each message; whether it is new."""
    return bool(tx.execute(_OPEN, {**vars(incident), "detail": dict(incident.detail)}).rowcount)


def keep_receipts(tx: Transaction, receipts: Sequence[Receipt]) -> None:
    """Record status callbacks; one that is already recorded changes nothing."""
    values = {
        "ids": [one.message_id for one in receipts],
        "sids": [one.sid for one in receipts],
        "statuses": [one.status for one in receipts],
        "codes": [one.code or 0 for one in receipts],
        "sources": [one.source.value for one in receipts],
    }
    tx.execute(_RECEIPT, values)


def raise_alarm(tx: Transaction, kind: str, detail: Mapping[str, Any]) -> None:
    """Store something an operator must look at."""
    tx.execute(_ALARM, {"kind": kind, "detail": dict(detail)})


@dataclass(frozen=True, kw_only=True)
class Traced:
    """A stored incident, as far as its cause depends on it."""

    id: int
    message_id: UUID
    sender_id: int
    began_at: datetime
    #: When we were told of it.
    told_at: datetime
    guarded_at: datetime | None
    cause: Cause
    detail: Mapping[str, Any]
    logged: tuple[LoggedKeyword, ...]


_OF_PERSON = text("""
    SELECT i.id, i.message_id, i.sender_id, i.began_at, i.created_at AS told_at, i.cause, i.detail,
           coalesce(i.log, '[]') AS logged
    FROM incident i
    WHERE i.recipient = :recipient AND i.tenant_id = :tenant_id
      AND i.began_at > now() - CAST(:youngest AS interval)
    ORDER BY i.id FOR UPDATE OF i
""")
#: By themselves: most people have none, and a join would plan for every month there is.
_GUARDED = text("SELECT id, guarded_at FROM message WHERE id = ANY (CAST(:ids AS uuid[]))")
_RETRACE = text("""
    UPDATE incident SET cause = :cause, detail = :detail, because = :because WHERE id = :id
""").bindparams(bindparam("detail", type_=JSONB))


_WITH_ANY = text("""
    SELECT DISTINCT recipient FROM incident
    WHERE tenant_id = :tenant_id AND recipient = ANY (CAST(:recipients AS bigint[]))
      AND began_at > now() - CAST(:youngest AS interval)
""")


def people_with_any(
    tx: Transaction, *, tenant_id: int, recipients: Sequence[int], youngest: timedelta
) -> set[int]:
    """Those of these people who have incidents that are younger than that."""
    values = {"tenant_id": tenant_id, "recipients": list(recipients), "youngest": youngest}
    return {row.recipient for row in tx.execute(_WITH_ANY, values)}


def of_person(
    tx: Transaction, *, tenant_id: int, recipient: int, youngest: timedelta
) -> list[Traced]:
    """A person's incidents that are younger than that, locked; no other ones are traced anew."""
    values = {"tenant_id": tenant_id, "recipient": recipient, "youngest": youngest}
    found = list(tx.execute(_OF_PERSON, values).mappings())
    if not found:
        return []
    messages = tx.execute(_GUARDED, {"ids": [row["message_id"] for row in found]})
    guarded = {row.id: row.guarded_at for row in messages}
    return [
        Traced(
            **{**row, "cause": Cause(row["cause"]), "logged": logged(row["logged"])},
            guarded_at=guarded.get(row["message_id"]),
        )
        for row in found
    ]


def retrace(tx: Transaction, incident_id: int, found: Trace, *, because: Because) -> None:
    """Have an incident show another cause; what it showed before is kept (`incident_cause`)."""
    values = {"id": incident_id, "cause": found.cause.value, "detail": found.detail}
    tx.execute(_RETRACE, {**values, "because": because.value})


def logged(kept: Sequence[Mapping[str, Any]]) -> tuple[LoggedKeyword, ...]:
    """What was kept of the provider's log."""
    return tuple(LoggedKeyword(**{**one, "at": datetime.fromisoformat(one["at"])}) for one in kept)


@dataclass(frozen=True, kw_only=True)
class DueLook:
    """An incident about whose person Twilio's log is to be asked."""

    id: int
    tenant_id: int
    sender_id: int
    recipient: int
    began_at: datetime


#: Claimed before Twilio is asked: who fails on one keeps nobody from the others. The open causes
#: are asked for again, each time later; a STOP that is there by then came late.
_CLAIM_LOOK = text("""
    WITH due AS (
        SELECT id FROM incident WHERE next_look <= now()
        ORDER BY next_look LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    UPDATE incident i
    SET looks = looks + 1,
        next_look = now() + (CAST(:pauses AS interval[]))[i.looks + 1]
    FROM due WHERE i.id = due.id
    RETURNING i.id, i.tenant_id, i.sender_id, i.recipient, i.began_at
""")
_KEEP_LOG = text("""
    UPDATE incident SET log = :log, looked_at = clock_timestamp() WHERE id = :id
""").bindparams(bindparam("log", type_=JSONB))
_ASK_NO_MORE = text("""
    UPDATE incident SET next_look = NULL WHERE id = :id AND NOT cause = ANY (CAST(:open AS text[]))
""")


def claim_looks(tx: Transaction, *, limit: int, pauses: Sequence[timedelta]) -> list[DueLook]:
    """Incidents to ask Twilio's log about now, put off by their next pause; at last for good."""
    values = {"limit": limit, "pauses": list(pauses)}
    return [DueLook(**row) for row in tx.execute(_CLAIM_LOOK, values).mappings()]


def keep_log(tx: Transaction, incident_id: int, log: Sequence[LoggedKeyword]) -> None:
    """Keep what Twilio's log has of the person."""
    kept = [{**vars(one), "at": one.at.isoformat()} for one in log]
    tx.execute(_KEEP_LOG, {"id": incident_id, "log": kept})


def ask_no_more(tx: Transaction, incident_id: int, *, unless: Collection[Cause]) -> None:
    """Leave Twilio's log alone from now on, unless one of these causes stands."""
    tx.execute(_ASK_NO_MORE, {"id": incident_id, "open": [one.value for one in unless]})
