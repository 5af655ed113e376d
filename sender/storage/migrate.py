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
    """Refuse a database that this release must not work on.

    Raises:
        SchemaOutdated: the schema is not this release's.
        UnsafeDatabase: ``fsync`` or ``synchronous_commit`` is off, so a committed STOP could be
            lost in a crash.
    """
    wanted = ScriptDirectory.from_config(_config()).get_current_head()
    found = MigrationContext.configure(tx).get_current_revision()
    if found != wanted:
        raise SchemaOutdated(
            f"the database has schema {found or 'none'}, this release needs {wanted}: "
            "run `sender migrate`"
        )
    for setting in ("fsync", "synchronous_commit"):
        if tx.execute(text(f"SHOW {setting}")).scalar_one() == "off":
            raise UnsafeDatabase(f"PostgreSQL runs with {setting}=off: set it on and restart")
