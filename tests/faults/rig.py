"""The system of the acceptance tests with a fault proxy in front of everything.

Processes are started one by one, each with the fault it is to suffer.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import Row, make_url, text

import sender
from sender.crashing import CrashPoint
from sender.local.child import Child, Program
from sender.local.ports import LOOPBACK, free_port
from sender.local.processes import Supervisor
from sender.local.servers import LocalServers
from sender.local.stack import Plan, Ports, Programs, Stack
from sender.local.waiting import answers_http, wait_until
from sender.storage.database import Database, DatabaseError
from tests.acceptance.rig import ACCOUNT, NUMBER, TOKEN, Simulator, System, start_simulator
from tests.faults.proxy import FaultProxy

#: Twilio's repeats of a webhook, as the README asks for them.
REPEATS = "#ct=2000&rt=4000&rc=5&rp=all"
#: What a process needs to come up, on a machine that is busy with others.
START_WITHIN = timedelta(seconds=60)


@dataclass(frozen=True, kw_only=True)
class Proxies:
    """One in front of each server, and one in front of the webhook app."""

    postgres: FaultProxy
    redis: FaultProxy
    broker: FaultProxy
    door: FaultProxy


@dataclass(frozen=True, kw_only=True)
class FaultySystem(System):
    """A running system without workers; tests start those they need."""

    proxies: Proxies
    #: Past the proxy.
    db: Database
    folder: Path
    exits: ExitStack
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def start(self, name: str, *argv: str, **variables: str) -> Child:
        """Start a process of ours with these variables beside the system's; it ends with it."""
        number = next(self._numbers)
        program = Program(
            name=name,
            argv=[sys.executable, "-m", *argv],
            log=self.folder / "logs" / f"{name}-{number}.log",
            env={**os.environ, **self.stack.plan.variables, **variables},
        )
        child = Child.start(program)
        self.exits.callback(child.kill)
        return child

    def worker(self, *options: str, app: str = "workers", **variables: str) -> Child:
        """Start a worker process."""
        name = f"extra{next(self._numbers)}@%h"
        arguments = ("worker", "-n", name, "--loglevel=warning", *options)
        return self.start("worker", "celery", "-A", app, *arguments, **variables)

    def worker_with_clock(self, wrong_by: timedelta) -> Child:
        """Start a worker process whose wall clock is wrong."""
        argv = ("-A", "workers", "worker", "-n", f"wrong{next(self._numbers)}@%h")
        wrong = {"CLOCK_WRONG_BY": str(wrong_by.total_seconds())}
        module = "tests.faults.processes.wrong_clock"
        return self.start("worker", module, *argv, "--loglevel=warning", **wrong)

    def node(self, port: int, app: str = "workers.webhooks:app", **variables: str) -> Child:
        """Start one more webhook process and wait until it answers."""
        listening = ("--host", LOOPBACK, "--port", str(port), "--log-level", "warning")
        name = ("granian", "--interface", "asgi", "--no-ws", "--workers-kill-timeout", "5")
        child = self.start("node", *name, *listening, app, **variables)
        url = f"http://{LOOPBACK}:{port}/readyz"
        child.wait_until_ready(lambda: answers_http(url), START_WITHIN)
        return child

    def owner(self, worker: Child) -> int | None:
        """The worker id of a worker process; ``None`` until it has registered."""
        found = self.tried("SELECT id FROM worker WHERE name LIKE :name", name=f"%:{worker.pid}")
        return found[0].id if found else None

    def is_up(self, worker: Child) -> bool:
        """Whether a worker process has registered."""
        if not worker.is_running:
            raise worker.failure("ended before it had registered")
        return self.owner(worker) is not None

    def rows(self, sql: str, **values: Any) -> list[Row[Any]]:
        """What a query finds, past the proxy; or what a statement did."""
        with self.db.transaction() as tx:
            found = tx.execute(text(sql), values)
            return list(found.all()) if found.returns_rows else []

    def tried(self, sql: str, **values: Any) -> list[Row[Any]]:
        """The same, and nothing while the database is away."""
        try:
            return self.rows(sql, **values)
        except DatabaseError:
            return []

    def value(self, sql: str, **values: Any) -> Any:
        """The one value a query finds."""
        return self.rows(sql, **values)[0][0]

    def family(self, name: str) -> list[int]:
        """A process of the stack and all it has started, by their ids."""
        parent = psutil.Process(self.stack.pid(name))
        return [parent.pid, *(child.pid for child in parent.children(recursive=True))]

    def is_frozen(self, child: Child) -> bool:
        """Whether a process was stopped by a signal."""
        with suppress(psutil.NoSuchProcess):
            return bool(psutil.Process(child.pid).status() == psutil.STATUS_STOPPED)
        return False

    def states(self, campaign: sender.Campaign) -> dict[str, int]:
        """A campaign's messages by state, past the proxy."""
        found = self.rows(
            "SELECT state, count(*) AS n FROM message WHERE campaign_id = :id GROUP BY state",
            id=campaign.id,
        )
        return {row.state: row.n for row in found}


