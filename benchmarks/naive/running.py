"""Rounds of the naive design: the queue is filled, then its workers are let go.

On the bench's Postgres and Redis, in databases of their own. The clock runs from the first request
to the commit of the last row, as the system's does; filling the queue is not counted.
"""

import os
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg

from benchmarks import people
from benchmarks.cpu import Usage
from benchmarks.freezing import freeze, thaw
from benchmarks.measured import Case, Measured, wire_faults
from benchmarks.naive.app import OPTED_OUT, Base, app
from benchmarks.plan import body
from benchmarks.provider import Manners
from benchmarks.rig import ACCOUNT, NUMBER, TOKEN, Bench
from sender.local.processes import Supervisor
from sender.local.waiting import wait_until
from sender.storage.database import Database
from sender.suppression import connect_sync


@dataclass(frozen=True, kw_only=True)
class _Variant:
    """One way to run it."""

    queue: str
    #: Processes of Celery's default pool.
    concurrency: int
    task: str


#: 32 is its best concurrency on two cores; 2 is Celery's default there.
QUEUES = {
    Case.NAIVE: _Variant(queue="naive", concurrency=32, task="naive.send"),
    Case.NAIVE_TWO: _Variant(queue="naive-two", concurrency=2, task="naive.send"),
    Case.NAIVE_ASYNC: _Variant(queue="naive-async", concurrency=32, task="naive.send_async"),
}
#: The worker that serves all queues.
_SMALL = "naive-small"
_DATABASE, _REDIS, _BROKER = "naive", 5, 6
#: Numbers in one SADD.
_AT_A_TIME = 10_000
_DONE_WITHIN = timedelta(minutes=10)

_ROWS = """
    SELECT count(*) FILTER (WHERE state = 'sent'), count(*) FILTER (WHERE state = 'suppressed'),
           count(*) FILTER (WHERE state = 'pending'), count(DISTINCT sid),
           extract(epoch FROM max(pg_xact_commit_timestamp(xmin)))::float8
    FROM message WHERE id >= %s AND id < %s
"""
_PENDING = """
    SELECT EXISTS (SELECT FROM message WHERE id >= %s AND id < %s AND state = 'pending')
"""


@dataclass(frozen=True, kw_only=True)
class Naive:
    """Workers of the naive design, each variant's at a queue of its own."""

    bench: Bench
    db: "psycopg.Connection[Any]"
    supervisor: Supervisor
    #: Whether one small worker serves all queues.
    small: bool

    def run(self, case: Case, first: int, size: int, manners: Manners) -> Measured:
        """Text a run of recipients."""
        variant, span = QUEUES[case], (first, first + size)
        self.bench.provider.reset(manners)
        self._store(first, size)
        self._publish(variant, first, size)
        self.db.execute("CHECKPOINT")
        root = self.supervisor.pid(_SMALL if self.small else variant.queue)
        kinds = {**self.bench.kinds, "sender": [root]}
        before, redis = Usage.now(kinds), self.bench.redis_seconds()
        thaw([root])
        wait_until(lambda: not self._row(_PENDING, *span)[0], _DONE_WITHIN, case)
        used, served = Usage.now(kinds).since(before), self.bench.redis_seconds() - redis
        freeze([root])  # from now on, but in its rounds
        report, hits = self.bench.provider.report(), people.suppressed_among(first, size)
        sent, suppressed, pending, sids, ended_at = self._row(_ROWS, *span)
        faults = wire_faults(report, expected=size - hits)
        if (sent, suppressed, pending) != (sids, hits, 0) or sids != report["answered"]:
            faults.append(f"{sent} sent ({sids} SIDs), {suppressed} suppressed, {pending} pending")
        return Measured(
            case=case,
            messages=report["answered"],
            seconds=ended_at - report["first_at"],
            cpu=Usage({**used.seconds, "redis (INFO)": served}).per_message(report["answered"]),
            void=tuple(faults),
            provider=report,
        )

    def _store(self, first: int, size: int) -> None:
        with self.db.cursor().copy(
            "COPY message (id, recipient, sender, body, state) FROM STDIN"
        ) as copy:
            for index in range(first, first + size):
                number = f"+{people.number(index)}"
                copy.write_row((index, number, NUMBER, body(first), "pending"))

    def _publish(self, variant: _Variant, first: int, size: int) -> None:
        with app.connection_for_write(self._broker_url) as broker, broker.Producer() as producer:
            for index in range(first, first + size):
                app.send_task(variant.task, (index,), queue=variant.queue, producer=producer)

    @property
    def _broker_url(self) -> str:
        return self.bench.servers.redis.database_url(_BROKER)

    def _row(self, question: str, *about: object) -> tuple[Any, ...]:
        row: tuple[Any, ...] | None = self.db.execute(question.encode(), about).fetchone()
        assert row is not None
        return row


