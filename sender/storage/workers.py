"""Live worker processes: who owns a row that is being sent, and is it still there?

A worker holds a session advisory lock on its id for as long as it lives. The lock is gone the
moment its connection is, so a killed worker's rows are found at once and not after their lease.
A worker that merely lost the connection may still be sending: its rows become ``in_doubt`` early,
which never sends anything twice and makes a STOP wait longer, not shorter.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from sender.domain.pulse import Signs
from sender.storage.database import Transaction

#: The advisory locks' first key, "send" in ASCII; the second is the worker's id.
_LOCK_CLASS = 0x73656E64

#: SQL that is true while the worker whose id stands in ``owner`` holds its lock.
#: Not correlated, so that Postgres reads its locks once a statement and not once a row.
OWNER_LIVES = f"""coalesce({{owner}} IN (
    SELECT l.objid::bigint::integer FROM pg_locks l
    WHERE l.locktype = 'advisory' AND l.classid = {_LOCK_CLASS} AND l.objsubid = 2 AND l.granted
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())), false)"""  # noqa: S608  # a constant


@dataclass(frozen=True, kw_only=True)
class NewWorker:
    """A worker process before it is registered."""

    #: For people.
    name: str
    #: How many slices it works on at a time.
    slices: int
    #: How many of these are for transactional slices only.
    reserved: int = 0


_ENTER = text("""
    INSERT INTO worker (id, name, slices, reserved) OVERRIDING SYSTEM VALUE
    VALUES (:id, :name, :slices, :reserved)
    ON CONFLICT (id) DO NOTHING
""")
#: Of an integer column.
_LARGEST_ID = 2**31 - 1


def register(tx: Transaction, worker: NewWorker) -> int:
    """Enter a worker process; its id.

    By chance and not in turn: a restored database would hand out ids again that workers have who
    lived through the restore.
    """
    worker_id = secrets.randbelow(_LARGEST_ID) + 1
    enter(tx, worker_id=worker_id, worker=worker)
    return worker_id


def enter(tx: Transaction, *, worker_id: int, worker: NewWorker) -> None:
    """Enter a worker again whose row is gone, because the database was restored."""
    tx.execute(_ENTER, {"id": worker_id, **vars(worker)})


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


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A worker process as it stands in the table."""

    id: int
    name: str
    slices: int
    version: str
    started_at: datetime
    signs: Signs


#: Of several with one name (a container's first process has the same id each time) the last.
_LISTED = text(f"""
    SELECT * FROM (
        SELECT DISTINCT ON (w.name) w.*, {OWNER_LIVES.format(owner="w.id")} AS lives
        FROM worker w ORDER BY w.name, w.started_at DESC
    ) latest
    CROSS JOIN LATERAL (
        SELECT clock_timestamp() - started_at AS started,
               clock_timestamp() - pulse_sent_at AS sent,
               clock_timestamp() - pulse_failed_at AS failed,
               clock_timestamp() - pulse_heard_at AS heard
    ) ago
    WHERE lives OR buried_at IS NULL ORDER BY started_at, id
""")  # noqa: S608  # built from a constant


def listed(tx: Transaction) -> list[Listed]:
    """The workers that live, and those whose rows have not been looked for yet; oldest first."""
    return [
        Listed(
            id=row.id,
            name=row.name,
            slices=row.slices,
            version=row.version,
            started_at=row.started_at,
            signs=Signs(
                lives=row.lives,
                started=row.started,
                sent=row.sent,
                failed=row.failed,
                heard=row.heard,
            ),
        )
        for row in tx.execute(_LISTED)
    ]


_SENT = text("""
    UPDATE worker SET pulse_sent_at = clock_timestamp(), version = :version WHERE id = :id
""")
_NOT_SENT = text("""
    UPDATE worker SET pulse_failed_at = clock_timestamp(), version = :version WHERE id = :id
""")
_HEARD = text("UPDATE worker SET pulse_heard_at = clock_timestamp() WHERE id = :id")


def note_pulse(tx: Transaction, worker_id: int, *, sent: bool, version: str) -> None:
    """Note that a worker, which runs this version, published a pulse, or that it could not."""
    tx.execute(_SENT if sent else _NOT_SENT, {"id": worker_id, "version": version})


def note_heard(tx: Transaction, worker_id: int) -> None:
    """Note that a worker ran one."""
    tx.execute(_HEARD, {"id": worker_id})