def crashing(point: CrashPoint, *, pause: bool = False, nth: int = 1) -> dict[str, str]:
    """The variables that make a process end, or freeze, at a place."""
    spec = f"{'pause:' if pause else ''}{point}:{nth}"
    return {"SENDER_CRASH_AT": spec, "SENDER_TEST_FAULTS": "1"}


@contextmanager
def faulty_system(
    folder: Path, *, workers: int = 0, programs: Programs | None = None, **variables: str
) -> Iterator[FaultySystem]:
    """Servers, proxies, simulator, beat, webhook app and consumer; all gone afterwards.

    The provider's own block is off: nothing but us stands in the way.
    """
    with ExitStack() as exits:
        servers = exits.enter_context(LocalServers.start(folder))
        ports, port = Ports(), free_port()
        proxies = _proxies(servers, ports, exits)
        simulator = Simulator(f"http://{LOOPBACK}:{port}")
        outer = exits.enter_context(Supervisor(folder / "provider"))
        start_simulator(outer, port, ports)
        outer.wait_ready()
        door = f"http://{LOOPBACK}:{proxies.door.port}"
        simulator.ask(
            "PATCH",
            "config",
            {"provider_block": False, "inbound_url": f"{door}/twilio/inbound{REPEATS}"},
        )
        plan = Plan(
            folder=folder,
            database_url=_through(servers.postgres.url, proxies.postgres),
            redis_url=_through(servers.redis.url, proxies.redis),
            ports=ports,
            workers=workers,
            flower=False,
            programs=programs or Programs(),
            environment={
                "TWILIO_ACCOUNT_SID": ACCOUNT,
                "TWILIO_AUTH_TOKEN": TOKEN,
                "TWILIO_API_BASE_URL": simulator.url,
                "PUBLIC_BASE_URL": door,
                "CELERY_BROKER_URL": _through(servers.redis.broker_url, proxies.broker),
                "SENDER_DOUBT_HORIZON_SECONDS": "15",
                **variables,
            },
        )
        running = exits.enter_context(Stack(plan))
        client = sender.connect(plan.settings)
        exits.callback(client.close)
        client.set_pace(NUMBER, 1000)
        db = Database.connect(servers.postgres.url)
        exits.callback(db.close)
        yield FaultySystem(
            client=client,
            simulator=simulator,
            stack=running,
            servers=servers,
            proxies=proxies,
            db=db,
            folder=folder,
            exits=exits.enter_context(ExitStack()),
        )


def _proxies(servers: LocalServers, ports: Ports, exits: ExitStack) -> Proxies:
    """Started before all that go through them, and hence ended after."""
    postgres, redis = make_url(servers.postgres.url).port, make_url(servers.redis.url).port
    assert postgres
    assert redis
    upstreams = {"postgres": postgres, "redis": redis, "broker": redis, "door": ports.webhooks}
    return Proxies(
        **{name: exits.enter_context(FaultProxy(port)) for name, port in upstreams.items()}
    )


def _through(url: str, proxy: FaultProxy) -> str:
    return make_url(url).set(port=proxy.port).render_as_string(hide_password=False)


def until(condition: Any, what: str, seconds: float = 30) -> None:
    """Wait for a condition, with a bound."""
    wait_until(condition, timedelta(seconds=seconds), what)
