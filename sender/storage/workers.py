"""Live worker processes: who owns a row that is being sent, and is it still there?

A worker holds a session advisory lock on its id for as long as it lives. The lock is gone the
moment its connection is, so a killed worker's rows are found at once and not after their lease.
A worker that merely lost the connection may still be sending: its rows become ``in_doubt`` early,
which never sends anything twice and makes a STOP wait longer, not shorter.
"""

import secrets

from sqlalchemy import Connection, text

from sender.storage.database import Transaction

#: The advisory locks' first key, "send" in ASCII; the second is the worker's id.
_LOCK_CLASS = 0x73656E64

#: SQL that is true while the worker whose id stands in ``owner`` holds its lock.
#: Not correlated, so that Postgres reads its locks once a statement and not once a row.
OWNER_LIVES = f"""coalesce({{owner}} IN (
    SELECT l.objid::bigint::integer FROM pg_locks l
    WHERE l.locktype = 'advisory' AND l.classid = {_LOCK_CLASS} AND l.objsubid = 2 AND l.granted
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())), false)"""  # noqa: S608  # a constant

_ENTER = text("""
    INSERT INTO worker (id, name, slices) OVERRIDING SYSTEM VALUE VALUES (:id, :name, :slices)
    ON CONFLICT (id) DO NOTHING
""")
#: Of an integer column.
_LARGEST_ID = 2**31 - 1


def register(tx: Transaction, *, name: str, slices: int) -> int:
    """Enter a worker process that works on up to ``slices`` slices at a time; its id.

    By chance and not in turn: a restored database would hand out ids again that workers have who
    lived through the restore.
    """
    worker_id = secrets.randbelow(_LARGEST_ID) + 1
    enter(tx, worker_id=worker_id, name=name, slices=slices)
    return worker_id


def enter(tx: Transaction, *, worker_id: int, name: str, slices: int) -> None:
    """Enter a worker again whose row is gone, because the database was restored."""
    tx.execute(_ENTER, {"id": worker_id, "name": name, "slices": slices})


def hold_lock(connection: Connection, worker_id: int) -> None:
    """Take the worker's lock on ``connection``, to be kept open for the worker's whole life."""
    take = text("SELECT pg_advisory_lock(:class, :id)")
    connection.execute(take, {"class": _LOCK_CLASS, "id": worker_id})
    back = text("UPDATE worker SET buried_at = NULL WHERE id = :id AND buried_at IS NOT NULL")
    connection.execute(back, {"id": worker_id})


#: A worker registers first and takes its lock then; younger ones are not called dead.
_DEAD = text(f"""
    SELECT w.id FROM worker w
    WHERE w.buried_at IS NULL AND w.started_at < now() - interval '5 seconds'
      AND NOT {OWNER_LIVES.format(owner="w.id")}
""")  # noqa: S608  # built from a constant
_BURY = text("UPDATE worker SET buried_at = now() WHERE id = ANY (CAST(:ids AS integer[]))")


def dead(tx: Transaction) -> list[int]:
    """Workers that lost their lock and whose rows have not been looked for yet."""
    return [row.id for row in tx.execute(_DEAD)]


def bury(tx: Transaction, ids: list[int]) -> None:
    """Note that the rows of these workers have been looked for."""
    tx.execute(_BURY, {"ids": ids})


def count_live(tx: Transaction) -> int:
    """How many registered workers hold their lock."""
    live = text(f"SELECT count(*) FROM worker w WHERE {OWNER_LIVES.format(owner='w.id')}")  # noqa: S608  # constants
    return int(tx.execute(live).scalar_one())
