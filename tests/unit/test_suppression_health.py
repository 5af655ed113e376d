"""Counting what is really in a scope's set, and writing to it."""

from collections.abc import AsyncIterator

import fakeredis
import pytest

from sender.errors import SuppressionUnavailable
from sender.suppression import (
    AsyncSuppressionWriter,
    SetHealth,
    SuppressionWriter,
    Verdict,
    inspect,
)
from sender.suppression.keys import INTSET_LIMIT, bucket_key, buckets_for, pointer_key
from tests.suppression_servers import ALL_SENDERS, ONE_SENDER, TENANT, Server, entries, fake_server


def health_of(server: Server) -> SetHealth:
    """What is in the tenant's own list."""
    return inspect(server.sync, tenant_id=TENANT, scope=0)


class HealthRules:
    """Held on both back ends."""

    async def test_counts_exactly(self, server: Server) -> None:
        """Members are numbers: sentinels are not counted, nor is anything twice."""
        generation = server.build(ALL_SENDERS, [*range(1, 5001), 17], count=5000)
        server.add(ALL_SENDERS, 17, 6000)
        server.remove(ALL_SENDERS, 1, 7000)
        health = health_of(server)
        assert (health.generation, health.members) == (generation, 5000)
        assert health.whole == health.buckets == buckets_for(5000)
        assert not health.cold
        assert not health.crowded

    async def test_lost_bucket(self, server: Server) -> None:
        """A set with a bucket missing is cold, and the rest is still counted."""
        generation = server.build(ALL_SENDERS, range(1, 1001), count=1000)
        server.sync.delete(bucket_key(pointer_key(*ALL_SENDERS), generation, 1))
        health = health_of(server)
        assert health.cold
        assert health.whole == health.buckets - 1
        assert 0 < health.members < 1000

    async def test_never_built(self, server: Server) -> None:
        """A scope that was never built here is cold."""
        assert health_of(server) == SetHealth(
            generation=0, buckets=0, whole=0, members=0, fullest=0
        )
        assert health_of(server).cold

    async def test_outgrown(self, server: Server) -> None:
        """A set that grew far beyond the size it was built for wants a rebuild."""
        server.build(ALL_SENDERS, count=1)
        server.add(ALL_SENDERS, *range(1, INTSET_LIMIT + 1))
        assert health_of(server).crowded
        assert health_of(server).members == INTSET_LIMIT


class WritingRules:
    """Held on both back ends."""

    async def test_both_kinds_of_client(self, server: Server) -> None:
        """What one writer adds the other removes."""
        server.build_all()
        writer, awaited = SuppressionWriter(server.sync), AsyncSuppressionWriter(server.asyncio)
        await awaited.add(entries(ALL_SENDERS, 1, 2))
        writer.remove(entries(ALL_SENDERS, 1))
        writer.add(entries(ALL_SENDERS, 3))
        await awaited.remove(entries(ALL_SENDERS, 2))
        assert await server.verdicts(1, 2, 3) == (
            Verdict.CLEAR,
            Verdict.CLEAR,
            Verdict.SUPPRESSED,
        )

    async def test_several_scopes(self, server: Server) -> None:
        """Entries of several scopes are written in one go, each where it belongs."""
        server.build_all()
        SuppressionWriter(server.sync).add([*entries(ALL_SENDERS, 1), *entries(ONE_SENDER, 2)])
        assert await server.verdicts(1, 2, scopes=(ALL_SENDERS,)) == (
            Verdict.SUPPRESSED,
            Verdict.CLEAR,
        )

    async def test_many(self, server: Server) -> None:
        """More numbers than one script call takes are all written."""
        server.build(ALL_SENDERS, count=3000)
        server.add(ALL_SENDERS, *range(1, 3001))
        assert health_of(server).members == 3000

    async def test_never_built_takes_nothing(self, server: Server) -> None:
        """Writing to a scope that was never built leaves no keys that could look like a set."""
        server.add(ALL_SENDERS, 1)
        assert server.sync.dbsize() == 0


class TestHealthOnFakeredis(HealthRules, WritingRules):
    """The rules, without a server."""

    @pytest.fixture
    async def server(self) -> AsyncIterator[Server]:
        """An empty fakeredis."""
        async with fake_server() as server:
            yield server


async def test_unreachable() -> None:
    """Neither counting nor writing hides that Redis is away."""
    state = fakeredis.FakeServer()
    state.connected = False
    with fakeredis.FakeRedis(server=state) as sync:
        with pytest.raises(SuppressionUnavailable):
            inspect(sync, tenant_id=TENANT, scope=0)
        with pytest.raises(SuppressionUnavailable):
            SuppressionWriter(sync).add(entries(ALL_SENDERS, 1))
    async with fakeredis.FakeAsyncRedis(server=state) as awaited:
        with pytest.raises(SuppressionUnavailable):
            await AsyncSuppressionWriter(awaited).add(entries(ALL_SENDERS, 1))


@pytest.mark.parametrize("number", [0, -14155550100, 10**15])
async def test_not_a_number(number: int) -> None:
    """What cannot be E.164 digits never reaches the set; a negative could pass for a sentinel."""
    async with fake_server() as server:
        with pytest.raises(ValueError, match=r"E\.164"):
            server.add(ALL_SENDERS, number)
