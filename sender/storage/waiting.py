"""What the consumer has to do at once, if there is anything: one question for all of it.

It is asked ten times a second and mostly answered with no. With a question for each duty the
consumer took a fiftieth of two cores that were busy sending, and a fortieth of an idle one.
"""

from dataclasses import dataclass

from sqlalchemy import text

from sender.storage import enforcement, scrubs
from sender.storage.database import Transaction

_LOOK = text(f"SELECT {enforcement.ANY_OPEN} AS opt_outs, {scrubs.ARE_DUE} AS scrubs")


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """What waits."""

    #: Opt-outs that are stored and not enforced.
    opt_outs: bool
    #: Scrubs.
    scrubs: bool


def look(tx: Transaction) -> Waiting:
    """What waits now."""
    return Waiting(**tx.execute(_LOOK).mappings().one())
