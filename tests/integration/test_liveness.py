"""A worker's sign of life: a lock that is gone when the worker is."""

from collections.abc import Callable

from sender.liveness import living
from sender.storage import workers
from sender.storage.database import AsyncDatabase
from tests.bench import Bench, soon


def _live(bench: Bench) -> Callable[[], int]:
    return lambda: bench.db.run(workers.count_live)


async def test_it_lives_as_long_as_the_block(bench: Bench, loop_db: AsyncDatabase) -> None:
    """A worker counts as live inside the block and not after it."""
    async with living(loop_db, name="one", slices=3) as one:
        async with living(loop_db, name="two", slices=3) as two:
            assert one != two
            assert _live(bench)() == 2
        await soon(lambda: _live(bench)() == 1)
    await soon(lambda: _live(bench)() == 0)


async def test_a_lost_connection_is_replaced(bench: Bench, loop_db: AsyncDatabase) -> None:
    """A worker whose lock's connection breaks takes the lock again."""
    async with living(loop_db, name="one", slices=3):
        bench.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        await soon(lambda: _live(bench)() == 0)
        await soon(lambda: _live(bench)() == 1)
