"""Building a scope's set anew while it is read and written."""

import math
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import fakeredis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import exceptions

from sender.errors import RebuildRefused, SuppressionUnavailable
from sender.suppression import Verdict, inspect, rebuild
from sender.suppression.keys import MEAN_MEMBERS, bucket_key, buckets_for, pointer_key
from sender.suppression.scripts import script
from tests.suppression_servers import ALL_SENDERS, BATCH, TENANT, Server, fake_server

POINTER = pointer_key(*ALL_SENDERS)
#: A number that no copied audience has.
LATE = 14155550100

Numbers = Callable[[Callable[[], object]], Iterator[int]]


def interrupted(step: Callable[[], object]) -> Iterator[int]:
    """Numbers 1 to two batches, with something happening between the batches."""
    yield from range(1, BATCH + 1)
    step()
    yield from range(BATCH + 1, 2 * BATCH + 1)


def followed(step: Callable[[], object]) -> Iterator[int]:
    """Numbers 1 to two batches, with something happening between the last batch and the switch."""
    yield from range(1, 2 * BATCH + 1)
    step()


#: The rule holds whenever it happens.
AT_ANY_MOMENT = pytest.mark.parametrize("numbers", [interrupted, followed])


async def said_of(server: Server, *numbers: int) -> tuple[Verdict, ...]:
    """What the tenant's own list says."""
    return await server.verdicts(*numbers, scopes=(ALL_SENDERS,))


