"""A worker's pulse and what is noted of it; what operators and supervisors see."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from redis import Redis
from typer.testing import CliRunner

from sender.cli import app as sender_app
from sender.config import Settings
from sender.domain.pulse import Verdict
from sender.fleet import Fleet, Worker
from sender.local.ports import free_port
from sender.pulsing import Pulse
from sender.storage.database import AsyncDatabase
from tests.bench import Bench, eventually, soon
from workers.app import create_app
from workers.pulse import EXPIRES, PulseQueue

QUICK = timedelta(milliseconds=1)
HOST = socket.gethostname()


@pytest.fixture
def owner(bench: Bench) -> Iterator[int]:
    """A live worker's id."""
    with bench.live_worker() as worker_id:
        yield worker_id


def _worker(bench: Bench) -> Worker:
    (worker,) = Fleet(db=bench.db).workers()
    return worker


def _rename(bench: Bench, worker_id: int, name: str) -> None:
    bench.execute("UPDATE worker SET name = :name WHERE id = :id", name=name, id=worker_id)


async def _beat(pulse: Pulse, publish: Callable[[int], bool], holds: Callable[[], object]) -> None:
    """Beat until a condition holds."""
    beating = asyncio.create_task(pulse.beat(publish))
    await soon(holds)
    beating.cancel()
    with suppress(asyncio.CancelledError):
        await beating


class TestPulse:
    """The loop."""

    async def test_it_notes_what_it_published(
        self, bench: Bench, loop_db: AsyncDatabase, owner: int
    ) -> None:
        """A pulse bears the worker's id; that it went out is noted, with the version."""
        published: list[int] = []
        pulse = Pulse(db=loop_db, worker_id=owner, version="7.1", every=QUICK)
        await _beat(pulse, lambda one: not published.append(one), lambda: _worker(bench).signs.sent)
        assert set(published) == {owner}
        assert _worker(bench).version == "7.1"
        assert _worker(bench).signs.failed is None
        assert _worker(bench).verdict is Verdict.STARTING

    async def test_it_notes_what_it_could_not_publish(
        self, bench: Bench, loop_db: AsyncDatabase, owner: int
    ) -> None:
        """A pulse that the broker did not take tells of the broker, and not of the worker."""
        pulse = Pulse(db=loop_db, worker_id=owner, every=QUICK)
        await _beat(pulse, lambda _: False, lambda: _worker(bench).signs.failed)
        assert _worker(bench).verdict is Verdict.BROKER_AWAY

    async def test_a_broker_that_hangs(
        self, bench: Bench, loop_db: AsyncDatabase, owner: int
    ) -> None:
        """A pulse that hangs counts as failed in time, and no second one is begun beside it."""
        begun, go_on = 0, threading.Event()

        def hang(_: int) -> bool:
            nonlocal begun
            begun += 1
            return go_on.wait(20)

        pulse = Pulse(db=loop_db, worker_id=owner, every=QUICK, within=QUICK)
        await _beat(pulse, hang, lambda: _worker(bench).signs.failed)
        assert begun == 1
        go_on.set()

    async def test_it_outlives_an_absence_of_postgres(
        self, bench: Bench, loop_db: AsyncDatabase, owner: int
    ) -> None:
        """What could not be noted is no end of it."""
        refuse = "ALTER TABLE worker ADD CONSTRAINT away CHECK (pulse_sent_at IS NULL)"
        bench.execute(refuse)
        pulse, tries = Pulse(db=loop_db, worker_id=owner, every=QUICK), 0

        def publish(_: int) -> bool:
            nonlocal tries
            tries += 1
            if tries > 1:
                bench.execute("ALTER TABLE worker DROP CONSTRAINT IF EXISTS away")
            return True

        await _beat(pulse, publish, lambda: _worker(bench).signs.sent)

    async def test_it_hears_its_own_only(
        self, bench: Bench, loop_db: AsyncDatabase, owner: int
    ) -> None:
        """A pulse that was run is noted; another worker's counts for nothing."""
        pulse = Pulse(db=loop_db, worker_id=owner)
        await pulse.hear(owner + 1)
        assert _worker(bench).signs.heard is None
        await pulse.hear(owner)
        assert _worker(bench).signs.heard is not None


