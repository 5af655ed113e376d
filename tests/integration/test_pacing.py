"""What a pace, a hold or an outage costs: runs and transactions are counted, not time."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from sender.domain.message import OutboundText
from sender.domain.outage import LONG_ENOUGH
from sender.domain.outcome import Ambiguous, NotBegun, Outcome, RefusalKind, Refused
from sender.recovery import Kicker
from sender.storage.database import AsyncDatabase, Transaction
from sender.storage.slices import SliceTable, SliceWork
from tests.bench import OTHER_SENDER, SENDER, accepted, crowd, end, soon
from tests.pump_rig import Rig


class _CountedSlices(SliceTable):
    """Counts the runs: leases that were given."""

    def __init__(self) -> None:
        self.runs = 0

    def lease(
        self, tx: Transaction, slice_id: int, *, owner: int, lease: timedelta
    ) -> SliceWork | None:
        work = super().lease(tx, slice_id, owner=owner, lease=lease)
        self.runs += work is not None
        return work


@dataclass(frozen=True)
class _CountedDatabase(AsyncDatabase):
    """Counts the transactions."""

    done: Counter[str] = field(default_factory=Counter)

    async def run(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.done["all"] += 1
        return await super().run(work, *args, **kwargs)


@dataclass(frozen=True, kw_only=True)
class _Fleet:
    """A worker's threads with their hints, and a kicker, as tasks."""

    rig: Rig
    slices: _CountedSlices
    hints: "asyncio.Queue[int]" = field(default_factory=asyncio.Queue)

    async def kick(self) -> None:
        kicker = Kicker(db=self.rig.bench.db, slices=self.slices, publish=self.hints.put_nowait)
        kicker.kick()

    async def thread(self) -> None:
        while True:
            if await self.rig.pump.work(await self.hints.get()):
                await self.kick()

    async def beat(self) -> None:
        while True:
            await self.kick()
            await asyncio.sleep(1)

    @asynccontextmanager
    async def working(self, *, threads: int) -> AsyncIterator[None]:
        """With so many threads, until the block ends."""
        tasks = {asyncio.create_task(self.thread()) for _ in range(threads)}
        tasks.add(asyncio.create_task(self.beat()))
        try:
            yield
        finally:
            await end(tasks)


def _counted(rig: Rig) -> tuple[_Fleet, Counter[str]]:
    """A fleet over the rig's pump, and its transactions."""
    slices, db = _CountedSlices(), _CountedDatabase(rig.pump.db.engine)
    counted = replace(rig, pump=replace(rig.pump, slices=slices, db=db))
    return _Fleet(rig=counted, slices=slices), db.done


def _by_sender(rig: Rig) -> Counter[str]:
    return Counter(text.sender for text in rig.gateway.sent)


async def test_one_statement_at_a_time(rig: Rig) -> None:
    """Without a cap or a rest a run leases, sends and closes with statements that stand alone."""
    campaign = rig.bench.campaign(*crowd(40))
    fleet, transactions = _counted(rig)
    await fleet.rig.work()
    assert set(rig.bench.states(campaign).values()) == {"sent"}
    assert fleet.slices.runs == 1
    assert transactions["all"] == 0


