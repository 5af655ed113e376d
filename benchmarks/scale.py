"""A campaign of a million from its CSV file to its end: ``python -m benchmarks.scale``.

What a message costs in it, beside what it costs in one of ten thousand; how long the file takes to
load; what the workers' memory and the broker's do meanwhile; what a message writes. A million
messages take about 1 GB of disk, and some ten minutes on two cores. Exit code 1 where a floor is
missed: what a message costs may grow by a fifth, the broker may hold 1 MB.
"""

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

import sender
from benchmarks import people
from benchmarks.cpu import Usage
from benchmarks.full import Full
from benchmarks.machine import machine
from benchmarks.measured import REDIS_ITSELF, Case
from benchmarks.plan import body
from benchmarks.provider import Manners
from benchmarks.rig import NUMBER, Bench, System, on_disk, running_bench
from sender.suppression import connect_sync

#: Answers after so long, as Twilio's do at best: the machine is the limit, not the latency.
LATENCY_MS = 50.0
SMALL = 10_000
CONCURRENCY = 200
#: How much more a message of the large campaign may cost.
GROWTH_FLOOR = 1.2
BROKER_FLOOR_MB = 1.0
#: Kinds of processes whose CPU is the system's.
_OURS = ("sender", "others", "postgres", REDIS_ITSELF)


@dataclass(kw_only=True)
class Watch:
    """Looks at memory once a second while a campaign runs."""

    bench: Bench
    workers: list[psutil.Process]
    resident_mb: list[float] = field(default_factory=list)
    broker_mb: list[float] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look for as long as the block runs."""
        looking = threading.Thread(target=self._look, daemon=True)
        looking.start()
        try:
            yield
        finally:
            self._over.set()
            looking.join()

    def _look(self) -> None:
        with connect_sync(_broker(self.bench.servers.redis.url)) as broker:
            while not self._over.wait(1):
                self.resident_mb.append(max(one.memory_info().rss for one in self.workers) / 2**20)
                held = sum(broker.memory_usage(key) or 0 for key in broker.scan_iter(count=1000))
                self.broker_mb.append(held / 2**20)


def main() -> int:
    """Measure, print, write; 1 below a floor."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipients", type=int, default=1_000_000)
    parser.add_argument("--suppressed", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path, default=Path("build/scale.json"))
    given = parser.parse_args()
    found = measure(given.recipients, suppressed=given.suppressed)
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))
    return int(found["cost_ratio"] > GROWTH_FLOOR or found["large"]["broker_mb"] > BROKER_FLOOR_MB)


def measure(recipients: int, *, suppressed: int) -> dict[str, Any]:
    """All figures; what a message costs is CPU, in microseconds."""
    with running_bench() as bench:
        bench.suppress(suppressed)
        settings = {"SENDER_CONCURRENCY": str(CONCURRENCY)}
        with bench.system(settings=settings) as system, Full.on(bench, system) as full:
            _sent(full, 0, 2_000)  # connections are open, plans are made
            small = _sent(full, 2_000, SMALL)
            large = _sent(full, 2_000 + SMALL, recipients)
            found = {"machine": machine(bench), "recipients": recipients}
            ratio = round(large["cpu_us"] / small["cpu_us"], 3)
            return {**found, "small": small, "large": large, "cost_ratio": ratio}


def _sent(full: Full, first: int, size: int) -> dict[str, Any]:
    """One campaign's figures."""
    with tempfile.TemporaryDirectory(dir=on_disk()) as folder:
        listed = Path(folder) / "people.csv"
        listed.write_text("phone\n" + "\n".join(people.numbers(range(first, first + size))) + "\n")
        before, began = Usage.now(_loaders(full.bench)), time.monotonic()
        campaign = full.system.client.create_campaign(
            name=f"{size} from a file",
            sender=NUMBER,
            body=body(first),
            audience=sender.read_csv(listed, region="US"),
        )
        seconds = time.monotonic() - began
        loading = Usage.now(_loaders(full.bench)).since(before)
    watch, written = Watch(bench=full.bench, workers=_workers(full.system)), _written(full)
    with watch.watching():
        sent = full.send(campaign, Case.FULL, first, size, Manners(latency_ms=LATENCY_MS))
    return {
        "recipients": size,
        "load_seconds": round(seconds, 1),
        "load_cpu_us_a_row": _rounded(loading.per_message(size)),
        "messages_a_second": round(sent.messages / sent.seconds),
        "cpu_us": round(sum(sent.cpu[kind] for kind in _OURS)),
        "cpu_us_by_kind": _rounded(sent.cpu),
        "wal_bytes_a_message": round((_written(full) - written) / sent.messages),
        "broker_mb": round(max(watch.broker_mb, default=0.0), 3),
        "worker_mb": _tenths(watch.resident_mb),
        "void": list(sent.void),
    }


def _tenths(looks: Sequence[float]) -> list[float]:
    """Some ten of many looks, the first and the last among them."""
    return [round(one, 1) for one in [*looks[: -1 : len(looks) // 10 or 1], *looks[-1:]]]


def _written(full: Full) -> int:
    """Bytes of the write-ahead log so far."""
    row = full.db.execute("SELECT pg_current_wal_lsn() - '0/0'").fetchone()
    assert row is not None
    return int(row[0])


def _loaders(bench: Bench) -> Mapping[str, list[int]]:
    return {"client": [psutil.Process().pid], "postgres": bench.kinds["postgres"]}


def _workers(system: System) -> list[psutil.Process]:
    return [psutil.Process(pid) for pid in system.stack.worker_pids().values()]


def _broker(redis_url: str) -> str:
    """Database 1 of the same server, as Celery's default has it."""
    return f"{redis_url.rsplit('/', 1)[0]}/1"


def _rounded(figures: Mapping[str, float]) -> dict[str, float]:
    return {kind: round(figure, 1) for kind, figure in figures.items()}


if __name__ == "__main__":
    sys.exit(main())
