"""The texts senders answer with, where somebody has set any."""

from collections.abc import Mapping, Sequence

from sqlalchemy import text

from sender.domain.replies import ReplyEvent
from sender.storage.database import Transaction

_OF = text("""
    SELECT event, body FROM sender_reply
    WHERE sender_id = ANY (CAST(:ids AS integer[]))
    ORDER BY array_position(CAST(:ids AS integer[]), sender_id) DESC
""")
_SET = text("""
    INSERT INTO sender_reply (sender_id, event, body) VALUES (:sender_id, :event, :body)
    ON CONFLICT (sender_id, event) DO UPDATE SET body = EXCLUDED.body
""")
_CLEAR = text("DELETE FROM sender_reply WHERE sender_id = :sender_id AND event = :event")


def texts_of(tx: Transaction, sender_ids: Sequence[int]) -> Mapping[ReplyEvent, str]:
    """What these senders answer; of two texts for one event, the first sender's."""
    rows = tx.execute(_OF, {"ids": list(sender_ids)})
    return {ReplyEvent(row.event): row.body for row in rows}


def set_text(tx: Transaction, sender_id: int, event: ReplyEvent, body: str) -> None:
    """Have a sender answer an event with this text; an empty one ends it."""
    values = {"sender_id": sender_id, "event": event.value, "body": body}
    tx.execute(_SET if body else _CLEAR, values)
