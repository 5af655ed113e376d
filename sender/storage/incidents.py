"""Incidents (a 21610 that got past us), receipts of status callbacks, and alarms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.expression import bindparam

from sender.domain.incident import RACE_WINDOW
from sender.domain.receipt import Receipt
from sender.storage.database import Transaction


@dataclass(frozen=True, kw_only=True)
class NewIncident:
    """A 21610 with the first trace of how it got past suppression."""

    tenant_id: int
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
    INSERT INTO incident (tenant_id, message_id, sender_id, recipient, code, door, began_at,
                          cause, detail)
    VALUES (:tenant_id, :message_id, :sender_id, :recipient, :code, :door, :began_at,
            :cause, :detail)
    ON CONFLICT (message_id) DO NOTHING
""").bindparams(bindparam("detail", type_=JSONB))

_RECEIPT = text("""
    INSERT INTO receipt (message_id, sid, status, code)
    SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:sids AS text[]), CAST(:statuses AS text[]),
                         CAST(:codes AS integer[]))
    ON CONFLICT DO NOTHING
""")

_ALARM = text("INSERT INTO alarm (kind, detail) VALUES (:kind, :detail)").bindparams(
    bindparam("detail", type_=JSONB)
)


def open_incident(tx: Transaction, incident: NewIncident) -> None:
    """Store an incident; one for each message."""
    tx.execute(_OPEN, {**vars(incident), "detail": dict(incident.detail)})


def keep_receipts(tx: Transaction, receipts: Sequence[Receipt]) -> None:
    """Record status callbacks; one that is already recorded changes nothing."""
    values = {
        "ids": [one.message_id for one in receipts],
        "sids": [one.sid for one in receipts],
        "statuses": [one.status for one in receipts],
        "codes": [one.code or 0 for one in receipts],
    }
    tx.execute(_RECEIPT, values)


def raise_alarm(tx: Transaction, kind: str, detail: Mapping[str, Any]) -> None:
    """Store something an operator must look at."""
    tx.execute(_ALARM, {"kind": kind, "detail": dict(detail)})


_RETRACE = text("""
    UPDATE incident i
    SET cause = 'raced_stop',
        detail = jsonb_build_object('raced_by_ms',
            round(extract(epoch FROM clock_timestamp() - i.began_at) * 1000, 1))
    WHERE i.recipient = :recipient AND i.tenant_id = :tenant_id
      AND i.cause IN ('unknown', 'imported_opted_out')
      AND i.began_at > clock_timestamp() - CAST(:window AS interval)
""")


def retrace_races(tx: Transaction, *, tenant_id: int, recipient: int) -> None:
    """A STOP that has just arrived explains the 21610 that overtook it."""
    values = {"tenant_id": tenant_id, "recipient": recipient, "window": RACE_WINDOW}
    tx.execute(_RETRACE, values)