class RebuildRules:
    """Held on both back ends."""

    async def test_replaces(self, server: Server) -> None:
        """The new set has exactly the numbers it was given, and the old one's keys are gone."""
        server.build(ALL_SENDERS, range(1, 2000), count=2000)
        server.build(ALL_SENDERS, range(1000, 3000), count=2000)
        assert server.sync.dbsize() == 1 + buckets_for(2000)
        assert await said_of(server, 999, 1000, 2999, 3000) == (
            Verdict.CLEAR,
            Verdict.SUPPRESSED,
            Verdict.SUPPRESSED,
            Verdict.CLEAR,
        )

    async def test_nobody_suppressed(self, server: Server) -> None:
        """A set built of nobody is warm: it knows that nobody is suppressed."""
        server.build(ALL_SENDERS, count=0)
        assert await said_of(server, LATE) == (Verdict.CLEAR,)

    async def test_opened_before_it_reads(self, server: Server) -> None:
        """Numbers are read only when writers already write to the next generation too."""

        def numbers() -> Iterator[int]:
            server.add(ALL_SENDERS, LATE)
            yield 1

        server.build(ALL_SENDERS, numbers())
        assert await said_of(server, LATE) == (Verdict.SUPPRESSED,)

    @AT_ANY_MOMENT
    async def test_unseen_until_whole(self, server: Server, numbers: Numbers) -> None:
        """Until the switch, lookups and counts see the generation in force."""
        first = server.build(ALL_SENDERS, [LATE])
        seen: list[tuple[int, int]] = []

        def look() -> None:
            health = inspect(server.sync, tenant_id=TENANT, scope=0)
            seen.append((health.generation, health.members))

        server.build(ALL_SENDERS, numbers(look), count=2 * BATCH)
        assert seen == [(first, 1)]

    async def test_never_built_stays_cold_until_whole(self, server: Server) -> None:
        """A first build that is under way answers nothing yet."""
        seen: list[bool] = []

        def look() -> None:
            seen.append(inspect(server.sync, tenant_id=TENANT, scope=0).cold)

        server.build(ALL_SENDERS, interrupted(look), count=2 * BATCH)
        assert seen == [True]
        assert await said_of(server, 1, 2 * BATCH) == (Verdict.SUPPRESSED,) * 2

    @AT_ANY_MOMENT
    async def test_stop_during_a_rebuild(self, server: Server, numbers: Numbers) -> None:
        """A STOP that comes during a rebuild is in force during it and after it."""
        server.build(ALL_SENDERS)
        pointer_reads: list[int] = []

        def stop() -> None:
            server.add(ALL_SENDERS, LATE)
            pointer_reads.append(inspect(server.sync, tenant_id=TENANT, scope=0).members)

        server.build(ALL_SENDERS, numbers(stop), count=2 * BATCH)
        assert pointer_reads == [1]
        assert await said_of(server, LATE) == (Verdict.SUPPRESSED,)

    @AT_ANY_MOMENT
    async def test_start_during_a_rebuild(self, server: Server, numbers: Numbers) -> None:
        """A START for a number that was copied already is in force after the rebuild."""
        server.build(ALL_SENDERS)
        server.build(ALL_SENDERS, numbers(lambda: server.remove(ALL_SENDERS, 1)), count=2 * BATCH)
        assert await said_of(server, 1, 2) == (Verdict.CLEAR, Verdict.SUPPRESSED)

    @AT_ANY_MOMENT
    async def test_flushed_while_filling(self, server: Server, numbers: Numbers) -> None:
        """A set that was flushed while it was filled is never put in force."""
        with pytest.raises(RebuildRefused):
            server.build(ALL_SENDERS, numbers(server.sync.flushdb), count=2 * BATCH)
        assert server.sync.dbsize() == 0
        assert await said_of(server, 1, 2 * BATCH) == (Verdict.COLD, Verdict.COLD)

    async def test_bucket_lost_while_filling(self, server: Server) -> None:
        """A bucket that was evicted while it was filled is cold, though more was added to it."""
        buckets = buckets_for(2 * BATCH)

        def evict() -> None:
            generation = int(server.sync.hget(POINTER, "next_generation"))
            server.sync.delete(bucket_key(POINTER, generation, 7))

        server.build(ALL_SENDERS, interrupted(evict), count=2 * BATCH)
        lost, kept = 7, 8
        assert await said_of(server, lost, kept, lost + buckets) == (
            Verdict.COLD,
            Verdict.SUPPRESSED,
            Verdict.COLD,
        )

    @AT_ANY_MOMENT
    async def test_one_at_a_time(self, server: Server, numbers: Numbers) -> None:
        """A second rebuild of the scope is refused, and the first one ends well."""
        refused: list[RebuildRefused] = []

        def second() -> None:
            with pytest.raises(RebuildRefused) as caught:
                server.build(ALL_SENDERS, [LATE])
            refused.append(caught.value)

        server.build(ALL_SENDERS, numbers(second), count=2 * BATCH)
        assert len(refused) == 1
        assert await said_of(server, 1, LATE) == (Verdict.SUPPRESSED, Verdict.CLEAR)

    @AT_ANY_MOMENT
    async def test_taken_over(self, server: Server, numbers: Numbers) -> None:
        """A rebuild that was silent for its lease yields to the one that took over."""

        def take_over() -> None:
            server.sync.hset(POINTER, "next_lease", 0)
            server.build(ALL_SENDERS, [LATE])

        with pytest.raises(RebuildRefused):
            server.build(ALL_SENDERS, numbers(take_over), count=2 * BATCH)
        assert server.sync.dbsize() == 2
        assert await said_of(server, 1, LATE) == (Verdict.CLEAR, Verdict.SUPPRESSED)

    @AT_ANY_MOMENT
    async def test_leaves_its_successor_alone(self, server: Server, numbers: Numbers) -> None:
        """A rebuild that was taken over does not withdraw the one that is under way."""
        successor = {"next_generation": 99, "next_buckets": 1, "next_lease": 0}
        with pytest.raises(RebuildRefused):
            server.build(
                ALL_SENDERS,
                numbers(lambda: server.sync.hset(POINTER, mapping=successor)),
                count=2 * BATCH,
            )
        assert int(server.sync.hget(POINTER, "next_generation")) == 99

    @AT_ANY_MOMENT
    async def test_lease_run_out(self, server: Server, numbers: Numbers) -> None:
        """A rebuild whose lease ran out goes on if nobody took over."""
        server.build(
            ALL_SENDERS,
            numbers(lambda: server.sync.hset(POINTER, "next_lease", 0)),
            count=2 * BATCH,
        )
        assert await said_of(server, 1, 2 * BATCH) == (Verdict.SUPPRESSED,) * 2

    @AT_ANY_MOMENT
    async def test_source_fails(self, server: Server, numbers: Numbers) -> None:
        """A source that fails half-way changes nothing, leaves nothing and blocks nobody."""
        server.build(ALL_SENDERS, [LATE])

        def fail() -> None:
            raise LookupError("the copy broke off")

        with pytest.raises(LookupError):
            server.build(ALL_SENDERS, numbers(fail), count=2 * BATCH)
        assert server.sync.dbsize() == 2
        assert await said_of(server, 1, LATE) == (Verdict.CLEAR, Verdict.SUPPRESSED)
        server.build(ALL_SENDERS, [1])
        assert await said_of(server, 1, LATE) == (Verdict.SUPPRESSED, Verdict.CLEAR)

    async def test_tidies_up_after_the_dead(self, server: Server) -> None:
        """What killed rebuilds left behind, before and after their switch, is removed."""
        server.build(ALL_SENDERS, [1])
        left = {"next_generation": 9, "next_buckets": 3, "next_lease": 0}
        server.sync.hset(POINTER, mapping={**left, "old_generation": 1, "old_buckets": 1})
        for generation, bucket in ((9, 0), (9, 2), (1, 0)):
            server.sync.sadd(bucket_key(POINTER, generation, bucket), 1)
        assert server.build(ALL_SENDERS, [LATE]) == 10
        assert server.sync.dbsize() == 2

    async def test_generations_rise(self, server: Server) -> None:
        """A generation is greater than the last and, after a flush, than the floor."""
        first = self.build_from(server, floor=1000)
        second = self.build_from(server, floor=10)
        server.sync.flushdb()
        third = self.build_from(server, floor=2000)
        assert (first, second, third) == (1001, 1002, 2001)

    def build_from(self, server: Server, *, floor: int) -> int:
        """Build an empty set and return its generation."""
        return rebuild(server.sync, tenant_id=TENANT, scope=0, entries=(), count=0, floor=floor)


