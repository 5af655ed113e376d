"""Bring a database up to date, and refuse one that is not, or that may lose commits."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, text

from sender.errors import SchemaOutdated, UnsafeDatabase
from sender.storage.database import Transaction

#: "sender migrate" in ASCII; two migrations at once wait for each other on this lock.
_MIGRATION_LOCK = 0x6D69_6772


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    return config


def migrate(url: str) -> None:
    """Bring the database at ``url`` to this release's schema; doing it again changes nothing."""
    engine = create_engine(url)
    try:
        _upgrade(engine)
    finally:
        engine.dispose()


def _upgrade(engine: Engine) -> None:
    config = _config()
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
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
