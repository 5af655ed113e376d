"""Inbound messages as they came, once each, and the provider times that are fetched later."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text

from sender.storage.database import Transaction


@dataclass(frozen=True, kw_only=True)
class InboundRow:
    """An inbound message ready to be stored."""

    sid: str
    tenant_id: int
    #: ``None`` when no sender of ours has the address it was sent to.
    sender_id: int | None
    #: ``None`` when From is no telephone number.
    recipient: int | None
    keyword: str
    body: str
    #: Every parameter of the webhook.
    raw: Mapping[str, str]
    #: What the webhook is answered with; empty for nothing.
    reply: str
    #: Whether the provider's log told of it, and no webhook.
    pulled: bool


#: A webhook says what the log does not (``OptOutType``): it takes the place of what was pulled.
_STORE = text("""
    INSERT INTO inbound (sid, tenant_id, sender_id, recipient, keyword, body, raw, reply, pulled)
    SELECT sid, tenant_id, sender_id, recipient, keyword, body, CAST(raw AS jsonb), reply, pulled
    FROM unnest(CAST(:sids AS text[]), CAST(:tenants AS integer[]), CAST(:senders AS integer[]),
                CAST(:recipients AS bigint[]), CAST(:keywords AS text[]), CAST(:bodies AS text[]),
                CAST(:raws AS text[]), CAST(:replies AS text[]), CAST(:pulled AS boolean[]))
         AS one (sid, tenant_id, sender_id, recipient, keyword, body, raw, reply, pulled)
    ON CONFLICT (sid) DO UPDATE
    SET keyword = excluded.keyword, raw = excluded.raw, reply = excluded.reply, pulled = false
    WHERE inbound.pulled AND NOT excluded.pulled
""")


def store(tx: Transaction, rows: Sequence[InboundRow]) -> None:
    """Keep inbound messages, each MessageSid once; one that is kept already stays as it is."""
    if not rows:
        return
    values = {
        "sids": [one.sid for one in rows],
        "tenants": [one.tenant_id for one in rows],
        "senders": [one.sender_id for one in rows],
        "recipients": [one.recipient for one in rows],
        "keywords": [one.keyword for one in rows],
        "bodies": [one.body for one in rows],
        "raws": [json.dumps(dict(one.raw)) for one in rows],
        "replies": [one.reply for one in rows],
        "pulled": [one.pulled for one in rows],
    }
    tx.execute(_STORE, values)


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What was made of an inbound message when it came first."""

    keyword: str
    reply: str
    #: How long ago that was.
    age: timedelta
    #: Whether only the provider's log has told of it.
    pulled: bool


_KEPT = text("""
    SELECT sid, keyword, reply, clock_timestamp() - received_at AS age, pulled
    FROM inbound WHERE sid = ANY (CAST(:sids AS text[]))
""")


def kept(tx: Transaction, sids: Sequence[str]) -> dict[str, Kept]:
    """How those of these messages that are kept were read and answered."""
    return {
        row.sid: Kept(keyword=row.keyword, reply=row.reply, age=row.age, pulled=row.pulled)
        for row in tx.execute(_KEPT, {"sids": list(sids)})
    }


_KNOWN = text("SELECT sid FROM inbound WHERE sid = ANY (CAST(:sids AS text[]))")


def known(tx: Transaction, sids: Sequence[str]) -> set[str]:
    """Those of these messages that are kept."""
    return {row.sid for row in tx.execute(_KNOWN, {"sids": list(sids)})}


@dataclass(frozen=True, kw_only=True)
class Undated:
    """A keyword whose provider time is not known yet."""

    sid: str
    tenant_id: int
    recipient: int
    keyword: str
    received_at: datetime
    #: How often it was asked for in vain.
    lookups: int


_UNDATED = text("""
    SELECT sid, tenant_id, recipient, keyword, received_at, lookups FROM inbound
    WHERE provider_at IS NULL AND keyword IN ('STOP', 'START', 'FREE_TEXT', 'REVIEW')
      AND recipient IS NOT NULL
      AND (next_lookup IS NULL OR next_lookup <= now())
    ORDER BY received_at LIMIT :limit
""")
_DATE = text("UPDATE inbound SET provider_at = :at WHERE sid = :sid AND provider_at IS NULL")
_NOTE_TIME = text("""
    INSERT INTO consent_time (source_id, provider_at) VALUES (:sid, :at) ON CONFLICT DO NOTHING
""")
_POSTPONE = text("""
    UPDATE inbound
    SET lookups = lookups + 1,
        next_lookup = now() + least(interval '1 hour', interval '1 second' * 2 ^ least(lookups, 12))
    WHERE sid = :sid
""")


def undated(tx: Transaction, *, limit: int) -> list[Undated]:
    """Keywords whose provider time should be asked for now, oldest first."""
    return [Undated(**row) for row in tx.execute(_UNDATED, {"limit": limit}).mappings()]


def set_provider_time(tx: Transaction, sid: str, at: datetime) -> None:
    """Record when the provider received it, in the log too; the first answer stands."""
    tx.execute(_DATE, {"sid": sid, "at": at})
    tx.execute(_NOTE_TIME, {"sid": sid, "at": at})


def postpone_lookup(tx: Transaction, sid: str) -> None:
    """Ask again later, each time twice as late, at most hourly."""
    tx.execute(_POSTPONE, {"sid": sid})


_PULLED = text("""
    SELECT sid FROM inbound
    WHERE sid = ANY (CAST(:sids AS text[])) AND raw = '{}' AND erased_at IS NULL
""")


def pulled(tx: Transaction, sids: Sequence[str]) -> frozenset[str]:
    """Those texts that came out of the provider's log: no webhook has described them."""
    return frozenset(row.sid for row in tx.execute(_PULLED, {"sids": list(sids)}))
