"""Ends what is over: rows that will not be sent any more, a few slices in a transaction."""

from collections.abc import Callable

from sender.storage import sweeping
from sender.storage.database import Database, Transaction


def close_out(db: Database, campaign_id: int | None = None) -> int:
    """Expire or cancel what campaigns that are over (or one of them) left pending; how many.

    Each step waits for guards that hold a row, so none it has passed is left pending.
    """
    return by_slices(db, sweeping.give_up, db.run(sweeping.over, campaign_id))


def by_slices(
    db: Database, work: Callable[[Transaction, list[int]], int], slice_ids: list[int]
) -> int:
    """``work`` over these slices, a few at a time, each time committed; the sum of its counts."""
    step = sweeping.SLICES_AT_A_TIME
    return sum(
        db.run(work, slice_ids[first : first + step]) for first in range(0, len(slice_ids), step)
    )
