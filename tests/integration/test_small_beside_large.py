"""A ten-recipient campaign beside large ones on slow senders: messages are counted, not time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from sender.recovery import Kicker
from tests.bench import OTHER_SENDER, SENDER, crowd, end, soon
from tests.pump_rig import Rig

#: A process's threads, less recovery's, and how many of them are reserved.
THREADS, RESERVED = 3, 1
SLOW = [f"+1415557{n:04}" for n in range(12)]
SMALL = 10


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """One process's threads with their hints, and a kicker, as tasks."""

    rig: Rig
    hints: "asyncio.PriorityQueue[tuple[int, int]]" = field(default_factory=asyncio.PriorityQueue)

    async def kick(self) -> None:
        """Offer what there is room for; transactional hints have a queue of their own."""
        offered: list[tuple[int, int]] = []
        kicker = Kicker(
            db=self.rig.bench.db,
            slices=self.rig.pump.slices,
            publish=lambda slice_id: offered.append((1, slice_id)),
            publish_transactional=lambda slice_id: offered.append((0, slice_id)),
        )
        # On the loop it could wait for a row that a run on the same loop has locked.
        await asyncio.to_thread(kicker.kick)
        for hint in offered:
            self.hints.put_nowait(hint)

    async def thread(self) -> None:
        """Follow hints for ever."""
        while True:
            _, slice_id = await self.hints.get()
            if await self.rig.pump.work(slice_id):
                await self.kick()

    async def beat(self) -> None:
        """Kick every second."""
        while True:
            await self.kick()
            await asyncio.sleep(1)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Until the block ends."""
        self.rig.bench.execute(
            "UPDATE worker SET slices = :slices, reserved = :reserved",
            slices=THREADS,
            reserved=RESERVED,
        )
        tasks = {asyncio.create_task(self.thread()) for _ in range(THREADS)}
        tasks.add(asyncio.create_task(self.beat()))
        try:
            yield
        finally:
            await end(tasks)


def _sent(rig: Rig, body: str) -> int:
    return sum(text.body == body for text in rig.gateway.sent)


async def _start(rig: Rig, sender: str, **plan: Any) -> None:
    """Enqueue a small campaign, beside the loop as well."""
    await asyncio.to_thread(rig.bench.campaign, *crowd(SMALL), sender=sender, **plan)


async def _through(rig: Rig, body: str) -> int:
    """Wait for the small campaign's last message; how many others were begun meanwhile."""
    before = len(rig.gateway.sent)
    await soon(lambda: _sent(rig, body) == SMALL)
    return len(rig.gateway.sent) - before - SMALL


async def test_small_ones_at_other_senders(rig: Rig) -> None:
    """With more slow senders than threads, a small campaign waits for a few messages of theirs."""
    for sender in SLOW:
        rig.bench.campaign(*crowd(500), sender=sender, pace=1, body="large")
    async with Fleet(rig=rig).working():
        await soon(lambda: len(rig.gateway.sent) >= 2 * len(SLOW))
        for body, transactional in (("code", True), ("news", False)):
            await _start(rig, OTHER_SENDER, body=body, transactional=transactional)
            # A second or two of each slow sender, of the 500 that it has.
            assert await _through(rig, body) <= 4 * len(SLOW)


async def test_a_code_at_the_same_sender(rig: Rig) -> None:
    """At a sender that a large campaign keeps busy a transactional one is not kept waiting."""
    rig.bench.campaign(*crowd(500), sender=SENDER, pace=10, body="large")
    async with Fleet(rig=rig).working():
        await soon(lambda: rig.gateway.sent)
        await _start(rig, SENDER, pace=10, body="code", transactional=True)
        # The window that was begun, and what the large one sends in the second or two until its
        # run looks up; in a turn of five seconds it would be 50 and more.
        assert await _through(rig, "code") <= 35


async def test_a_code_when_every_thread_is_taken(rig: Rig) -> None:
    """Without a reserved thread a bulk run ends within a second or two, and not after five."""
    rig.bench.campaign(*crowd(20_000), sender=SENDER, pace=40, body="large")
    rig.bench.campaign(*crowd(20_000), sender=OTHER_SENDER, pace=40, body="large")
    fleet = Fleet(rig=rig)
    async with fleet.working():
        rig.bench.execute("UPDATE worker SET slices = 3, reserved = 0")
        await soon(lambda: rig.gateway.sent)
        await _start(rig, SLOW[0], body="code", transactional=True)
        # At 80 a second; in a turn of five seconds it would be 400.
        assert await _through(rig, "code") <= 280
