"""What Redis holds, and which hints come when, changes nothing about who is texted.

The same audience is sent to under any such circumstances and under none, and the outcomes are
compared.
"""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis as AsyncRedis

from sender.storage.database import AsyncDatabase
from sender.storage.messages import MessageTable, guard_statement
from sender.suppression import connect_async, connect_sync
from tests.bench import Bench
from tests.pump_rig import Rig, pump_rig

#: More than a window, so that there is a time between two lookups.
CROWD = 40
#: A run that met a wrong hit repairs it and leaves the row to the next one.
RUNS = 4
FEW = settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])

_numbers = itertools.count(14155900000, CROWD)
_members = st.sets(st.integers(0, CROWD - 1))


@dataclass(frozen=True, kw_only=True)
class Held:
    """What the set says, rightly or not, and what is lost of it."""

    warm: bool = False
    #: Of the crowd, by their number in it.
    hits: set[int] = field(default_factory=set)
    #: As which request begins, and which of the keys go then.
    drops: dict[int, set[int]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Hint:
    """A hint for one of two campaigns, heard by one of two workers."""

    campaign: int
    worker: int
    #: Whoever leased the slice has lost it.
    lease_lost: bool


#: Hints that are heard at the same time, one lot after the other.
_hints = st.lists(
    st.lists(
        st.builds(
            Hint, campaign=st.integers(0, 1), worker=st.integers(0, 1), lease_lost=st.booleans()
        ),
        min_size=1,
        max_size=4,
    ),
    max_size=3,
)
_redis = st.builds(
    Held,
    warm=st.just(True),
    hits=_members,
    drops=st.dictionaries(st.integers(1, CROWD), st.sets(st.integers(0, 30)), max_size=3),
)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Who was texted, how often, and what is stored, by number in the crowd."""

    texted: list[int]
    rows: list[tuple[int, str, str]]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One audience, a fresh one each time, of whom some have opted out."""

    bench: Bench
    redis_url: str
    opted_out: set[int]
    campaigns: int = 1
    messages: MessageTable = field(default_factory=MessageTable)
    first: int = field(default_factory=lambda: next(_numbers))

    def run(self, work: Callable[[Sequence[Rig], Sequence[int]], Any]) -> Outcome:
        """What comes of it: ``work`` is given two workers and the slices."""
        return asyncio.run(self._run(work))

    def _rig(self, db: AsyncDatabase, redis: AsyncRedis, owner: int) -> Rig:
        rig = pump_rig(self.bench, db, redis, self.redis_url, owner)
        return rig.with_messages(self.messages)

    async def _run(self, work: Callable[[Sequence[Rig], Sequence[int]], Any]) -> Outcome:
        people = range(self.first, self.first + CROWD)
        for number in self.opted_out:
            self.bench.opt_out(self.first + number)
        created = [self.bench.campaign(*people) for _ in range(self.campaigns)]
        query = "SELECT id FROM slice WHERE campaign_id = ANY (:ids) ORDER BY id"
        slices = [row.id for row in self.bench.execute(query, ids=created)]
        db = AsyncDatabase.connect(self.bench.url)
        with ExitStack() as living:
            owners = [living.enter_context(self.bench.live_worker()) for _ in range(2)]
            async with connect_async(self.redis_url) as redis:
                await redis.flushdb()
                rigs = [self._rig(db, redis, owner) for owner in owners]
                await work(rigs, slices)
                for _ in range(RUNS):
                    await rigs[0].work()
        await db.close()
        sent = [text.recipient - self.first for rig in rigs for text in rig.gateway.sent]
        rows = [
            (who - self.first, row.state, row.reason)
            for campaign in created
            for who in people
            for row in [self.bench.row(campaign, who)]
        ]
        return Outcome(texted=sorted(sent), rows=rows)


def _with(redis: Held, trial: Trial) -> Outcome:
    """Send while the set is like this, and loses keys as requests begin."""

    async def work(rigs: Sequence[Rig], _: Sequence[int]) -> None:
        if not redis.warm:
            return
        rigs[0].warm(*(trial.first + number for number in redis.hits))
        count = itertools.count(1)
        rigs[0].gateway.begun = lambda _: _drop(redis.drops.get(next(count), set()))
        await rigs[0].work()

    def _drop(which: set[int]) -> None:
        if which:
            with connect_sync(trial.redis_url) as client:
                keys = sorted(client.keys("*"))
                if gone := [keys[one] for one in which if one < len(keys)]:
                    client.delete(*gone)

    return trial.run(work)


@given(opted_out=_members, redis=_redis)
@settings(FEW)
def test_redis_decides_nothing(
    bench: Bench, redis_url: str, opted_out: set[int], redis: Held
) -> None:
    """A set that is right, wrong, partly lost at any time, or empty leads to one and the same."""
    plain = Trial(bench=bench, redis_url=redis_url, opted_out=opted_out)
    other = Trial(bench=bench, redis_url=redis_url, opted_out=opted_out)
    without, having = _with(Held(), plain), _with(redis, other)
    assert having == without
    assert having.texted == sorted(set(range(CROWD)) - opted_out)


def test_this_would_show_that_redis_decides(bench: Bench, redis_url: str) -> None:
    """Without the guard's look the same comparison tells a set that is whole from an empty one."""
    blind = MessageTable(guard=guard_statement(suppressed="false"))
    trials = [
        Trial(bench=bench, redis_url=redis_url, opted_out={1, 7}, messages=blind) for _ in range(2)
    ]
    assert _with(Held(warm=True, hits={1, 7}), trials[0]) != _with(Held(), trials[1])


@given(opted_out=_members, hints=_hints)
@settings(FEW)
def test_hints_decide_nothing(
    bench: Bench, redis_url: str, opted_out: set[int], hints: list[list[Hint]]
) -> None:
    """Hints lost, late, repeated, or heard by two workers at once lead to one and the same."""

    async def work(rigs: Sequence[Rig], slices: Sequence[int]) -> None:
        for rig in rigs:
            rig.gateway.latency = timedelta(milliseconds=2)
        for lot in hints:
            async with asyncio.TaskGroup() as together:
                for hint in lot:
                    slice_id = slices[hint.campaign]
                    if hint.lease_lost:
                        bench.execute("UPDATE slice SET owner = NULL WHERE id = :i", i=slice_id)
                    together.create_task(rigs[hint.worker].pump.work(slice_id))
                    await asyncio.sleep(0)

    async def nothing(_: Sequence[Rig], __: Sequence[int]) -> None:
        """No hint at all before the kicker's."""

    trials = [
        Trial(bench=bench, redis_url=redis_url, opted_out=opted_out, campaigns=2) for _ in range(2)
    ]
    without, having = trials[0].run(nothing), trials[1].run(work)
    assert having == without
    assert having.texted == sorted([*set(range(CROWD)) - opted_out] * 2)
