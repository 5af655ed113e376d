"""The consumer's bell: a duty does one round a ring."""

import asyncio

import pytest

from sender.bell import Ring


async def test_a_round_a_ring() -> None:
    """However often it rang before, and meanwhile, it is one round; then it waits again."""
    ring, begun, ended = Ring(), list[str](), asyncio.Event()

    async def duty() -> None:
        begun.append("round")
        await ended.wait()

    ring.ring()
    ring.ring()
    under_way = asyncio.create_task(ring.answer(duty))
    await asyncio.sleep(0)
    ring.ring()
    ended.set()
    await under_way
    assert begun == ["round"]
    waiting = asyncio.create_task(ring.answer(duty))
    for _ in range(5):
        await asyncio.sleep(0)
    assert begun == ["round"]
    ring.ring()
    async with asyncio.timeout(10):
        await waiting
    assert begun == ["round", "round"]


async def test_a_round_that_fails() -> None:
    """It raises, and is over: the next ring begins another."""
    ring = Ring()

    async def failing() -> None:
        raise ConnectionResetError

    for _ in range(2):
        ring.ring()
        async with asyncio.timeout(10):
            with pytest.raises(ConnectionResetError):
                await ring.answer(failing)
