"""What a process may have in flight follows how long its event loop's rounds take."""

import asyncio

import pytest

from sender.keeping_up import LEAST, LONG, SHARE, Bound, KeepingUp
from sender.permits import Permits

MOST = 400


def _after(bound: Bound, seconds: float, rounds: int) -> Bound:
    for _ in range(rounds):
        bound = bound.after(seconds)
    return bound


def test_at_first_all_that_there_is() -> None:
    """Before anything is known of the loop, nothing is held back."""
    assert Bound.first(MOST).limit == MOST


def test_a_loop_that_keeps_up() -> None:
    """Short rounds leave the bound where it is."""
    assert _after(Bound.first(MOST), LONG / 4, 100).limit == MOST


def test_a_loop_that_falls_behind() -> None:
    """Long rounds lower the bound, never below what one core takes care of anyhow."""
    bounds = [_after(Bound.first(MOST), 5 * LONG, rounds).limit for rounds in range(60)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[-1] == LEAST


def test_answers_that_take_long() -> None:
    """Rounds that are short beside what an answer takes hold nothing back."""
    bound = Bound.first(MOST)
    for _ in range(50):
        bound = bound.after(3 * LONG, answer=4 * LONG / SHARE)
    assert bound.limit == MOST
    for _ in range(50):
        bound = bound.after(5 * LONG, answer=4 * LONG / SHARE)
    assert bound.limit < MOST


def test_a_single_long_round() -> None:
    """One round that something else has lengthened is no reason."""
    assert Bound.first(MOST).after(4 * LONG).limit == MOST


def test_it_comes_back() -> None:
    """Short rounds raise the bound again, up to what there was."""
    low = _after(Bound.first(MOST), 5 * LONG, 100)
    bounds = [_after(low, 0.0, rounds).limit for rounds in range(MOST)]
    assert bounds == sorted(bounds)
    assert bounds[-1] == MOST


def test_between_long_and_short() -> None:
    """Rounds of middling length are how it should be: nothing changes."""
    low = _after(_after(Bound.first(MOST), 5 * LONG, 5), 0.75 * LONG, 50)
    assert low.after(0.75 * LONG).limit == low.limit


@pytest.mark.parametrize("most", [1, LEAST - 1, LEAST])
def test_a_process_with_few(most: int) -> None:
    """Whoever has no more than the least keeps it."""
    assert _after(Bound.first(most), 1.0, 50).limit == most


async def test_permits_follow() -> None:
    """Each window looks; whoever looks while that is being done adds nothing."""
    permits, moment = Permits(MOST, ahead=32), 0.0
    keeping_up = KeepingUp(permits, clock=lambda: moment)
    for _ in range(20):
        keeping_up.look(answer=0.0)
        moment += 4 * LONG
        keeping_up.look(answer=0.0)
        await asyncio.sleep(0)
    lowered = permits.rows
    assert LEAST <= lowered < MOST
    assert permits.total == MOST
    assert await permits.take(MOST) == lowered
    for _ in range(50):
        keeping_up.look(answer=0.0)
        await asyncio.sleep(0)
    assert permits.rows > lowered
