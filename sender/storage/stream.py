"""Which events of Event Streams were applied."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import text

from sender.storage.database import Transaction

#: Twilio repeats an event for four hours at most.
KEPT = timedelta(days=7)
#: Forgotten for each batch that comes: more than come with it.
FORGOTTEN_AT_A_TIME = 2000

_SEEN = text("SELECT id FROM stream_event WHERE id = ANY (CAST(:ids AS text[]))")
_NOTE = text("""
    INSERT INTO stream_event (id) SELECT unnest(CAST(:ids AS text[])) ON CONFLICT DO NOTHING
""")
_FORGET = text("""
    DELETE FROM stream_event WHERE id IN (
        SELECT id FROM stream_event WHERE applied_at < now() - CAST(:kept AS interval)
        LIMIT :limit FOR UPDATE SKIP LOCKED)
""")


def seen(tx: Transaction, ids: Sequence[str]) -> set[str]:
    """Those that were applied."""
    return {row.id for row in tx.execute(_SEEN, {"ids": list(ids)})}


def note(tx: Transaction, ids: Sequence[str]) -> None:
    """Remember that these were applied, and forget what is old."""
    tx.execute(_NOTE, {"ids": sorted(set(ids))})
    tx.execute(_FORGET, {"kept": KEPT, "limit": FORGOTTEN_AT_A_TIME})
