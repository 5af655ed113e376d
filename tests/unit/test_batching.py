"""One call for what several callers ask for: each gets its own answer."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from sender.batching import Batcher, each_alone


class _Work:
    """Doubles numbers; 13 cannot be doubled, and 666 ends everything."""

    def __init__(self) -> None:
        self.batches: list[Sequence[int]] = []

    async def __call__(self, batch: Sequence[int]) -> list[int | Exception]:
        self.batches.append(batch)
        if 666 in batch:
            raise LookupError
        return [ValueError() if one == 13 else one * 2 for one in batch]


def _batcher(work: _Work, *, largest: int = 100) -> Batcher[int, int]:
    return Batcher(work=work, gather=timedelta(), largest=largest)


async def test_each_gets_its_own_answer() -> None:
    """What is asked for together is one call."""
    work = _Work()
    batcher = _batcher(work)
    assert await asyncio.gather(*(batcher.submit(n) for n in range(4))) == [0, 2, 4, 6]
    assert work.batches == [[0, 1, 2, 3]]


async def test_no_batch_is_too_large() -> None:
    """Beyond the largest batch there is another."""
    work = _Work()
    batcher = _batcher(work, largest=3)
    assert await asyncio.gather(*(batcher.submit(n) for n in range(4))) == [0, 2, 4, 6]
    assert work.batches == [[0, 1, 2], [3]]


async def test_one_fails_alone() -> None:
    """An exception in an answer's place is its caller's alone."""
    batcher = _batcher(_Work())
    good, bad = batcher.submit(1), batcher.submit(13)
    answers = await asyncio.gather(good, bad, return_exceptions=True)
    assert answers[0] == 2
    assert isinstance(answers[1], ValueError)


async def test_all_fail_together() -> None:
    """What the work raises, everybody gets; the next batch is another."""
    batcher = _batcher(_Work())
    answers = await asyncio.gather(batcher.submit(1), batcher.submit(666), return_exceptions=True)
    assert [type(one) for one in answers] == [LookupError, LookupError]
    with pytest.raises(LookupError):
        await batcher.submit(666)
    assert await batcher.submit(2) == 4


async def test_a_stuck_batch_keeps_nobody_else_waiting() -> None:
    """With a patience, the next batch goes beside one that takes longer; no more than so many."""
    hold, begun = asyncio.Event(), list[list[int]]()

    async def work(batch: Sequence[int]) -> Sequence[int]:
        begun.append(list(batch))
        if batch[0] < 0:
            await hold.wait()
        return batch

    batcher = Batcher(
        work=work, gather=timedelta(), largest=1, patience=timedelta(microseconds=1), at_once=2
    )
    assert batcher.room == 2
    stuck = batcher.submit(-1)
    assert await batcher.submit(1) == 1
    stuck_too = batcher.submit(-2)
    waiting = batcher.submit(2)
    while len(begun) < 3:  # noqa: ASYNC110  # the loop's turns, not time
        await asyncio.sleep(0)
    assert not waiting.done()
    hold.set()
    assert await asyncio.gather(stuck, stuck_too, waiting) == [-1, -2, 2]
    assert sorted(begun[:2]) == [[-1], [1]]
    assert begun[2:] == [[-2], [2]]


class TestEachAlone:
    """A batch that fails is halved until what is wrong with it stands alone."""

    async def test_what_is_wrong_stands_alone(self) -> None:
        """Everybody else has an answer."""

        async def work(batch: Sequence[int]) -> Sequence[int]:
            if 13 in batch:
                raise ValueError
            return [one * 2 for one in batch]

        answers = await each_alone(work, [1, 2, 13, 4, 5], is_common=lambda _: False)
        assert isinstance(answers.pop(2), ValueError)
        assert answers == [2, 4, 8, 10]

    async def test_what_is_common_is_raised(self) -> None:
        """Nothing is halved for what is not the items' fault."""
        work = _Work()
        with pytest.raises(LookupError):
            await each_alone(work, [1, 666], is_common=lambda exc: isinstance(exc, LookupError))
        assert len(work.batches) == 1