class TestQueue:
    """The worker's own queue at the broker."""

    @pytest.fixture
    def publish(self, broker_url: str) -> Callable[[], bool]:
        """Publish a pulse of worker 17."""
        queue = _queue(broker_url)
        return lambda: queue.publish(17)

    def test_one_waits_at_most(self, broker_url: str, publish: Callable[[], bool]) -> None:
        """Pulses that nobody takes do not pile up, and vanish after a while."""
        assert [publish() for _ in range(5)] == [True] * 5
        with Redis.from_url(broker_url) as broker:
            assert broker.llen("sender:pulse.17") == 1
            assert 0 < broker.ttl("sender:pulse.17") <= EXPIRES
            assert b'"17"' not in broker.lindex("sender:pulse.17", 0)

    def test_a_full_broker(self, broker_url: str, publish: Callable[[], bool]) -> None:
        """A broker that takes nothing makes a failed pulse and no error."""
        with Redis.from_url(broker_url) as broker:
            broker.config_set("maxmemory", "1")
            try:
                assert not publish()
            finally:
                broker.config_set("maxmemory", "0")
        assert publish()

    def test_no_broker(self) -> None:
        """A broker that is not there makes a failed pulse and no error."""
        assert not _queue(f"redis://127.0.0.1:{free_port()}/0").publish(17)


def _queue(broker_url: str) -> PulseQueue:
    settings = Settings.from_variables(
        {"DATABASE_URL": "postgresql://", "REDIS_URL": "redis://", "CELERY_BROKER_URL": broker_url}
    )
    return PulseQueue(create_app(settings=lambda: settings), 17)


class TestCommand:
    """``sender workers``."""

    @pytest.fixture
    def say(self, bench: Bench) -> Callable[..., Any]:
        """Runs ``sender workers`` with these words, against the bench's database."""
        settings = {"DATABASE_URL": bench.url, "REDIS_URL": "redis://127.0.0.1:1/0"}
        runner = CliRunner(env={**settings, "COLUMNS": "200"})
        return lambda *words: runner.invoke(sender_app, ["workers", *words])

    def test_it_lists_who_lives(self, bench: Bench, say: Callable[..., Any], owner: int) -> None:
        """Each worker is shown with its verdict and the ages of its pulses."""
        _rename(bench, owner, "here:4")
        bench.execute("UPDATE worker SET pulse_heard_at = now(), pulse_sent_at = now()")
        (shown,) = json.loads(say("--json").stdout)["workers"]
        assert (shown["id"], shown["name"], shown["verdict"]) == (owner, "here:4", "well")
        assert shown["slices"] == 4
        assert shown["failed"] is None
        assert 0 <= shown["heard"] < 60
        assert "well" in say().stdout

    def test_it_checks_one(self, bench: Bench, say: Callable[..., Any], owner: int) -> None:
        """A check fails for a sick worker, and for one that nobody knows."""
        _rename(bench, owner, "here:4")
        assert say("--check", "here:4").exit_code == 0
        assert say("--check", "here:5").exit_code == 1
        bench.execute("UPDATE worker SET started_at = now() - interval '1 hour'")
        assert say("--check", "here:4").exit_code == 1
        bench.execute("UPDATE worker SET pulse_failed_at = now()")
        assert say("--check", "here:4").exit_code == 0

    def test_it_checks_this_host(self, bench: Bench, say: Callable[..., Any], owner: int) -> None:
        """A host's check looks at all that live there, and at no other's."""
        assert say("--self", "--check").exit_code == 1
        _rename(bench, owner, f"{HOST}:4")
        with bench.live_worker() as other:
            _rename(bench, other, "elsewhere:4")
            long_ago = "UPDATE worker SET started_at = now() - interval '1 hour' WHERE id = :id"
            bench.execute(long_ago, id=other)
            assert say("--self", "--check").exit_code == 0
        assert say("elsewhere", "--check").exit_code == 1

    def test_who_ended_is_gone(self, bench: Bench, say: Callable[..., Any]) -> None:
        """A worker whose lock is free is gone until it is swept up, and then not shown."""
        with bench.live_worker() as ended:
            _rename(bench, ended, "here:4")
        eventually(lambda: _worker(bench).verdict is Verdict.GONE)
        assert say("here:4", "--check").exit_code == 1
        with bench.live_worker() as successor:
            _rename(bench, successor, "here:4")
            assert [one.id for one in Fleet(db=bench.db).named("here")] == [successor]
        bench.execute("UPDATE worker SET buried_at = now()")
        assert Fleet(db=bench.db).workers() == []

    def test_nobody_can_tell_without_postgres(self) -> None:
        """A database that is away does not fail the check of a worker: a new one would not help."""
        url = f"postgresql+psycopg://sender@127.0.0.1:{free_port()}/sender"
        settings = {"DATABASE_URL": url, "REDIS_URL": "redis://127.0.0.1:1/0"}
        result = CliRunner(env=settings).invoke(sender_app, ["workers", "--self", "--check"])
        assert result.exit_code == 0
        assert "nobody can tell" in result.output
