"""Which opt-outs Twilio's Consent API has been told of."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text

from sender.domain.consent import ReasonClass
from sender.domain.pushing import ItemAnswer, OptOutItem
from sender.storage.database import Transaction

#: Active opt-outs, by sender that can carry them: services and numbers that are in none (a block
#: on a service covers its numbers), never names, to which nobody can answer. Doubtful ones wait for
#: their review. What was told already, and nothing newer has happened, is left out.
_TO_TELL = """
    SELECT DISTINCT ON (f.id, s.recipient)
           s.event_id, f.id AS sender_id, f.address AS sender, s.recipient, s.reason,
           coalesce(e.provider_at, t.provider_at) AS since
    FROM suppression s
    JOIN sender f ON f.tenant_id = s.tenant_id AND s.scope IN (0, f.id)
     AND f.kind <> 'alphanumeric'
     AND NOT EXISTS (SELECT FROM sender_scope ss WHERE ss.sender_id = f.id AND ss.scope <> f.id)
    JOIN consent_event e ON e.id = s.event_id
    LEFT JOIN consent_time t ON e.source = 'inbound' AND t.source_id = e.source_id
    LEFT JOIN consent_push p ON p.sender_id = f.id AND p.recipient = s.recipient
    WHERE s.tenant_id = :tenant_id AND s.reason <> 'review'
      AND (p.event_id IS NULL OR p.event_id < s.event_id)
      AND (f.id, s.recipient) > (:sender_id, :recipient)
    ORDER BY f.id, s.recipient, s.event_id DESC
"""
_PAGE = text(f"{_TO_TELL} LIMIT :limit")
_COUNTS = text(f"""
    SELECT sender, count(*) AS items FROM ({_TO_TELL}) AS told GROUP BY sender ORDER BY sender
""")  # noqa: S608  # built from the constant above only
_RECORD = text("""
    INSERT INTO consent_push (sender_id, recipient, event_id, correlation_id, error)
    SELECT * FROM unnest(CAST(:senders AS integer[]), CAST(:recipients AS bigint[]),
                         CAST(:events AS bigint[]), CAST(:correlations AS text[]),
                         CAST(:errors AS text[]))
    ON CONFLICT (sender_id, recipient) DO UPDATE
    SET event_id = EXCLUDED.event_id, correlation_id = EXCLUDED.correlation_id,
        error = EXCLUDED.error, pushed_at = clock_timestamp()
""")


@dataclass(frozen=True, kw_only=True)
class Place:
    """How far a reader of what is to tell has come."""

    sender_id: int = 0
    recipient: int = 0


def to_tell(tx: Transaction, tenant_id: int, after: Place, *, limit: int) -> list[OptOutItem]:
    """The next opt-outs that Twilio has not been told of."""
    values = {"tenant_id": tenant_id, "limit": limit, **vars(after)}
    return [
        OptOutItem(**{**row, "reason": ReasonClass(row["reason"])})
        for row in tx.execute(_PAGE, values).mappings()
    ]


def counts(tx: Transaction, tenant_id: int) -> dict[str, int]:
    """How many there are, by sender."""
    found = tx.execute(_COUNTS, {"tenant_id": tenant_id, **vars(Place())})
    return {row.sender: row.items for row in found}


def record(tx: Transaction, told: Sequence[tuple[OptOutItem, ItemAnswer]]) -> None:
    """Keep what Twilio said of these."""
    values = {
        "senders": [item.sender_id for item, _ in told],
        "recipients": [item.recipient for item, _ in told],
        "events": [item.event_id for item, _ in told],
        "correlations": [item.correlation_id for item, _ in told],
        "errors": [answer.error for _, answer in told],
    }
    tx.execute(_RECORD, values)
