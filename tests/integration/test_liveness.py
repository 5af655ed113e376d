"""A worker's sign of life: a lock that is gone when the worker is."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from sqlalchemy import make_url

from sender.config import Settings
from sender.liveness import living
from sender.permits import Permits
from sender.runtime import Runtime
from sender.storage import workers
from sender.storage.database import AsyncDatabase, Session
from sender.storage.workers import NewWorker
from tests.bench import ACCOUNT, BOUND, Bench, soon

SHORT = timedelta(milliseconds=200)


@dataclass
class Gate:
    """Tells whether work may begin."""

    is_open: bool = False

    def open(self) -> None:
        """Work may begin."""
        self.is_open = True

    def close(self) -> None:
        """Nothing new may begin."""
        self.is_open = False


@dataclass
class Line:
    """The network between us and a server, which can fail as networks do."""

    server: tuple[str, int]
    #: A broken line loses what is sent over it, and tells neither end.
    broken: bool = False
    _broken_for: set[asyncio.StreamWriter] = field(default_factory=set)
    _ends: list[asyncio.StreamWriter] = field(default_factory=list)

    def break_silently(self) -> None:
        """Lose what is sent over the connections there are; new ones work."""
        self._broken_for.update(self._ends)

    async def join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Connect a caller to the server; a broken line takes the call and is silent."""
        if self.broken:
            self._ends.append(writer)
            return
        server_reader, server_writer = await asyncio.open_connection(*self.server)
        self._ends += [writer, server_writer]
        await asyncio.gather(self._carry(reader, server_writer), self._carry(server_reader, writer))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if writer not in self._broken_for:
                writer.write(data)
        if writer not in self._broken_for:
            writer.close()

    def hang_up(self) -> None:
        """Close what is open."""
        for end in self._ends:
            end.close()


@dataclass(frozen=True)
class Moody(AsyncDatabase):
    """A database whose sessions fail as planned, in a way nobody expects."""

    #: Whether each session to come fails; those after the last one work.
    failures: list[bool] = field(default_factory=list)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """A session, or none."""
        if self.failures and self.failures.pop(0):
            raise LookupError("a bug")
        async with super().session() as session:
            yield session


@pytest.fixture
async def line(database_url: str) -> AsyncIterator[Line]:
    """A line to the bench's server."""
    url = make_url(database_url)
    line = Line(server=(url.host or "", url.port or 0))
    yield line
    line.hang_up()


@pytest.fixture
async def line_url(line: Line, database_url: str) -> AsyncIterator[str]:
    """The bench's database at the other end of the line."""
    async with await asyncio.start_server(line.join, "127.0.0.1", 0) as here:
        port = here.sockets[0].getsockname()[1]
        url = make_url(database_url).set(host="127.0.0.1", port=port)
        yield url.render_as_string(hide_password=False)
        line.hang_up()


def _live(bench: Bench) -> Callable[[], int]:
    return lambda: bench.db.run(workers.count_live)


def _end_sessions(bench: Bench) -> None:
    """Have the server end every connection that holds a worker's lock."""
    bench.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )


async def _nothing_begins(permits: Permits) -> None:
    """Poll until permits are no longer given.

    Raises:
        AssertionError: they still are, after the bound.
    """
    give_up_at = time.monotonic() + BOUND.total_seconds()
    while time.monotonic() < give_up_at:
        try:
            async with asyncio.timeout(SHORT.total_seconds()):
                permits.give_back(await permits.take(1))
        except TimeoutError:
            return
        await asyncio.sleep(0)
    pytest.fail("permits are still given")


def _settings(database_url: str, redis_url: str, **variables: str) -> Settings:
    return Settings.from_variables(
        {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "TWILIO_ACCOUNT_SID": ACCOUNT,
            "TWILIO_AUTH_TOKEN": "token",
            "PUBLIC_BASE_URL": "https://sms.example.com",
            **variables,
        }
    )


