"""How far the readers of append-only tables have come."""

from datetime import timedelta

from sqlalchemy import text

from sender.storage.database import Transaction

_READ = text("SELECT position FROM cursor_position WHERE name = :name")
_WRITE = text("""
    INSERT INTO cursor_position (name, position) VALUES (:name, :position)
    ON CONFLICT (name) DO UPDATE SET position = excluded.position
""")


def read(tx: Transaction, name: str) -> int | None:
    """A reader's position; ``None`` before its first."""
    found = tx.execute(_READ, {"name": name}).scalar_one_or_none()
    return None if found is None else int(found)


def write(tx: Transaction, name: str, position: int) -> None:
    """Move a reader."""
    tx.execute(_WRITE, {"name": name, "position": position})


_TODAY = text("""
    INSERT INTO cursor_position (name, position)
    VALUES (:name, floor(extract(epoch FROM now()) / 86400))
    ON CONFLICT (name) DO UPDATE SET position = excluded.position
    WHERE cursor_position.position < excluded.position
""")


_TURN = text("""
    INSERT INTO cursor_position (name, position)
    VALUES (:name, floor(extract(epoch FROM now()) * 1000))
    ON CONFLICT (name) DO UPDATE SET position = excluded.position
    WHERE cursor_position.position <= excluded.position - :every
""")


def take_turn(tx: Transaction, name: str, *, every: timedelta) -> bool:
    """Whether nobody had a turn under this name for that long; then this is one."""
    milliseconds = int(every.total_seconds() * 1000)
    return bool(tx.execute(_TURN, {"name": name, "every": milliseconds}).rowcount)


def first_of_day(tx: Transaction, name: str) -> bool:
    """Whether this is the first call of the day (UTC) under this name, in any process."""
    return bool(tx.execute(_TODAY, {"name": name}).rowcount)
