"""The intake as people see it, and what they decide about it: whom to allow, what to release."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from sender.storage import holds
from sender.storage.database import Transaction
from sender.storage.holds import INTAKE_GAP, SILENT, Level


@dataclass(frozen=True, kw_only=True)
class SourceRecord:
    """A source that must live."""

    source: str
    beaten_at: datetime
    #: Without a sign of life it is silent from then on.
    good_until: datetime
    silent: bool


@dataclass(frozen=True, kw_only=True)
class SenderRecord:
    """What is known of one sender's inbound messages."""

    sender_id: int
    sender: str
    tenant: str
    #: Everything that Twilio received before was read and applied; ``None``: nothing yet.
    pulled_upto: datetime | None
    #: When a webhook last told of an inbound message to it.
    last_webhook: datetime | None
    #: Pulls that failed since the last that did not, and the last one's error.
    failures: int
    failure: str
    #: Why Twilio's log cannot show what people text to it; empty: it can.
    blind: str
    #: Who allowed sending from it all the same; ``None``: nobody.
    allowed_by: str | None
    #: Since when STOPs may be missing, and why; ``None``: none are.
    gap_since: datetime | None
    gap_cause: str
    #: Whether a hold is in force because of that.
    held: bool


_SOURCES = text("""
    SELECT source, beaten_at, good_until, good_until < clock_timestamp() AS silent
    FROM intake_source ORDER BY source
""")
_SENDERS = text("""
    SELECT s.id AS sender_id, s.address AS sender, t.name AS tenant, i.pulled_upto,
           (SELECT max(m.received_at) FROM inbound m
            WHERE m.sender_id = s.id AND NOT m.pulled) AS last_webhook,
           coalesce(i.failures, 0) AS failures, coalesce(i.failure, '') AS failure,
           CASE WHEN s.kind = 'alphanumeric' THEN 'one_way' ELSE coalesce(i.blind, '') END AS blind,
           i.allowed_by, i.gap_since, coalesce(i.gap_cause, '') AS gap_cause,
           EXISTS (SELECT FROM hold h WHERE h.level = 'sender' AND h.subject = s.id
                     AND h.reason = :reason AND h.released_at IS NULL) AS held
    FROM sender s JOIN tenant t ON t.id = s.tenant_id
    LEFT JOIN intake_sender i ON i.sender_id = s.id
    ORDER BY t.id, s.id
""")
_ALLOW = text("""
    INSERT INTO intake_sender AS i (sender_id, allowed_by, allowed_why, allowed_at)
    VALUES (:sender_id, :author, :why, clock_timestamp())
    ON CONFLICT (sender_id) DO UPDATE
    SET allowed_by = excluded.allowed_by, allowed_why = excluded.allowed_why,
        allowed_at = excluded.allowed_at
""")
_FORBID = text("""
    UPDATE intake_sender SET allowed_by = NULL, allowed_why = '', allowed_at = NULL
    WHERE sender_id = :sender_id
""")
_END_GAP = text("""
    UPDATE intake_sender SET gap_since = NULL, gap_noticed_at = NULL, gap_cause = ''
    WHERE sender_id = :sender_id AND gap_since IS NOT NULL
""")


def sources(tx: Transaction) -> list[SourceRecord]:
    """What must live."""
    return [SourceRecord(**row) for row in tx.execute(_SOURCES).mappings()]


def senders(tx: Transaction) -> list[SenderRecord]:
    """Every sender, each tenant's together."""
    rows = tx.execute(_SENDERS, {"reason": INTAKE_GAP}).mappings()
    return [SenderRecord(**row) for row in rows]


def is_silent(tx: Transaction) -> bool:
    """Whether a source gives no sign of life: then nothing goes, whatever is lifted."""
    return bool(tx.execute(text(f"SELECT {SILENT}")).scalar_one())


def allow(tx: Transaction, sender_id: int, *, author: str, why: str) -> None:
    """Have a sender's gaps end with its tenant's others', should it be blind."""
    tx.execute(_ALLOW, {"sender_id": sender_id, "author": author, "why": why})


def forbid(tx: Transaction, sender_id: int) -> None:
    """Have them wait for a person again."""
    tx.execute(_FORBID, {"sender_id": sender_id})


def release(tx: Transaction, sender_id: int, *, author: str, why: str) -> bool:
    """End a sender's gap although nothing was read, and lift its hold; whether there was one."""
    ended = tx.execute(_END_GAP, {"sender_id": sender_id}).rowcount
    lifted = holds.release(tx, Level.SENDER, sender_id, author=author, why=why, only=INTAKE_GAP)
    return bool(ended or lifted)
