"""The rules of the suppression set and of pacing, on a real Redis, and what only that can show."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvloop
from redis.exceptions import RedisError

from sender.errors import PacingUnavailable
from sender.local.ports import LOOPBACK
from sender.suppression import SuppressionLookup, connect_async, inspect
from sender.suppression.keys import bucket_key, pointer_key
from tests.faults.proxy import FaultProxy
from tests.suppression_servers import ALL_SENDERS, OPEN, SCOPES, TENANT, Server, real_server
from tests.unit.test_suppression_health import HealthRules, WritingRules
from tests.unit.test_suppression_lookup import LookupRules
from tests.unit.test_suppression_pacing import PacingRules, PauseRules
from tests.unit.test_suppression_rebuild import RebuildRules

ANNA, BERT = 14155550100, 447700900123


@pytest.fixture
async def server(redis_url: str) -> AsyncIterator[Server]:
    """A real Redis, emptied."""
    async with real_server(redis_url) as server:
        yield server


class TestLookupOnRedis(LookupRules):
    """The same rules as on fakeredis."""


class TestPacingOnRedis(PacingRules, PauseRules):
    """The same rules as on fakeredis."""


class TestRebuildOnRedis(RebuildRules):
    """The same rules as on fakeredis."""


class TestHealthOnRedis(HealthRules, WritingRules):
    """The same rules as on fakeredis."""


async def test_stays_compact(server: Server) -> None:
    """Every bucket of a set of real-looking numbers is an intset, six bytes a number or less."""
    seeded = random.Random(21610)
    numbers = {10**10 + seeded.randrange(2 * 10**9, 10**10) for _ in range(100_000)}
    before = server.sync.info("memory")["used_memory"]
    generation = server.build(ALL_SENDERS, numbers, count=len(numbers))
    taken = server.sync.info("memory")["used_memory"] - before
    health = inspect(server.sync, tenant_id=TENANT, scope=0)
    assert health.members == len(numbers)
    assert taken <= 6 * len(numbers)
    pointer = pointer_key(*ALL_SENDERS)
    assert {
        server.sync.object("encoding", bucket_key(pointer, generation, bucket))
        for bucket in range(health.buckets)
    } == {b"intset"}


async def test_slow_server(server: Server, redis_url: str) -> None:
    """A check that takes too long fails, and its late answer is nobody else's."""
    server.build_all()
    server.add(ALL_SENDERS, ANNA)
    async with connect_async(redis_url) as asyncio:
        hurried = SuppressionLookup(asyncio, timeout=timedelta(milliseconds=50))
        patient = SuppressionLookup(asyncio)
        window = {"pace": OPEN, "scopes": SCOPES, "segments": [1]}
        await patient.check(recipients=[BERT], **window)
        server.sync.client_pause(300)
        with pytest.raises(PacingUnavailable):
            await hurried.check(recipients=[BERT], **window)
        for number, verdict in ((ANNA, "suppressed"), (BERT, "clear")) * 3:
            admission = await patient.check(recipients=[number], **window)
            assert admission.verdicts == (verdict,)


async def test_nobody_listens() -> None:
    """Without a server there is no pacing, so the check raises."""
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{unheard.getsockname()[1]}/0"
        async with connect_async(url) as asyncio:
            with pytest.raises(PacingUnavailable):
                await SuppressionLookup(asyncio).check(
                    pace=OPEN, scopes=SCOPES, recipients=[ANNA], segments=[1]
                )


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_connection_that_was_reset(redis_url: str, run: Callable[[Any], None]) -> None:
    """On either event loop it is Redis that is away, for one command; the next one finds it."""
    server = urlsplit(redis_url)

    async def ask_after_a_reset(proxy: FaultProxy) -> None:
        client = connect_async(server._replace(netloc=f"{LOOPBACK}:{proxy.port}").geturl())
        await client.ping()
        await asyncio.to_thread(proxy.reset)
        with pytest.raises(RedisError):
            await client.ping()
        assert await client.ping()
        await client.aclose()

    with FaultProxy(server.port or 0) as proxy:
        run(ask_after_a_reset(proxy))


@pytest.mark.parametrize("url", ["redis://host/0", "rediss://host/0", "unix:///run/redis.sock"])
async def test_every_scheme(url: str) -> None:
    """Whatever way leads to the server, its connections are ours."""
    client = connect_async(url)
    assert client.connection_pool.connection_class.__module__ == "sender.suppression.connecting"
    await client.aclose()
