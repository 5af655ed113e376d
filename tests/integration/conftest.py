"""The bench on a database of its own, and event-loop transactions on it."""

from collections.abc import AsyncIterator, Iterator

import pytest

from sender.storage.database import AsyncDatabase
from tests.bench import Bench, bench_at


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    """A fresh database, and short ways into it."""
    with bench_at(database_url) as bench:
        yield bench


@pytest.fixture
async def loop_db(database_url: str) -> AsyncIterator[AsyncDatabase]:
    """Transactions for event loops, on the bench's database."""
    db = AsyncDatabase.connect(database_url, pool_size=10)
    yield db
    await db.close()
