"""What the benches run on: servers on a disk, the lean provider, the system as a user starts it.

`running_bench` starts Postgres, Redis and `benchmarks.provider` on free loopback ports in a
temporary folder; `Bench.system` starts every process of the design on them, with all defaults on
(scrub, intake from webhooks and from Twilio's log, high-water mark), and ends them again.
"""

import json
import sys
import tempfile
import urllib.request
from array import array
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import psycopg

import sender
from benchmarks import people
from benchmarks.history import History
from benchmarks.provider import Manners
from sender.local.ports import LOOPBACK, free_port
from sender.local.processes import Supervisor
from sender.local.servers import LocalServers
from sender.local.stack import Plan, Programs, Stack
from sender.local.waiting import answers_http, wait_until
from sender.storage.migrate import migrate
from sender.suppression import connect_sync, inspect

ACCOUNT = "AC" + "a1" * 16
TOKEN = "simulated-auth-token"  # noqa: S105  # signs callbacks of a provider of our own
NUMBER = "+15005550006"
TENANT = 1
#: File systems in memory: Postgres has to write to a disk here, as it does at work.
_IN_MEMORY = {"tmpfs", "ramfs"}
#: Caps are on, and wider than anything a bench sends.
DAILY_CAP = 100_000_000
#: Segments a second: far more than can be sent here.
PACE = 50_000
#: A million numbers are a few seconds' work for the mirror.
_SETS_WITHIN = timedelta(minutes=2)


@dataclass(frozen=True, kw_only=True)
class RunningProvider:
    """The provider's process, and how to talk to it."""

    url: str
    pid: int

    def report(self) -> dict[str, Any]:
        """See `provider.Provider.report`."""
        report: dict[str, Any] = json.loads(self._ask("GET", "report"))
        return report

    def progress(self) -> dict[str, int]:
        """See `provider.Provider.progress`."""
        counts: dict[str, int] = json.loads(self._ask("GET", "progress"))
        return counts

    def history(self) -> History:
        """Everything it was asked for since the last reset."""
        return History.from_packed(self._ask("GET", "history"))

    def reset(self, manners: Manners | None = None) -> None:
        """Have it forget everything, and answer like this."""
        self._ask("POST", "reset", json.dumps(asdict(manners or Manners())).encode())

    def suppress(self, numbers: "array[int]") -> None:
        """Tell it whom nobody may text: requests for these are leaks."""
        self._ask("PUT", "suppressed", numbers.tobytes())

    def _ask(self, method: str, what: str, data: bytes | None = None) -> bytes:
        request = urllib.request.Request(f"{self.url}/bench/{what}", data=data, method=method)  # noqa: S310  # loopback
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return bytes(answer.read())


