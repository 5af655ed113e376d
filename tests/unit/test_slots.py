"""Slots: so many requests at a time, taken in turn, and waited for until a given moment only."""

import asyncio

import pytest

from sender.slots import Slots

FAR = float("inf")


async def _settled() -> None:
    """Let everything that can run, run."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_no_more_than_there_are() -> None:
    """Who comes when all are taken waits, and is served in turn."""
    slots = Slots(2)
    assert [await slots.take(by=FAR), await slots.take(by=FAR)] == [True, True]
    first, second = (asyncio.create_task(slots.take(by=FAR)) for _ in range(2))
    await _settled()
    assert not first.done()
    slots.give_back()
    await _settled()
    assert (first.done(), second.done()) == (True, False)
    slots.give_back()
    assert await second


async def test_nobody_waits_beyond_their_moment() -> None:
    """Whose moment passes goes away with nothing; who has more time waits on."""
    now = 100.0
    slots = Slots(1, clock=lambda: now)
    assert await slots.take(by=FAR)
    late, patient = (asyncio.create_task(slots.take(by=by)) for by in (100.01, FAR))
    await _settled()
    now = 101.0
    assert await late is False
    assert not patient.done()
    slots.give_back()
    assert await patient is True


async def test_a_moment_that_has_passed() -> None:
    """Who comes too late to a full house is turned away at once."""
    slots = Slots(0, clock=lambda: 100.0)
    assert await slots.take(by=99.0) is False


async def test_who_leaves_the_line_takes_nothing() -> None:
    """A cancelled wait gives up its place, or the slot that it had just been given."""
    slots = Slots(1)
    assert await slots.take(by=FAR)
    served, waiting = (asyncio.create_task(slots.take(by=FAR)) for _ in range(2))
    await _settled()
    waiting.cancel()
    slots.give_back()
    served.cancel()
    for task in (served, waiting):
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await slots.take(by=FAR)


async def test_fewer_and_more() -> None:
    """A cut takes back nothing that is taken; a raise serves those in line."""
    slots = Slots(3)
    for _ in range(3):
        assert await slots.take(by=FAR)
    slots.resize(1)
    waiting = asyncio.create_task(slots.take(by=FAR))
    slots.give_back()
    slots.give_back()
    await _settled()
    assert not waiting.done()
    slots.resize(2)
    assert await waiting
    assert slots.total == 2