@contextmanager
def running_naive(bench: Bench, cases: Collection[Case], *, small: bool) -> Iterator[Naive]:
    """Its databases, and workers for those of the cases that are its variants."""
    variants = [variant for case, variant in QUEUES.items() if case in cases]
    if variants:
        _prepare(bench)
    environment = {**os.environ, **_environment(bench)}
    with (
        Supervisor(bench.folder / "naive", environment) as supervisor,
        psycopg.connect(_url(bench) if variants else bench.postgres_url, autocommit=True) as db,
    ):
        workers = _workers(variants, small=small)
        for name, argv in workers.items():
            supervisor.start(name, argv)
        try:
            yield Naive(bench=bench, db=db, supervisor=supervisor, small=small)
        finally:  # those that stand still would not hear that they are to end
            for name in workers:
                supervisor.kill(name)


def _workers(variants: Sequence[_Variant], *, small: bool) -> dict[str, list[str]]:
    """The programs by name."""
    if small and variants:
        return {_SMALL: _worker(_SMALL, [variant.queue for variant in variants], 2)}
    return {one.queue: _worker(one.queue, [one.queue], one.concurrency) for one in variants}


def _worker(name: str, queues: Sequence[str], concurrency: int) -> list[str]:
    return [
        *(sys.executable, "-m", "celery", "-A", "benchmarks.naive.app", "worker"),
        *("-c", str(concurrency), "-Q", ",".join(queues), "-n", f"{name}@%h"),
        *("--loglevel", "warning", "--without-gossip", "--without-mingle"),
    ]


def _prepare(bench: Bench) -> None:
    with psycopg.connect(bench.postgres_url, autocommit=True) as db:
        db.execute(f"CREATE DATABASE {_DATABASE}".encode())
        listed = [f"+{row[0]}" for row in db.execute("SELECT recipient FROM suppression")]
    database = Database.connect(_sqlalchemy_url(bench))
    Base.metadata.create_all(database.engine)
    database.close()
    with connect_sync(bench.servers.redis.database_url(_REDIS)) as redis:
        for start in range(0, len(listed), _AT_A_TIME):
            redis.sadd(OPTED_OUT, *listed[start : start + _AT_A_TIME])


def _environment(bench: Bench) -> Mapping[str, str]:
    redis = bench.servers.redis
    return {
        "NAIVE_DATABASE_URL": _sqlalchemy_url(bench),
        "NAIVE_REDIS_URL": redis.database_url(_REDIS),
        "NAIVE_BROKER_URL": redis.database_url(_BROKER),
        "TWILIO_ACCOUNT_SID": ACCOUNT,
        "TWILIO_AUTH_TOKEN": TOKEN,
        "TWILIO_API_BASE_URL": bench.provider.url,
    }


def _sqlalchemy_url(bench: Bench) -> str:
    return bench.servers.postgres.url.removesuffix("/postgres") + f"/{_DATABASE}"


def _url(bench: Bench) -> str:
    return bench.postgres_url.removesuffix("/postgres") + f"/{_DATABASE}"
