"""The bench on a database of its own, and what runs on it."""

from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis

from sender.storage.database import AsyncDatabase
from sender.suppression import connect_async
from tests.bench import Bench, bench_at
from tests.pump_rig import Rig, pump_rig


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    """A fresh database, and short ways into it."""
    with bench_at(database_url) as bench:
        yield bench


@pytest.fixture
def other_bench(other_database_url: str) -> Iterator[Bench]:
    """A second one, on a database of its own."""
    with bench_at(other_database_url) as bench:
        yield bench


@pytest.fixture
async def loop_db(database_url: str) -> AsyncIterator[AsyncDatabase]:
    """Transactions for event loops, on the bench's database."""
    db = AsyncDatabase.connect(database_url, pool_size=10)
    yield db
    await db.close()


@pytest.fixture
async def loop_redis(redis_url: str) -> AsyncIterator[Redis]:
    """An empty Redis for suppression and pacing, for event loops."""
    async with connect_async(redis_url) as client:
        yield client


@pytest.fixture
def rig(bench: Bench, loop_db: AsyncDatabase, loop_redis: Redis, redis_url: str) -> Iterator[Rig]:
    """A live worker's pump over everything real but Twilio."""
    with bench.live_worker() as owner:
        yield pump_rig(bench, loop_db, loop_redis, redis_url, owner)
