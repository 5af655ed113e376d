"""The months that messages lie in, and new ones, made before they are needed.

What a partition must have is said once, in the database (``make_message_partition``). Every change
here waits for locks for a moment only: whoever comes after it would wait behind it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import text

from sender.storage.database import Transaction

#: How long a change waits for a lock. Guards and STOPs wait as long behind it, at most.
LOCK_TIMEOUT = timedelta(milliseconds=500)
#: Below the month in an id: 80 bits that its campaign's creation says nothing of.
_BELOW_TIME = 80


@dataclass(frozen=True, kw_only=True)
class Partition:
    """Some months of messages, by when their campaigns were created."""

    name: str
    #: Where its ids begin, and the first id past it; ``None``: it has no such bound.
    first_id: UUID | None
    end_id: UUID | None
    #: Whether it takes what no month was made for.
    is_default: bool

    @property
    def until(self) -> datetime | None:
        """When its last month ends; ``None`` for the one without a month."""
        return None if self.end_id is None else created_at(self.end_id)


def created_at(message_id: UUID) -> datetime:
    """When a message's campaign was created, as its id says, to the millisecond."""
    return datetime.fromtimestamp((message_id.int >> _BELOW_TIME) / 1000, UTC)


_EVERY = text("""
    SELECT name, first_id, end_id, is_default FROM message_partition
    ORDER BY is_default, end_id
""")
_PATIENCE = text("SELECT set_config('lock_timeout', :milliseconds, true)")
_IN_DEFAULT = text("SELECT EXISTS (SELECT FROM message_default)")
_ADOPT = text("SELECT adopt_default_messages()")
_MAKE = text("SELECT make_message_month(now() + :ahead * interval '1 month')")


def every(tx: Transaction) -> Iterator[Partition]:
    """All there are, the oldest first, the default one last."""
    return (Partition(**row) for row in tx.execute(_EVERY).mappings())


def wait_briefly(tx: Transaction) -> None:
    """Have this transaction give up on a lock that somebody else keeps."""
    tx.execute(_PATIENCE, {"milliseconds": str(LOCK_TIMEOUT // timedelta(milliseconds=1))})


def make(tx: Transaction, ahead: int) -> bool:
    """Make the month that is so many ahead of this one; whether it was missing."""
    wait_briefly(tx)
    return bool(tx.execute(_MAKE, {"ahead": ahead}).scalar_one())


def has_strays(tx: Transaction) -> bool:
    """Whether there are messages for which no month was made in time."""
    return bool(tx.execute(_IN_DEFAULT).scalar_one())


def adopt_strays(tx: Transaction) -> str | None:
    """Make them a partition of their own months, where they lie; its name.

    Reads them all with every message locked. ``None``: other months lie between theirs.
    """
    wait_briefly(tx)
    name: str | None = tx.execute(_ADOPT).scalar_one()
    return name
