"""One call for whatever several callers ask for within a few milliseconds."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


async def each_alone(
    work: Callable[[Sequence[T]], Awaitable[Sequence[R]]],
    batch: Sequence[T],
    *,
    is_common: Callable[[Exception], bool],
) -> list[R | Exception]:
    """The answers to a batch; an item that cannot be worked on has its exception and fails alone.

    A batch that fails is halved until what is wrong with it stands alone, so ``work`` must bear to
    be repeated.

    Raises:
        Exception: one that ``is_common``: it has nothing to do with the items.
    """
    try:
        return list(await work(batch))
    except Exception as exc:
        if is_common(exc):
            raise
        if len(batch) == 1:
            return [exc]
    middle = len(batch) // 2
    first = await each_alone(work, batch[:middle], is_common=is_common)
    return first + await each_alone(work, batch[middle:], is_common=is_common)


@dataclass
class Batcher(Generic[T, R]):
    """Gathers items and hands them on together; every caller gets its own item's answer."""

    #: Does the work for a batch: one answer for each item, in order. What it raises, every
    #: caller of that batch gets; an exception in an answer's place, its own caller alone.
    work: Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]]
    #: How long the first item waits for others; not at all where they are a batch already.
    gather: timedelta
    #: The most items in a batch.
    largest: int
    #: How long a batch may take until the next one goes beside it: one that is stuck keeps only
    #: its own callers waiting.
    patience: timedelta | None = None
    #: The most batches side by side, where there is a patience.
    at_once: int = 1
    _waiting: list[tuple[T, asyncio.Future[R]]] = field(default_factory=list)
    _running: asyncio.Task[None] | None = None
    _under_way: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def room(self) -> int:
        """How many items can be worked on at a time."""
        return self.largest * self.at_once

    def submit(self, item: T) -> asyncio.Future[R]:
        """The answer to one item, to be awaited."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        return future

    async def _run(self) -> None:
        while self._waiting:
            if len(self._waiting) < self.largest:
                await asyncio.sleep(self.gather.total_seconds())
            batch, self._waiting = self._waiting[: self.largest], self._waiting[self.largest :]
            await self._begin(batch)

    async def _begin(self, batch: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        """Return once the next batch may begin."""
        if self.patience is None:
            await self._answer(batch)
            return
        task = asyncio.create_task(self._answer(batch))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        await asyncio.wait({task}, timeout=self.patience.total_seconds())
        while len(self._under_way) >= self.at_once:
            await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)

    async def _answer(self, batch: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            answers = await self.work([item for item, _ in batch])
        except Exception as exc:  # noqa: BLE001  # passed on to every caller
            for _, future in batch:
                if not future.done():
                    future.set_exception(exc)
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