async def test_it_lives_as_long_as_the_block(bench: Bench, loop_db: AsyncDatabase) -> None:
    """A worker counts as live inside the block and not after it."""
    async with living(loop_db, NewWorker(name="one", slices=3), gate=Gate()) as one:
        async with living(loop_db, NewWorker(name="two", slices=3), gate=Gate()) as two:
            assert one != two
            assert _live(bench)() == 2
        await soon(lambda: _live(bench)() == 1)
    await soon(lambda: _live(bench)() == 0)


async def test_a_lost_connection_is_replaced(bench: Bench, loop_db: AsyncDatabase) -> None:
    """A worker whose lock's connection ends begins nothing until it has the lock again."""
    gate = Gate()
    async with living(loop_db, NewWorker(name="one", slices=3), gate=gate):
        assert gate.is_open
        _end_sessions(bench)
        await soon(lambda: _live(bench)() == 0)
        await soon(lambda: not gate.is_open)
        await soon(lambda: _live(bench)() == 1)
        await soon(lambda: gate.is_open)


async def test_a_connection_that_breaks_without_a_word(
    bench: Bench, line: Line, line_url: str
) -> None:
    """A worker that is not answered any more takes its lock on another connection."""
    db, gate = AsyncDatabase.connect(line_url, pool_size=1), Gate()
    async with living(db, NewWorker(name="one", slices=3), gate=gate, patience=SHORT):
        line.break_silently()
        _end_sessions(bench)
        await soon(lambda: not gate.is_open)
        assert _live(bench)() == 0
        await soon(lambda: _live(bench)() == 1)
        await soon(lambda: gate.is_open)
    await db.close()


async def test_a_bug_at_the_start(loop_db: AsyncDatabase) -> None:
    """A worker that could never hold its lock does not start, and does not wait for ever."""
    moody, gate = Moody(loop_db.engine, failures=[True]), Gate()
    with pytest.raises(LookupError):
        async with living(moody, NewWorker(name="one", slices=3), gate=gate):
            pytest.fail("it started")
    assert not gate.is_open


async def test_a_bug_later(bench: Bench, loop_db: AsyncDatabase) -> None:
    """What nobody expected does not end the keeping of the lock."""
    moody, gate = Moody(loop_db.engine, failures=[False, True]), Gate()
    async with living(moody, NewWorker(name="one", slices=3), gate=gate):
        _end_sessions(bench)
        await soon(lambda: not moody.failures)
        assert not gate.is_open
        await soon(lambda: _live(bench)() == 1)
        await soon(lambda: gate.is_open)


async def test_a_worker_without_its_lock_begins_nothing(
    bench: Bench, line: Line, line_url: str, redis_url: str
) -> None:
    """While its lock is not held a worker's slices wait; at shutdown they are let go, to end."""
    runtime = Runtime(settings=_settings(line_url, redis_url))
    async with runtime.worker("one") as worker:
        permits = worker.pump.permits
        line.broken = True
        _end_sessions(bench)
        await _nothing_begins(permits)
        waiting = asyncio.create_task(permits.take(8))
        worker.stop()
        assert await waiting == 8
        assert worker.pump.stopping.is_set()
        line.hang_up()


@pytest.mark.parametrize("threads", [2, 20])
async def test_connections_follow_threads(database_url: str, redis_url: str, threads: int) -> None:
    """A worker's slices do not wait for each other's connections, however many threads it has."""
    settings = _settings(database_url, redis_url, SENDER_THREADS=str(threads))
    async with Runtime(settings=settings).worker("one") as worker, asyncio.TaskGroup() as group:
        together = asyncio.Barrier(threads + 4)
        for _ in range(together.parties):
            group.create_task(_meet(worker.pump.db, together))


async def _meet(db: AsyncDatabase, others: asyncio.Barrier) -> None:
    """Hold a connection until as many others do."""
    async with db.engine.connect(), asyncio.timeout(BOUND.total_seconds()):
        await others.wait()
