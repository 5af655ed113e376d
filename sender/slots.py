"""Slots for requests at the provider: a row that was guarded waits for one, in turn and briefly.

A slot is a task that makes one request after the other. A task for each request, and a future for
each that waits, take longer than all else that happens between a guard and its request.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Generic, Protocol, Self, TypeVar

import structlog

from sender.send_clock import send_clock

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Row(Protocol):
    """A guarded row."""

    @property
    def by(self) -> float:
        """By the send clock, until when its request must have begun."""

    async def hand_off(self) -> None:
        """Make its request, now; it has its slot for as long as this takes."""

    def turn_away(self) -> None:
        """Its moment has passed: it goes back."""


class Account(Protocol):
    """Whose row it is."""

    def begins(self) -> None:
        """A row has its slot."""

    def ends(self) -> None:
        """A row's request was answered, or is given up."""

    def came_too_late(self, row: Row) -> None:
        """A row's moment passed in line."""


class Line(Generic[T]):
    """Who waits, in turn; nobody beyond their moment."""

    def __init__(self, turn_away: Callable[[T], None], clock: Callable[[], float]) -> None:
        self._turn_away = turn_away
        self._clock = clock
        #: In the order of their windows, and so of their moments.
        self._line: deque[tuple[float, T]] = deque()
        self._alarm: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._line)

    def join(self, one: T, *, by: float) -> None:
        """Wait at its end until a moment by the clock."""
        self._line.append((by, one))
        if self._alarm is None:
            self._watch()

    def first(self) -> T:
        """Who is first, and waits no longer."""
        return self._line.popleft()[1]

    def _watch(self) -> None:
        """Come back when the first in line has waited for long enough."""
        left = max(0.0, self._line[0][0] - self._clock())
        self._alarm = asyncio.get_running_loop().call_later(left, self._look)

    def _look(self) -> None:
        """Send those away whose moment has passed."""
        self._alarm, now = None, self._clock()
        while self._line and self._line[0][0] <= now:
            self._turn_away(self.first())
        if self._line:
            self._watch()


class Slots:
    """One process's. Open them with :meth:`open`, inside the loop that uses them."""

    def __init__(self, total: int, *, clock: Callable[[], float] = send_clock) -> None:
        """Use :meth:`open`, which also ends them."""
        self._total = total
        self._tasks: set[asyncio.Task[None]] = set()
        #: Those that have nothing to do.
        self._free: list[asyncio.Future[tuple[Row, Account]]] = []
        self._line: Line[tuple[Row, Account]] = Line(_turn_away, clock)
        self._is_open = True

    @classmethod
    @asynccontextmanager
    async def open(
        cls, total: int, *, clock: Callable[[], float] = send_clock
    ) -> AsyncIterator[Self]:
        """So many, until the end of the block; those that are in use then end with their rows."""
        slots = cls(total, clock=clock)
        try:
            yield slots
        finally:
            slots._is_open = False
            while slots._free:
                slots._free.pop().cancel()
            await asyncio.sleep(0)  # in this turn of the loop they end

    def hand_off(self, row: Row, account: Account) -> None:
        """Have a row's request made as soon as there is a slot for it."""
        if self._free:
            self._free.pop().set_result((row, account))
        elif len(self._tasks) < self._total:
            self._tasks.add(asyncio.create_task(self._serve(row, account)))
        else:
            self._line.join((row, account), by=row.by)

    async def _serve(self, row: Row, account: Account) -> None:
        """Be a slot."""
        while True:
            account.begins()
            try:
                await row.hand_off()
            except Exception as exc:  # noqa: BLE001  # others' requests go on
                log.error("hand_off_broke", error=type(exc).__name__)
            finally:
                account.ends()
            if self._line:
                row, account = self._line.first()
            elif self._is_open:
                row, account = await self._turn()
            else:
                return

    async def _turn(self) -> tuple[Row, Account]:
        turn: asyncio.Future[tuple[Row, Account]] = asyncio.get_running_loop().create_future()
        self._free.append(turn)
        return await turn


def _turn_away(waiting: tuple[Row, Account]) -> None:
    row, account = waiting
    account.came_too_late(row)
