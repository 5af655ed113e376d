"""Permits: one limit of requests in flight, taken by the window and in turn."""

import asyncio

import pytest

from sender.permits import Permits


async def _settled() -> None:
    """Let everything that can run, run."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_as_many_as_wanted() -> None:
    """With enough free nobody waits, and gets all that is wanted."""
    permits = Permits(64)
    assert await permits.take(32) == 32
    assert await permits.take(32) == 32


async def test_never_more_than_there_are() -> None:
    """What is taken and not given back never exceeds the total."""
    permits, taken = Permits(40), 0
    assert await permits.take(32) == 32
    waiting = asyncio.create_task(permits.take(32))
    await _settled()
    assert not waiting.done()
    permits.give_back(14)
    taken = await waiting
    assert 20 <= taken <= 22


async def test_a_worthwhile_batch_is_waited_for() -> None:
    """A window is not begun for a few permits that came back."""
    permits = Permits(32)
    await permits.take(32)
    waiting = asyncio.create_task(permits.take(32))
    permits.give_back(15)
    await _settled()
    assert not waiting.done()
    permits.give_back(1)
    assert await waiting == 16


async def test_who_wants_little_waits_for_little() -> None:
    """A small remainder is worthwhile by itself."""
    permits = Permits(32)
    await permits.take(32)
    waiting = asyncio.create_task(permits.take(3))
    permits.give_back(3)
    assert await waiting == 3


@pytest.mark.parametrize("total", [1, 2, 3, 7])
async def test_a_small_total(total: int) -> None:
    """A total below a worthwhile batch still lets windows through."""
    permits = Permits(total)
    for _ in range(3):
        taken = await permits.take(32)
        assert 1 <= taken <= total
        permits.give_back(taken)


async def test_in_turn() -> None:
    """Whoever waits first is first, and newcomers do not overtake."""
    permits, order = Permits(16), []

    async def take(name: str, wanted: int) -> None:
        await permits.take(wanted)
        order.append(name)

    await permits.take(16)
    tasks = [asyncio.create_task(take(name, wanted)) for name, wanted in (("a", 8), ("b", 1))]
    await _settled()
    permits.give_back(7)
    tasks.append(asyncio.create_task(take("c", 1)))
    await _settled()
    assert order == []
    permits.give_back(9)
    await asyncio.gather(*tasks)
    assert order == ["a", "b", "c"]


async def test_who_leaves_the_line_takes_nothing() -> None:
    """A cancelled wait holds no permits and holds up nobody behind it."""
    permits = Permits(16)
    await permits.take(16)
    gone, next_one = (asyncio.create_task(permits.take(8)) for _ in range(2))
    await _settled()
    gone.cancel()
    await _settled()
    permits.give_back(8)
    assert await next_one == 8
    permits.give_back(16)
    assert await permits.take(16) == 16


async def test_who_leaves_at_the_last_moment_gives_back() -> None:
    """Permits that were set aside for a wait that is cancelled go to the next in line."""
    permits = Permits(16)
    await permits.take(16)
    gone, next_one = (asyncio.create_task(permits.take(16)) for _ in range(2))
    await _settled()
    permits.give_back(16)
    gone.cancel()
    assert await next_one == 16


async def test_many_at_once() -> None:
    """Under any interleaving the limit holds and everybody is served."""
    permits, in_flight, most = Permits(20), 0, 0

    async def window(wanted: int) -> None:
        nonlocal in_flight, most
        taken = await permits.take(wanted)
        in_flight += taken
        most = max(most, in_flight)
        for _ in range(taken):
            await asyncio.sleep(0)
            in_flight -= 1
            permits.give_back(1)

    async with asyncio.timeout(20):
        await asyncio.gather(*(window(1 + n % 32) for n in range(60)))
    assert most <= 20
    assert in_flight == 0


async def test_closed() -> None:
    """While closed nobody takes any, not even of what is given back; then all go, in turn."""
    permits, order = Permits(16), []

    async def take(name: str, wanted: int) -> None:
        await permits.take(wanted)
        order.append(name)

    assert await permits.take(8) == 8
    permits.close()
    tasks = [asyncio.create_task(take(name, 4)) for name in ("a", "b", "c")]
    await _settled()
    permits.give_back(8)
    await _settled()
    assert order == []
    permits.open()
    await asyncio.gather(*tasks)
    assert order == ["a", "b", "c"]
    permits.give_back(16)
    assert await permits.take(16) == 16


async def test_open_for_good() -> None:
    """At shutdown nobody is kept waiting, by an earlier or a later close."""
    permits = Permits(16)
    permits.close()
    waiting = asyncio.create_task(permits.take(8))
    await _settled()
    permits.open(for_good=True)
    permits.close()
    assert await waiting == 8
    assert await permits.take(8) == 8


async def test_more_of_them() -> None:
    """Permits that are added serve those in line."""
    permits = Permits(16)
    await permits.take(16)
    waiting = asyncio.create_task(permits.take(16))
    await _settled()
    permits.resize(32)
    assert await waiting == 16
    assert permits.total == 32


async def test_fewer_of_them() -> None:
    """What is taken beyond a smaller total comes back before anything is given out again."""
    permits = Permits(32)
    assert await permits.take(32) == 32
    permits.resize(8)
    waiting = asyncio.create_task(permits.take(32))
    permits.give_back(27)
    await _settled()
    assert not waiting.done()
    permits.give_back(1)
    assert await waiting == 4


async def test_a_bound_on_rows() -> None:
    """Fewer rows may be under way than there are slots: none of them waits for one."""
    permits = Permits(32, ahead=8)
    permits.bound(10)
    assert (permits.rows, permits.total) == (10, 32)
    assert await permits.take(32) == 10
    assert all(permits.slots.take_now() for _ in range(10))
    waiting = asyncio.create_task(permits.take(32))
    permits.give_back(4)
    await _settled()
    assert not waiting.done()
    permits.bound(40)
    assert await waiting == 32


async def test_fewer_than_are_waited_for() -> None:
    """Who waits for a batch that there can be no more gets a smaller one."""
    permits = Permits(32)
    await permits.take(32)
    waiting = asyncio.create_task(permits.take(32))
    await _settled()
    permits.resize(2)
    permits.give_back(32)
    assert await waiting == 2
    permits.give_back(2)
    assert await permits.take(32) == 2
