"""Postgres fails at the guard: nothing is sent that is not known as guarded.

The pump works in this process, on real servers, through a proxy that cuts at the byte.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import make_url, text

from sender.campaigns import Campaigns
from sender.domain.admission import CAP_ZONE
from sender.domain.message import OutboundText
from sender.storage.database import AsyncDatabase
from sender.suppression import connect_async
from tests.bench import ANNA, SENDER, TENANT, Bench, bench_at, crowd, soon
from tests.faults.proxy import FaultProxy
from tests.pump_rig import Rig, pump_rig

#: The guard's own words on the wire, and the end of a transaction.
GUARD, COMMIT = b"SET state = 'sending'", b"COMMIT"
PEOPLE = 40


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    """A fresh database, past the proxy."""
    with bench_at(database_url) as bench:
        yield bench


@pytest.fixture
def proxy(database_url: str) -> Iterator[FaultProxy]:
    """A proxy in front of Postgres."""
    with FaultProxy(make_url(database_url).port or 5432) as proxy:
        yield proxy


@asynccontextmanager
async def _rig(
    bench: Bench, redis_url: str, database_url: str, *, pool_size: int = 10
) -> AsyncIterator[Rig]:
    """A live worker's pump that reaches Postgres by this URL."""
    db = AsyncDatabase.connect(database_url, pool_size=pool_size)
    try:
        with bench.live_worker() as owner:
            async with connect_async(redis_url) as redis:
                yield pump_rig(bench, db, redis, redis_url, owner)
    finally:
        await db.close()


def _through(database_url: str, proxy: FaultProxy) -> str:
    return make_url(database_url).set(port=proxy.port).render_as_string(hide_password=False)


@pytest.mark.parametrize("counted", [False, True], ids=["alone", "with-a-cap"])
@pytest.mark.parametrize("delivered", [True, False], ids=["committed", "not-committed"])
async def test_the_connection_breaks_at_the_guards_commit(
    bench: Bench,
    proxy: FaultProxy,
    database_url: str,
    redis_url: str,
    *,
    delivered: bool,
    counted: bool,
) -> None:
    """Whether or not Postgres got what commits the guard, its rows are not sent by it, but later.

    The guard commits by itself; with a daily cap it is the last statement of a transaction.
    """
    campaign = bench.campaign(*crowd(PEOPLE))
    if counted:
        Campaigns(db=bench.db, tenant_id=TENANT).set_daily_cap(SENDER, 1000, zone=CAP_ZONE)
    async with _rig(bench, redis_url, _through(database_url, proxy)) as rig:
        rig.warm()
        proxy.cut_at(*((GUARD, COMMIT) if counted else (GUARD,)), delivered=delivered)
        await rig.work()
        assert proxy.cuts == 1
        assert rig.gateway.sent == []
        assert set(bench.states(campaign).values()) == {"pending"}
        reasons = bench.execute("SELECT DISTINCT reason FROM message WHERE reason <> ''")
        assert [row.reason for row in reasons] == (["guard_broke"] if delivered else [])
        await rig.work()
        assert sorted(rig.gateway.recipients) == crowd(PEOPLE)


async def test_the_backend_is_terminated_before_the_guards_commit(
    bench: Bench, database_url: str, redis_url: str
) -> None:
    """A guard whose backend Postgres ends while it waits for a row sends nothing."""
    campaign = bench.campaign(*crowd(PEOPLE))
    async with _rig(bench, redis_url, database_url) as rig:
        rig.warm()
        with bench.db.transaction() as tx:
            tx.execute(text("SELECT FROM message FOR UPDATE"))
            work = asyncio.create_task(rig.work())
            await soon(bench.waiting_for_locks)
            bench.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
        await work
        assert rig.gateway.sent == []
        assert set(bench.states(campaign).values()) == {"pending"}


async def test_a_lock_that_is_not_given(bench: Bench, database_url: str, redis_url: str) -> None:
    """With a lock time-out a guard gives up: nothing is sent, and the row is as it was."""
    campaign = bench.campaign(ANNA)
    database = make_url(database_url).database
    bench.execute(f"ALTER DATABASE {database} SET lock_timeout = '50ms'")
    async with _rig(bench, redis_url, database_url) as rig:
        rig.warm()
        with bench.db.transaction() as tx:
            tx.execute(text("SELECT FROM message FOR UPDATE"))
            await rig.work()
        assert rig.gateway.sent == []
        assert bench.row(campaign).gen == 0
        await rig.work()
        assert bench.row(campaign).state == "sent"


async def test_a_pool_that_is_empty(bench: Bench, database_url: str, redis_url: str) -> None:
    """A guard that gets no connection sends nothing; when there is one again, all goes on."""
    campaign = bench.campaign(ANNA)
    begun: list[OutboundText] = []
    async with _rig(bench, redis_url, database_url, pool_size=1) as rig:
        rig.warm()
        rig.gateway.begun = begun.append
        async with rig.pump.db.engine.begin() as connection:
            await connection.execute(text("SELECT 1"))
            with pytest.raises(Exception, match="QueuePool limit"):
                await rig.work()
        assert begun == []
        assert bench.row(campaign).state == "pending"
        await rig.work()
        assert bench.row(campaign).state == "sent"
