"""The whole system on one machine: every process of the design, real and separate."""

import os
import secrets
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from sender.config import Settings
from sender.fleet import Fleet
from sender.local.care import Care, Patience
from sender.local.ports import LOOPBACK, free_port
from sender.local.processes import Supervisor
from sender.local.servers import LocalServers
from sender.local.waiting import answers_http, wait_until
from sender.mirroring import CURSOR
from sender.storage import cursors, workers
from sender.storage.database import Database
from sender.storage.migrate import migrate

#: How long everything may take to come up on a slow, busy machine.
START_WITHIN = timedelta(seconds=60)
#: How long all together get to end: a worker settles what is in flight, 10 s at most, and more on
#: a busy machine.
STOP_WITHIN = timedelta(seconds=30)
#: A webhook is answered within 3 s whatever happens; a little more for its process to end.
WEBHOOKS_STOP_WITHIN = timedelta(seconds=5)


@dataclass(frozen=True, kw_only=True)
class Programs:
    """What the processes run. Tests hand in others to show what a missing safeguard does."""

    celery_app: str = "workers"
    webhook_app: str = "workers.webhooks:app"
    consumer: str = "workers.consumer"


@dataclass(frozen=True, kw_only=True)
class Ports:
    """The loopback ports of one stack."""

    webhooks: int = field(default_factory=free_port)
    flower: int = field(default_factory=free_port)


@dataclass(frozen=True, kw_only=True)
class FlowerLogin:
    """Flower's generated credentials: without any its pages would be open."""

    user: str = "sender"
    password: str = field(default_factory=lambda: secrets.token_urlsafe(12))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A stack before it is started."""

    folder: Path
    #: The servers to use; also how a caller sees them.
    database_url: str
    redis_url: str
    #: ``TWILIO_…`` and ``SENDER_…`` variables of every process.
    environment: Mapping[str, str]
    workers: int = 2
    #: Whether Flower runs too.
    flower: bool = True
    #: Whether a process that ends is started again, and a worker that is sick is replaced.
    restart: bool = False
    patience: Patience = field(default_factory=Patience)
    programs: Programs = field(default_factory=Programs)
    ports: Ports = field(default_factory=Ports)
    flower_login: FlowerLogin = field(default_factory=FlowerLogin)

    @classmethod
    def on_servers(
        cls,
        servers: LocalServers,
        folder: Path,
        environment: Mapping[str, str],
        programs: Programs | None = None,
    ) -> Self:
        """A stack on embedded servers."""
        return cls(
            folder=folder,
            database_url=servers.postgres.url,
            redis_url=servers.redis.url,
            environment=environment,
            programs=programs or Programs(),
        )

    @property
    def webhook_url(self) -> str:
        """Where the webhook app listens."""
        return f"http://{LOOPBACK}:{self.ports.webhooks}"

    @property
    def flower_url(self) -> str:
        """Where Flower listens."""
        return f"http://{LOOPBACK}:{self.ports.flower}"

    @property
    def variables(self) -> dict[str, str]:
        """The settings of every process, as environment variables."""
        return {
            "PUBLIC_BASE_URL": self.webhook_url,
            "SENDER_STATE_DIR": str(self.folder / "state"),
            **self.environment,
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
        }

    @property
    def settings(self) -> Settings:
        """The same settings for this process."""
        return Settings.from_variables(self.variables)


class Stack:
    """Worker processes, beat, the webhook app, the consumer and Flower; a context manager."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        environment = {**os.environ, **plan.variables}
        self._processes = Supervisor(plan.folder, environment)
        self._db = Database.connect(plan.database_url)
        self._workers: list[str] = []
        fleet = Fleet(db=self._db, bounds=plan.patience.bounds)
        self._care = Care(self._processes, fleet.workers, plan.patience)

    def __enter__(self) -> Self:
        migrate(self.plan.database_url)
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _start(self) -> None:
        self._start_webhooks()
        self._run("consumer", [sys.executable, "-m", self.plan.programs.consumer])
        for _ in range(self.plan.workers):
            self.add_worker()
        self._celery("beat", "beat")
        if self.plan.flower:
            self._start_flower()
        self._processes.wait_ready(START_WITHIN)
        wait_until(self._is_up, START_WITHIN, "workers and consumer")

    def _is_up(self) -> bool:
        self._processes.check()
        live = self._db.run(workers.count_live)
        return live >= self.plan.workers and self._db.run(cursors.read, CURSOR) is not None

    def _start_webhooks(self) -> None:
        argv = [
            *(sys.executable, "-m", "granian", "--interface", "asgi", "--no-ws"),
            *("--host", LOOPBACK, "--port", str(self.plan.ports.webhooks)),
            # Interrupted while its worker is still starting, granian would wait for ever.
            *("--workers-kill-timeout", str(WEBHOOKS_STOP_WITHIN.seconds)),
            # STOPs are held for seconds: by default a thousand of them would keep all else out.
            *("--backlog", "4096", "--backpressure", "4096"),
            # Who drips a request, or connects and is silent, is no caller of ours; bodies have the
            # app's own limit. Silence is cut off only where granian need not find out the version.
            *("--http", "1", "--http1-header-read-timeout", "10000"),
            *("--log-level", "warning", self.plan.programs.webhook_app),
        ]
        ready = partial(answers_http, f"{self.plan.webhook_url}/readyz")
        self._run("webhooks", argv, ready=ready)

    def _start_flower(self) -> None:
        login = self.plan.flower_login
        argv = (f"--address={LOOPBACK}", f"--port={self.plan.ports.flower}", "--read-only")
        self._celery(
            "flower",
            "flower",
            *argv,
            env={"FLOWER_BASIC_AUTH": f"{login.user}:{login.password}"},
        )

    def _celery(
        self, name: str, command: str, *argv: str, env: Mapping[str, str] | None = None
    ) -> None:
        app = self.plan.programs.celery_app
        program = [sys.executable, "-m", "celery", "-A", app, command, *argv]
        self._run(name, program, env=env)

    def _run(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        ready: Callable[[], bool] | None = None,
    ) -> None:
        self._processes.start(name, argv, env=env, ready=ready, restart=self.plan.restart)

    def add_worker(self) -> str:
        """Start one more worker process; its name."""
        name = f"worker-{len(self._workers) + 1}"
        self._workers.append(name)
        self._celery(name, "worker", "-n", f"{name}@%h", "--loglevel=warning")
        return name

    def worker_pids(self) -> dict[str, int]:
        """The worker processes there are now: name and process id."""
        return {name: self._processes.pid(name) for name in self._workers}

    def kill(self, name: str) -> None:
        """Kill a process with SIGKILL, with all it started."""
        self._processes.kill(name)

    def pid(self, name: str) -> int:
        """The id of the process that has this name now."""
        return self._processes.pid(name)

    def send(self, name: str, number: signal.Signals) -> None:
        """Send a process a signal."""
        self._processes.send(name, number)

    def tend(self) -> None:
        """Replace workers that live and do nothing; to be called again and again."""
        self._care.look(self.worker_pids())

    def restarts(self, name: str) -> int:
        """How often a process was replaced."""
        return self._processes.restarts(name)

    def last_exit_code(self, name: str) -> int | None:
        """How the one that was replaced last ended."""
        return self._processes.last_exit_code(name)

    def check(self) -> None:
        """Raise ProcessFailed if a process ended by itself."""
        self._processes.check()

    def log(self, name: str) -> Path:
        """A process's log file."""
        return self._processes.log(name)

    def stop(self) -> None:
        """End every process."""
        try:
            self._processes.stop(STOP_WITHIN)
        finally:
            self._db.close()
