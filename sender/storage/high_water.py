"""The high-water mark: one row that is counted up while processes run."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping, text

from sender.domain.high_water import Look, Mark
from sender.storage.database import DatabaseError, Transaction, is_refused
from sender.storage.holds import DATABASE_OLDER, Level

#: How often it is counted up, by all processes together.
TICK_EVERY = timedelta(seconds=1)

#: SQL that is true on the server, and in the database or a later state of it, that ``look`` showed
#: (``:look_server``, ``:look_identity``, ``:look_era``, ``:look_seq``), or where nothing was looked
#: at. Not correlated: Postgres reads the row once a statement.
STANDS = """
    (CAST(:look_identity AS uuid) IS NULL OR EXISTS (
        SELECT FROM high_water w
        WHERE w.identity = CAST(:look_identity AS uuid)
          AND (w.era, w.seq) >= (CAST(:look_era AS bigint), CAST(:look_seq AS bigint))
          AND pg_postmaster_start_time() = CAST(:look_server AS timestamptz)))
"""

_READ = text("""
    SELECT identity, era, seq, ticked_at, pg_postmaster_start_time() AS server,
           clock_timestamp() AS at, unmarked AND era = 0 AND seq = 0 AS unmarked
    FROM high_water
""")
#: Also where the clock was set back: a time to come would stop the count. Not while the database is
#: held as older, whoever noticed: a process that knows no mark would wipe out when it was copied.
_TICK = text("""
    UPDATE high_water SET seq = seq + 1, ticked_at = clock_timestamp()
    WHERE identity = :identity AND (era, seq) >= (:era, :seq)
      AND pg_postmaster_start_time() = :server
      AND (ticked_at < now() - CAST(:every AS interval) OR ticked_at > now())
      AND NOT EXISTS (
        SELECT FROM hold h
        WHERE h.level = :level AND h.reason = :reason AND h.released_at IS NULL)
""")
_WAL_FILE = text("SELECT pg_walfile_name(pg_current_wal_lsn())")
#: Only while no recovery came in between, which would be over and leave this hold behind: the lock
#: on the row has one of the two wait for the other.
_HOLD = text("""
    WITH older AS (
        UPDATE high_water
        SET newest_campaign = coalesce(newest_campaign, (SELECT coalesce(max(id), 0) FROM campaign))
        WHERE identity = :identity AND era = :era
        RETURNING identity
    )
    INSERT INTO hold (level, subject, reason, detail)
    SELECT :level, 0, :reason, :detail FROM older
    ON CONFLICT (level, subject, reason) WHERE released_at IS NULL DO NOTHING
""")
_BEGIN_ERA = text("""
    UPDATE high_water
    SET era = :era, seq = :seq, ticked_at = clock_timestamp(), lost_since = NULL,
        newest_campaign = NULL
    WHERE identity = :identity AND era = :was AND pg_postmaster_start_time() = :server
""")
_LOST_SINCE = text("SELECT lost_since FROM high_water")
_REMEMBER = text("UPDATE high_water SET lost_since = least(lost_since, :since)")
_RELEASE = text("""
    UPDATE hold SET released_at = now(), released_by = :author
    WHERE level = :level AND reason = :reason AND released_at IS NULL
""")


def values_of(look: Look | None) -> dict[str, Any]:
    """The values of ``STANDS``."""
    return {
        "look_identity": look and look.mark.identity,
        "look_era": look and look.mark.era,
        "look_seq": look and look.mark.seq,
        "look_server": look and look.server,
    }


def read(tx: Transaction) -> Look:
    """Look, without the timeline."""
    return _look(tx.execute(_READ).mappings().one())


def tick(tx: Transaction, known: Mark, *, server: datetime) -> Look:
    """Count up, unless somebody just did; then look.

    Nothing is counted in a database that is older than ``known``, or on a server that was started
    since it was compared: when an older one was last counted up tells since when it lacks all.
    """
    values = {"identity": known.identity, "era": known.era, "seq": known.seq, "server": server}
    held = {"level": Level.ALL.value, "reason": DATABASE_OLDER}
    tx.execute(_TICK, {**values, **held, "every": TICK_EVERY})
    return read(tx)


def timeline(tx: Transaction) -> int | None:
    """Postgres's timeline; ``None`` where the server forbids the question, as some hosted ones do.

    The only statement of its transaction, which a refusal ends.
    """
    try:
        name = str(tx.execute(_WAL_FILE).scalar_one())
    except DatabaseError as exc:
        if not is_refused(exc):
            raise
        return None
    return int(name[:8], 16)


def hold(tx: Transaction, look: Look, detail: str) -> None:
    """Hold all sending, unless the database was recovered since the look."""
    values = {"level": Level.ALL.value, "reason": DATABASE_OLDER, "detail": detail}
    tx.execute(_HOLD, {**values, "identity": look.mark.identity, "era": look.mark.era})


def lost_since(tx: Transaction) -> datetime | None:
    """Since when the database lacks all, by a recovery that did not end; ``None`` without one."""
    found: datetime | None = tx.execute(_LOST_SINCE).scalar_one()
    return found


def remember_lost(tx: Transaction, since: datetime) -> None:
    """Keep that for the recovery's next run; the earliest that was ever known stays."""
    tx.execute(_REMEMBER, {"since": since})


def begin_era(tx: Transaction, look: Look, mark: Mark, *, author: str) -> bool:
    """Raise the database's mark after a recovery, and lift the hold with it.

    Returns:
        ``False``, with nothing done, where it is not the database of the look any more, or on a
        server that was started since: what the recovery did may be lost again.
    """
    was = {"identity": look.mark.identity, "was": look.mark.era, "server": look.server}
    if tx.execute(_BEGIN_ERA, {**was, "era": mark.era, "seq": mark.seq}).rowcount == 0:
        return False
    values = {"level": Level.ALL.value, "reason": DATABASE_OLDER, "author": author}
    tx.execute(_RELEASE, values)  # after the update: its lock lets no hold in any more
    return True


def _look(row: RowMapping) -> Look:
    mark = Mark(identity=row["identity"], era=row["era"], seq=row["seq"])
    facts = {name: row[name] for name in ("ticked_at", "server", "at", "unmarked")}
    return Look(mark=mark, **facts)