@dataclass(frozen=True, kw_only=True)
class System:
    """Every process of the design, running."""

    stack: Stack
    client: sender.Client

    @property
    def kinds(self) -> dict[str, list[int]]:
        """Its processes for `cpu.Usage`, without the servers."""
        others = [self.stack.pid(name) for name in ("consumer", "webhooks", "beat")]
        return {"sender": list(self.stack.worker_pids().values()), "others": others}


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Servers and provider, running."""

    folder: Path
    servers: LocalServers
    provider: RunningProvider
    #: How many stacks were started: each has a folder for its logs.
    _systems: list[Path] = field(default_factory=list)

    @property
    def postgres_url(self) -> str:
        """For psycopg."""
        return self.servers.postgres.url.replace("postgresql+psycopg", "postgresql")

    @property
    def kinds(self) -> dict[str, list[int]]:
        """The servers' processes for `cpu.Usage`."""
        postgres, redis = self.servers.postgres.pid, self.servers.redis.pid
        assert postgres is not None
        assert redis is not None
        return {"postgres": [postgres], "redis": [redis], "provider": [self.provider.pid]}

    def redis_seconds(self) -> float:
        """CPU seconds of Redis by its own figure (``INFO cpu``)."""
        with connect_sync(self.servers.redis.url) as redis:
            used = redis.info("cpu")
        return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])

    def suppress(self, count: int) -> None:
        """Put the first so many of `people.suppressed` on the tenant's list, and the provider's.

        By COPY into the table that is derived from the consent log: what sends reads nothing else.
        Before the system starts, whose consumer then builds the Redis set from it.
        """
        listed = people.suppressed(count)
        with psycopg.connect(self.postgres_url) as db:
            with db.cursor().copy(
                "COPY suppression (recipient, tenant_id, scope, reason, event_id, since) FROM STDIN"
            ) as copy:
                for event, recipient in enumerate(listed, start=1):
                    copy.write(b"%d\t1\t0\tstop\t%d\tnow\n" % (recipient, event))
            db.execute("ANALYZE suppression")
        self.provider.suppress(listed)

    @contextmanager
    def system(
        self,
        *,
        workers: int = 2,
        programs: Programs | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> Iterator[System]:
        """Every process, as `sender up` starts them; ready, and its Redis set built."""
        folder = self.folder / f"system-{len(self._systems) + 1}"
        self._systems.append(folder)
        plan = Plan(
            folder=folder,
            database_url=self.servers.postgres.url,
            redis_url=self.servers.redis.url,
            environment={
                "TWILIO_ACCOUNT_SID": ACCOUNT,
                "TWILIO_AUTH_TOKEN": TOKEN,
                "TWILIO_API_BASE_URL": self.provider.url,
                "SENDER_LOG_LEVEL": "WARNING",
                **(settings or {}),
            },
            workers=workers,
            # Nothing depends on it, and two cores are few.
            flower=False,
            programs=programs or Programs(),
        )
        with ExitStack() as stack:
            running = stack.enter_context(Stack(plan))
            client = sender.connect(plan.settings)
            stack.callback(client.close)
            client.set_pace(NUMBER, PACE)
            for capped in (NUMBER, None):
                client.set_daily_cap(capped, DAILY_CAP)
            wait_until(self._sets_are_built, _SETS_WITHIN, "the Redis set")
            yield System(stack=running, client=client)

    def _sets_are_built(self) -> bool:
        with psycopg.connect(self.postgres_url) as db:
            row = db.execute("SELECT count(*) FROM suppression WHERE scope = 0").fetchone()
        with connect_sync(self.servers.redis.url) as redis:
            health = inspect(redis, tenant_id=TENANT, scope=0)
        return row is not None and health.members == row[0]


@contextmanager
def running_bench() -> Iterator[Bench]:
    """Migrated servers and a provider; all gone afterwards, with their files."""
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="sender-bench-", dir=on_disk()))
        )
        servers = stack.enter_context(LocalServers.start(folder))
        provider = stack.enter_context(running_provider(folder / "provider"))
        bench = Bench(folder=folder, servers=servers, provider=provider)
        migrate(servers.postgres.url)
        with psycopg.connect(bench.postgres_url, autocommit=True) as db:
            # By which the moment a row was committed is known, to the microsecond.
            db.execute("ALTER SYSTEM SET track_commit_timestamp = on")
        servers.postgres.restart()
        yield bench


@contextmanager
def running_provider(folder: Path) -> Iterator[RunningProvider]:
    """A provider alone."""
    url = f"http://{LOOPBACK}:{(port := free_port())}"
    with Supervisor(folder) as supervisor:
        argv = [sys.executable, "-m", "benchmarks.provider", "--port", str(port)]
        ready = partial(answers_http, f"{url}/bench/progress")
        supervisor.start("provider", [*argv, "--token", TOKEN], ready=ready)
        supervisor.wait_ready()
        yield RunningProvider(url=url, pid=supervisor.pid("provider"))


def on_disk() -> Path:
    """A folder for temporary files that is not in memory: an fsync must cost what it costs.

    Raises:
        RuntimeError: there is none; set TMPDIR to a folder on a disk.
    """
    candidates = [Path(tempfile.gettempdir()), Path("/var/tmp"), Path.cwd()]  # noqa: S108
    for folder in candidates:
        if folder.is_dir() and file_system(folder) not in _IN_MEMORY:
            return folder
    raise RuntimeError("every temporary folder is in memory: set TMPDIR to one on a disk")


def file_system(folder: Path) -> str:
    """The kind of file system a folder is on, such as ``ext4``."""
    mounts = {Path(one.mountpoint): one.fstype for one in psutil.disk_partitions(all=True)}
    found = folder.resolve()
    return next((mounts[at] for at in (found, *found.parents) if at in mounts), "")
