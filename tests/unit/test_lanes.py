"""Lanes: one kind of work leaves room for the others."""

import asyncio
from datetime import timedelta

import pytest

from workers.lanes import Crowded, Lane

LONG = timedelta(minutes=1)


async def _stay(lane: Lane, leave: asyncio.Event, order: list[int], number: int) -> None:
    async with lane.place():
        order.append(number)
        await leave.wait()


async def test_no_more_than_its_places_at_a_time() -> None:
    """Who comes later waits, and goes in turn."""
    lane, leave, order = Lane(places=2, within=LONG), asyncio.Event(), list[int]()
    tasks = [asyncio.create_task(_stay(lane, leave, order, one)) for one in range(5)]
    for _ in range(10):
        await asyncio.sleep(0)
    assert order == [0, 1]
    leave.set()
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2, 3, 4]


async def test_nobody_waits_for_ever() -> None:
    """Who gets no place in time is told, and keeps nobody from one afterwards."""
    lane, leave = Lane(places=1, within=timedelta(0)), asyncio.Event()
    first = asyncio.create_task(_stay(lane, leave, [], 1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    with pytest.raises(Crowded):
        async with lane.place():
            pass
    leave.set()
    await first


async def test_a_place_is_free_again_whatever_happened_in_it() -> None:
    """An error, or a caller that was cancelled, leaves its place."""
    lane = Lane(places=1, within=LONG)
    with pytest.raises(ZeroDivisionError):
        async with lane.place():
            raise ZeroDivisionError
    task = asyncio.create_task(_stay(lane, asyncio.Event(), [], 1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    async with lane.place():
        pass
