"""One call for whatever several callers ask for within a few milliseconds."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


@dataclass
class Batcher(Generic[T, R]):
    """Gathers items and hands them on together; every caller gets its own item's answer."""

    #: Does the work for a batch: one answer for each item, in order. What it raises, every
    #: caller of that batch gets; an exception in an answer's place, its own caller alone.
    work: Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]]
    #: How long the first item waits for others.
    gather: timedelta
    #: The most items in a batch.
    largest: int
    _waiting: list[tuple[T, asyncio.Future[R]]] = field(default_factory=list)
    _running: asyncio.Task[None] | None = None

    async def submit(self, item: T) -> R:
        """The answer to one item."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        while self._waiting:
            await asyncio.sleep(self.gather.total_seconds())
            batch, self._waiting = self._waiting[: self.largest], self._waiting[self.largest :]
            await self._answer(batch)

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
