"""The whole system with its broker on a server of its own, behind a proxy that breaks lines."""

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Row, make_url, text

import sender
from sender.domain.pulse import Bounds
from sender.fleet import Fleet, Worker
from sender.local.care import Patience
from sender.local.child import Child, Program
from sender.local.ports import LOOPBACK, free_port
from sender.local.processes import Supervisor
from sender.local.servers import LocalRedis, LocalServers
from sender.local.stack import Plan, Programs, Stack
from sender.local.waiting import answers_http
from sender.storage.database import Database
from tests.acceptance.rig import ACCOUNT, NUMBER, TOKEN, Simulator
from tests.faults.proxy import FaultProxy

#: The one worker of the stack.
WORKER = "worker-1"
#: For workers with a quick pulse.
BOUNDS = Bounds(deaf=timedelta(seconds=5), stuck=timedelta(seconds=5))
PATIENCE = Patience(
    bounds=BOUNDS, look_every=timedelta(milliseconds=500), grace=timedelta(seconds=4)
)


@dataclass(kw_only=True)
class Tended:
    """A running system whose workers' lives are the subject."""

    client: sender.Client
    simulator: Simulator
    stack: Stack
    #: Past the proxy.
    broker: LocalRedis
    line: FaultProxy
    db: Database
    folder: Path
    exits: ExitStack
    _bodies: int = field(default=0, init=False)
    _started: int = field(default=0, init=False)

    def campaign(self, recipients: list[int]) -> "Sent":
        """An enqueued campaign to these recipients, with a body of its own."""
        self._bodies += 1
        body = f"Text {self._bodies}"
        audience = sender.from_iterable([f"+{number}" for number in recipients])
        made = self.client.create_campaign(name=body, sender=NUMBER, body=body, audience=audience)
        return Sent(made.enqueue(), body, len(recipients), self)

    def start(self, *argv: str) -> Child:
        """Start one more process of ours beside the stack's."""
        self._started += 1
        name = f"extra-{self._started}"
        program = Program(
            name=name,
            argv=[sys.executable, "-m", *argv],
            log=self.folder / "logs" / f"{name}.log",
            env={**os.environ, **self.stack.plan.variables},
        )
        child = Child.start(program)
        self.exits.callback(child.kill)
        return child

    def worker(self) -> Worker | None:
        """What the fleet says of the worker; ``None`` before it has registered."""
        found = Fleet(db=self.db, bounds=BOUNDS).workers()
        ending = f":{self.stack.pid(WORKER)}"
        return next((one for one in found if one.name.endswith(ending)), None)

    def verdict(self) -> str:
        """Its verdict; empty before it has registered."""
        worker = self.worker()
        return worker.verdict if worker else ""

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send one of the stack's processes a signal, as something outside of us would."""
        os.kill(self.stack.pid(name), number)

    def rows(self, sql: str, **values: Any) -> list[Row[Any]]:
        """What a query finds."""
        with self.db.transaction() as tx:
            return list(tx.execute(text(sql), values).all())


@dataclass(frozen=True)
class Sent:
    """A campaign and what the provider saw of it."""

    campaign: sender.Campaign
    body: str
    recipients: int
    system: Tended

    def states(self) -> dict[str, int]:
        """Its messages by state."""
        return dict(self.campaign.progress().states)

    def not_pending(self) -> int:
        """How many have begun."""
        return self.recipients - self.states().get("pending", 0)

    def is_completed(self) -> bool:
        """Whether nothing is left to do."""
        return self.campaign.progress().state == "COMPLETED"

    def accepted(self) -> Counter[str]:
        """How often the provider accepted it, by recipient."""
        log = self.system.simulator.log("create")
        return Counter(one["to"] for one in log if one["body"] == self.body and one["accepted"])

    def all_sent_once(self) -> bool:
        """Whether the provider accepted it once for everybody, and we know so."""
        states, accepted = self.states(), self.accepted()
        known = states.get("sent", 0) + states.get("delivered", 0)
        return known == self.recipients == len(accepted) == accepted.total()


#: Far more than anything takes here, on a machine that is busy with others.
BOUND = timedelta(seconds=90)
#: Between two looks at a condition: each costs the system under test something.
LOOK_SECONDS = 0.2


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition, with a bound.

    Raises:
        AssertionError: it did not hold in time.
    """
    give_up_at = time.monotonic() + BOUND.total_seconds()
    while not condition():
        assert time.monotonic() < give_up_at, f"waited {BOUND} for {what}"
        time.sleep(LOOK_SECONDS)


@contextmanager
def tended_system(folder: Path, **variables: str) -> Iterator[Tended]:
    """Servers, simulator, every process, and one worker with a quick pulse; all gone afterwards.

    The provider's own block is off: nothing but us stands in the way.
    """
    with ExitStack() as exits:
        servers = exits.enter_context(LocalServers.start(folder))
        broker = exits.enter_context(LocalRedis.start(folder / "broker"))
        port = make_url(broker.url).port
        assert port
        line = exits.enter_context(FaultProxy(port))
        simulator = _simulator(folder, exits)
        plan = Plan(
            folder=folder,
            database_url=servers.postgres.url,
            redis_url=servers.redis.url,
            workers=1,
            restart=True,
            patience=PATIENCE,
            programs=Programs(celery_app="tests.faults.quick_pulse"),
            environment={
                "TWILIO_ACCOUNT_SID": ACCOUNT,
                "TWILIO_AUTH_TOKEN": TOKEN,
                "TWILIO_API_BASE_URL": simulator.url,
                "CELERY_BROKER_URL": f"redis://{LOOPBACK}:{line.port}/0",
                # Twilio is made to answer so slowly here that a campaign would wait for its scrub.
                "SENDER_SCRUB": "off",
                **variables,
            },
        )
        stack = exits.enter_context(Stack(plan))
        client = sender.connect(plan.settings)
        exits.callback(client.close)
        client.set_pace(NUMBER, 1000)
        db = Database.connect(servers.postgres.url)
        exits.callback(db.close)
        yield Tended(
            client=client,
            simulator=simulator,
            stack=stack,
            broker=broker,
            line=line,
            db=db,
            folder=folder,
            exits=exits.enter_context(ExitStack()),
        )


def _simulator(folder: Path, exits: ExitStack) -> Simulator:
    port = free_port()
    outer = exits.enter_context(Supervisor(folder / "provider"))
    argv = [
        *(sys.executable, "-m", "sender.cli.simulating", "--port", str(port)),
        *("--account-sid", ACCOUNT, "--auth-token", TOKEN, "--number", NUMBER),
        "--no-provider-block",
    ]
    url = f"http://{LOOPBACK}:{port}"
    outer.start("simulator", argv, ready=lambda: answers_http(f"{url}/healthz"))
    outer.wait_ready()
    return Simulator(url)
