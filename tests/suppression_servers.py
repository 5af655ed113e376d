"""The two back ends that the rules of the suppression set are held on."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import fakeredis
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from sender.suppression import (
    Admission,
    Entry,
    Pace,
    SuppressionLookup,
    SuppressionWriter,
    Verdict,
    connect_async,
    connect_sync,
    rebuild,
)

TENANT = 3
SENDER = 70
PLATFORM = (0, 0)
ALL_SENDERS = (TENANT, 0)
ONE_SENDER = (TENANT, SENDER)
SCOPES = (PLATFORM, ALL_SENDERS, ONE_SENDER)

#: Numbers that a rebuild sends at a time here.
BATCH = 1_000

#: So slow that no token falls due while a test runs.
SLOW = 0.001

#: So wide that pacing never holds a test back.
OPEN = Pace(tenant_id=TENANT, sender_id=SENDER, rate=1_000_000, burst=1_000_000)


@dataclass(frozen=True, kw_only=True)
class Server:
    """One Redis, real or not, seen by a client of each kind."""

    sync: Redis
    asyncio: AsyncRedis

    def build(self, scope: tuple[int, int], numbers: Iterable[int] = (), *, count: int = 1) -> int:
        """Build a scope's set, as the consumer does."""
        return rebuild(
            self.sync,
            tenant_id=scope[0],
            scope=scope[1],
            entries=numbers,
            count=count,
            floor=1,
            batch=BATCH,
        )

    def build_all(self) -> None:
        """Make every scope of a window warm and empty."""
        for scope in SCOPES:
            self.build(scope)

    def add(self, scope: tuple[int, int], *numbers: int) -> None:
        """Suppress numbers in a scope."""
        SuppressionWriter(self.sync).add(entries(scope, *numbers))

    def remove(self, scope: tuple[int, int], *numbers: int) -> None:
        """Suppress numbers in a scope no longer."""
        SuppressionWriter(self.sync).remove(entries(scope, *numbers))

    async def check(
        self,
        *numbers: int,
        pace: Pace = OPEN,
        segments: Iterable[int] = (),
        scopes: tuple[tuple[int, int], ...] = SCOPES,
    ) -> Admission:
        """Ask for one window; a segment each unless said otherwise."""
        return await SuppressionLookup(self.asyncio).check(
            pace=pace,
            scopes=scopes,
            recipients=numbers,
            segments=tuple(segments) or (1,) * len(numbers),
        )

    async def verdicts(
        self, *numbers: int, scopes: tuple[tuple[int, int], ...] = SCOPES
    ) -> tuple[Verdict, ...]:
        """What the set says, for any number of recipients."""
        said: tuple[Verdict, ...] = ()
        for start in range(0, len(numbers), 32):
            said += (await self.check(*numbers[start : start + 32], scopes=scopes)).verdicts
        return said


def entries(scope: tuple[int, int], *numbers: int) -> list[Entry]:
    """The entries of these numbers in one scope."""
    return [Entry(tenant_id=scope[0], scope=scope[1], recipient=number) for number in numbers]


@asynccontextmanager
async def fake_server() -> AsyncIterator[Server]:
    """An empty fakeredis."""
    state = fakeredis.FakeServer()
    with fakeredis.FakeRedis(server=state) as sync:
        async with fakeredis.FakeAsyncRedis(server=state) as asyncio:
            yield Server(sync=sync, asyncio=asyncio)


@asynccontextmanager
async def real_server(url: str) -> AsyncIterator[Server]:
    """The Redis at this URL, emptied."""
    with connect_sync(url) as sync:
        sync.flushdb()
        async with connect_async(url) as asyncio:
            yield Server(sync=sync, asyncio=asyncio)
