"""Bring a database up to date, and refuse one that is not, or that may lose commits."""

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg.errors import LockNotAvailable
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import OperationalError

from sender.errors import SchemaOutdated, UnsafeDatabase
from sender.storage.database import Transaction

#: "sender migrate" in ASCII; two migrations at once wait for each other on this lock.
_MIGRATION_LOCK = 0x6D69_6772
#: How long an attempt may wait for a table's lock. Whatever comes after it waits behind it, STOPs
#: among that, so a long transaction of somebody else's must not make it long.
LOCK_TIMEOUT = timedelta(seconds=2)
#: Attempts, and the pause between two, in which what has piled up runs.
ATTEMPTS = 10
PAUSE = timedelta(seconds=3)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    return config


def migrate(
    url: str, *, attempts: int = ATTEMPTS, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Bring the database at ``url`` to this release's schema; doing it again changes nothing.

    Raises:
        SchemaOutdated: a table was locked at every attempt; nothing was changed.
    """
    engine = create_engine(url)
    try:
        for left in reversed(range(attempts)):
            try:
                _upgrade(engine)
            except OperationalError as exc:
                if not isinstance(exc.orig, LockNotAvailable):
                    raise
                if not left:
                    raise SchemaOutdated(
                        f"a table was locked at {attempts} attempts to change the schema: look for "
                        "long transactions in pg_stat_activity, then run `sender migrate` again"
                    ) from exc
                sleep(PAUSE.total_seconds())
            else:
                return
    finally:
        engine.dispose()


def _upgrade(engine: Engine) -> None:
    config = _config()
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        milliseconds = LOCK_TIMEOUT // timedelta(milliseconds=1)
        connection.execute(text(f"SET LOCAL lock_timeout = {milliseconds}"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def require_usable(tx: Transaction) -> None:
    """Refuse a database that a process of this release must not begin to work on.

    Raises:
        SchemaOutdated: the schema is not this release's.
        UnsafeDatabase: ``fsync`` or ``synchronous_commit`` is off, so a committed STOP could be
            lost in a crash.
    """
    known, found = ScriptDirectory.from_config(_config()), _revision(tx)
    if found != known.get_current_head():
        raise _outdated(known, found)
    _require_durable(tx)


def require_still_usable(tx: Transaction) -> None:
    """The same for a process that runs: it may go on when a newer release migrates.

    Migrations only add, so what an older release reads and writes stays valid. Without this every
    webhook process would call itself unready between a migration and its own replacement.
    """
    known, found = ScriptDirectory.from_config(_config()), _revision(tx)
    if found != known.get_current_head() and not _is_newer(known, found):
        raise _outdated(known, found)
    _require_durable(tx)


def _revision(tx: Transaction) -> str | None:
    return MigrationContext.configure(tx).get_current_revision()


def _is_newer(known: ScriptDirectory, found: str | None) -> bool:
    """Whether it is a schema that this release has never heard of."""
    return found is not None and found not in {one.revision for one in known.walk_revisions()}


def _outdated(known: ScriptDirectory, found: str | None) -> SchemaOutdated:
    wanted = known.get_current_head()
    if _is_newer(known, found):
        return SchemaOutdated(
            f"the database has schema {found}, which is newer than this release's {wanted}: "
            "start the release that made it"
        )
    return SchemaOutdated(
        f"the database has schema {found or 'none'}, this release needs {wanted}: "
        "run `sender migrate`"
    )


def _require_durable(tx: Transaction) -> None:
    for setting in ("fsync", "synchronous_commit"):
        if tx.execute(text(f"SHOW {setting}")).scalar_one() == "off":
            raise UnsafeDatabase(f"PostgreSQL runs with {setting}=off: set it on and restart")
