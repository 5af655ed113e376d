"""A migration of a database that is being worked with."""

from contextlib import ExitStack

import pytest
from sqlalchemy import text

from sender.errors import SchemaOutdated
from sender.storage.migrate import migrate
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
