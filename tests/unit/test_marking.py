"""Opt-outs of a moment are written to the Redis set together."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain

from sender.domain.consent import ALL_SENDERS, ReasonClass, Suppression
from sender.marking import GatheredCache


def suppression(recipient: int) -> Suppression:
    """Somebody's STOP."""
    return Suppression(
        tenant_id=1,
        recipient=recipient,
        scope=ALL_SENDERS,
        reason=ReasonClass.STOP,
        event_id=recipient,
        since=datetime(2026, 1, 1, tzinfo=UTC),
    )


@dataclass
class Slow:
    """A set that takes its time."""

    open: asyncio.Event = field(default_factory=asyncio.Event)
    writes: list[list[int]] = field(default_factory=list)

    async def add(self, entries: Iterable[Suppression]) -> None:
        """Note what is written, and wait."""
        self.writes.append([one.recipient for one in entries])
        await self.open.wait()


async def test_a_crowd_is_written_together() -> None:
    """One at a time is under way; each returns only when its own is written."""
    there = Slow()
    cache = GatheredCache(there)
    adding = [asyncio.create_task(cache.add([suppression(one)])) for one in range(1, 4)]
    await asyncio.sleep(0.01)
    late = [asyncio.create_task(cache.add([suppression(one)])) for one in range(4, 1_000)]
    await asyncio.sleep(0.01)
    assert there.writes == [[1, 2, 3]]
    assert not any(task.done() for task in (*adding, *late))
    there.open.set()
    await asyncio.gather(*adding, *late)
    assert [len(one) for one in there.writes] == [3, 500, 496]
    assert sorted(chain.from_iterable(there.writes)) == list(range(1, 1_000))


async def test_nothing_is_not_written() -> None:
    """What leaves no suppression costs no round trip."""
    there = Slow()
    await GatheredCache(there).add([])
    assert there.writes == []