class TestSlowSenders:
    """A sender of a message a second is cheap, and gets its pace."""

    async def test_one_run_sends_many(self, rig: Rig) -> None:
        """A large campaign at 1/s takes one slice, and a handful of transactions a message."""
        rig.bench.campaign(*crowd(10_000), pace=1)
        fleet, transactions = _counted(rig)
        async with fleet.working(threads=4):
            await soon(lambda: len(rig.gateway.sent) >= 6)
            assert fleet.slices.runs == 1
            assert transactions["all"] <= 6 * 6

    async def test_a_window_waits_to_be_worthwhile(self, rig: Rig) -> None:
        """At a medium pace rows go by several, so that transactions are fewer than messages."""
        rig.bench.campaign(*crowd(500), pace=20)
        fleet, transactions = _counted(rig)
        async with fleet.working(threads=4):
            await soon(lambda: len(rig.gateway.sent) >= 60)
            assert fleet.slices.runs == 1
            assert transactions["all"] <= 60

    async def test_more_slow_senders_than_threads(self, rig: Rig) -> None:
        """While a sender's tokens grow its thread serves others: none waits for another's end."""
        with rig.bench.db.transaction() as tx:
            tx.exec_driver_sql("UPDATE worker SET slices = 1")
        for sender in (SENDER, OTHER_SENDER, "+14155550003"):
            rig.bench.campaign(*crowd(100), sender=sender, pace=2)
        fleet, _ = _counted(rig)
        async with fleet.working(threads=1):
            await soon(lambda: len(rig.gateway.sent) >= 20)
        sent = _by_sender(rig)
        assert len(sent) == 3
        assert min(sent.values()) >= 4

    async def test_a_fast_sender_beside_a_slow_one(self, rig: Rig) -> None:
        """A fast campaign goes through beside a slow one, and both are served from the start."""
        rig.bench.campaign(*crowd(2000), pace=1)
        rig.bench.campaign(*crowd(1000), sender=OTHER_SENDER)
        fleet, _ = _counted(rig)
        async with fleet.working(threads=4):
            await soon(lambda: _by_sender(rig)[OTHER_SENDER] == 1000 and _by_sender(rig)[SENDER])

    async def test_a_shutdown_while_tokens_are_waited_for(self, rig: Rig) -> None:
        """A run that waits for its pace ends when the process must, and sends nothing more."""
        rig.bench.campaign(*crowd(10), pace=0.6)
        work = asyncio.create_task(rig.pump.work(rig.bench.value("SELECT id FROM slice")))
        await soon(lambda: len(rig.gateway.sent) == 2)
        rig.pump.stopping.set()
        assert await asyncio.wait_for(work, timeout=20)
        assert len(rig.gateway.sent) == 2


class TestHolds:
    """What may not send costs nothing."""

    async def test_a_held_campaign_is_not_run(self, rig: Rig) -> None:
        """After a refusal that holds the sender no run begins, however often it is kicked."""
        rig.bench.campaign(*crowd(2000))
        rig.gateway.answer = lambda _: Refused(kind=RefusalKind.HALT, code=20003)
        await rig.pump.work(rig.bench.value("SELECT min(id) FROM slice"))
        fleet, _ = _counted(rig)
        rig.bench.execute("UPDATE slice SET due_at = NULL")
        for _ in range(20):
            await fleet.kick()
        assert fleet.hints.empty()
        assert not await fleet.rig.pump.work(rig.bench.value("SELECT min(id) FROM slice"))


class TestOutages:
    """A provider that takes nothing is asked gently."""

    @pytest.mark.parametrize(
        "failure", [NotBegun(why="connect_refused"), Ambiguous(why="http_503", code=503)]
    )
    async def test_it_does_not_go_through_the_campaign(self, rig: Rig, failure: Outcome) -> None:
        """An outage stops the run within what was in flight; the next asks with one message."""
        rig.bench.campaign(*crowd(500))
        rig.gateway.answer = lambda _: failure
        await rig.work()
        first = len(rig.gateway.sent)
        assert LONG_ENOUGH <= first < 250
        assert rig.bench.value("SELECT rests_until > now() FROM sender")
        await rig.work()
        assert len(rig.gateway.sent) == first + 1

    async def test_it_ends(self, rig: Rig) -> None:
        """With the first message that the provider takes, the others go as before."""
        campaign = rig.bench.campaign(*crowd(500))
        rig.gateway.answer = lambda _: NotBegun(why="connect_refused")
        await rig.work()
        rig.gateway.answer = lambda text: accepted(text.recipient)
        rig.bench.execute("UPDATE message SET next_at = NULL")
        await rig.work()
        assert set(rig.bench.states(campaign).values()) == {"sent"}

    async def test_other_senders_go_on(self, rig: Rig) -> None:
        """One sender's outage is not another's."""
        rig.bench.campaign(*crowd(500))
        rig.bench.campaign(*crowd(500), sender=OTHER_SENDER)

        def answer(text: OutboundText) -> Outcome:
            failed = text.sender == SENDER
            return NotBegun(why="connect_refused") if failed else accepted(text.recipient)

        rig.gateway.answer = answer
        await rig.work()
        assert _by_sender(rig)[OTHER_SENDER] == 500
        assert _by_sender(rig)[SENDER] < 250
