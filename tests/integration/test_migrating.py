"""A migration of a database that is being worked with."""

from contextlib import ExitStack

import pytest
from alembic import command
from sqlalchemy import create_engine, text

from sender.errors import SchemaOutdated
from sender.storage.migrate import _config, migrate
from tests.bench import Bench


def test_behind_a_long_transaction(bench: Bench) -> None:
    """It lets go of its place in the queue, in which STOPs would wait, and tries again."""
    with ExitStack() as long:
        tx = long.enter_context(bench.db.transaction())
        tx.execute(text("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(SchemaOutdated, match="pg_stat_activity"):
            migrate(bench.url, attempts=1)
        pauses: list[float] = []

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            long.close()

        migrate(bench.url, attempts=2, sleep=pause)
        assert len(pauses) == 1


@pytest.mark.parametrize("used", [True, False])
def test_from_before_there_were_marks(empty_database_url: str, used: bool) -> None:  # noqa: FBT001
    """A database that was worked with before is told from one that has its mark from the first."""
    engine = create_engine(empty_database_url)
    with engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        if used:
            connection.execute(
                text("""
                WITH s AS (INSERT INTO sender (tenant_id, address, kind, segments_per_second)
                           VALUES (1, '+14155550001', 'long_code', 1) RETURNING id)
                INSERT INTO campaign (tenant_id, sender_id, name, body, fingerprint, validity,
                                      time_limit, created_at)
                SELECT 1, id, 'Spring', 'Sale', '', '1 h', '1 d', now() FROM s
            """)
            )
    migrate(empty_database_url)
    with engine.begin() as connection:
        assert connection.execute(text("SELECT unmarked FROM high_water")).scalar_one() is used
    engine.dispose()