class TestOnFakeredis(RebuildRules):
    """The rules, without a server."""

    @pytest.fixture
    async def server(self) -> AsyncIterator[Server]:
        """An empty fakeredis."""
        async with fake_server() as server:
            yield server


class LosesTheAnswer(fakeredis.FakeRedis):
    """A connection that breaks after the switch was done and before its answer came."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run the command; keep the answer to the switch."""
        answer = super().execute_command(*args, **options)
        switch = script("rebuild_switch")
        if args[1] in {switch.text, switch.sha}:
            raise exceptions.ConnectionError("the answer was lost")
        return answer


async def test_lost_answer() -> None:
    """A switch whose answer was lost is not undone: the new generation stays, whole."""
    async with fake_server() as server:
        broken = LosesTheAnswer(server=server.sync.connection_pool.connection_kwargs["server"])
        with broken, pytest.raises(SuppressionUnavailable):
            rebuild(broken, tenant_id=TENANT, scope=0, entries=[LATE], count=1, floor=1)
        assert await said_of(server, LATE, 1) == (Verdict.SUPPRESSED, Verdict.CLEAR)


def test_unreachable() -> None:
    """A rebuild without Redis says so in our words."""
    state = fakeredis.FakeServer()
    state.connected = False
    with fakeredis.FakeRedis(server=state) as sync, pytest.raises(SuppressionUnavailable):
        rebuild(sync, tenant_id=TENANT, scope=0, entries=[1], count=1, floor=1)


@given(st.integers(0, 100_000_000))
def test_bucket_count(count: int) -> None:
    """Buckets are sized for the mean, and their number shares no factor with 10."""
    buckets = buckets_for(count)
    assert count / buckets <= MEAN_MEMBERS
    assert buckets == 1 or math.gcd(buckets, 10) == 1
    assert buckets <= count / MEAN_MEMBERS + 5
