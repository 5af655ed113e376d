"""Live worker processes: who owns a row that is being sent, and is it still there?

A worker holds a session advisory lock on its id for as long as it lives. The lock is gone the
moment its connection is, so a killed worker's rows are found at once and not after their lease.
A worker that merely lost the connection may still be sending: its rows become ``in_doubt`` early,
which never sends anything twice and makes a STOP wait longer, not shorter.
"""

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

_REGISTER = text("""
    INSERT INTO worker (name, slices, reserved) VALUES (:name, :slices, :reserved) RETURNING id
""")


def register(tx: Transaction, *, name: str, slices: int, reserved: int = 0) -> int:
    """Enter a worker process; its id.

    Args:
        tx: the transaction.
        name: for people.
        slices: how many slices it works on at a time.
        reserved: how many of these are for transactional slices only.
    """
    values = {"name": name, "slices": slices, "reserved": reserved}
    return int(tx.execute(_REGISTER, values).scalar_one())


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
