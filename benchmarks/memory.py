"""Whether a worker's memory stays flat: ``python -m benchmarks.memory --messages 1000000``.

Starts the whole system in a temporary folder beside a provider that takes every message and forgets
it, sends that many messages, and looks at each worker process once a second. Prints a table (a row
for each tenth of the run) and one JSON object. Exit code 1 if a worker grew by more than `BOUND_MB`
from the second tenth to the last: the first one is warm-up (connections, caches, the allocator).

A million messages take about 1 GB of disk, and half an hour on two cores.
"""

import argparse
import asyncio
import itertools
import json
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
from aiohttp import web

import sender
from sender.local.ports import LOOPBACK, free_port
from sender.local.processes import Supervisor
from sender.local.servers import LocalServers
from sender.local.stack import Plan, Stack
from sender.local.waiting import answers_http

#: What the allocator's own ups and downs may amount to. A leak of 100 bytes a message, the
#: smallest Python object that refers to another, would be 80 MB for a worker that sends a million.
BOUND_MB = 16.0
#: Recipients of a campaign: the next is stored while one is sent, so workers are never idle.
BATCH = 25_000
TENTHS = 10
#: No exchange ends like the service codes 211 to 911.
SERVICE_CODE = 11
SENDER = "+15005550006"
ACCOUNT = "AC" + "a1" * 16
#: Far more segments a second than two cores can send: only the machine sets the pace.
PACE = 20_000
LATENCY = timedelta(milliseconds=5)
#: A run that sends nothing for this long has failed.
STALLED = timedelta(minutes=3)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One look: messages the provider took, and each worker's resident memory in bytes."""

    sent: int
    resident: tuple[int, ...]


@dataclass(kw_only=True)
class Run:
    """One measurement."""

    messages: int
    stack: Stack
    client: sender.Client
    provider: str
    workers: Sequence[psutil.Process]
    samples: list[Sample] = field(default_factory=list)
    failed: list[BaseException] = field(default_factory=list)

    def measure(self) -> None:
        """Feed and sample until all are sent."""
        feeder = threading.Thread(target=self._feed, daemon=True)
        feeder.start()
        changed_at, seen = time.monotonic(), 0
        while (sent := self.sent()) < self.messages:
            if self.failed:
                raise self.failed[0]
            if sent != seen:
                changed_at, seen = time.monotonic(), sent
            if time.monotonic() - changed_at > STALLED.total_seconds():
                raise TimeoutError(f"nothing was sent for {STALLED} after {sent}")
            resident = tuple(worker.memory_info().rss for worker in self.workers)
            self.samples.append(Sample(sent=sent, resident=resident))
            if self._is_next_tenth():
                sizes = " ".join(f"{_mb(one)} MB" for one in resident)
                print(f"{sent:,} sent, {sizes}", file=sys.stderr, flush=True)
            self.stack.check()
            time.sleep(1)

    def _is_next_tenth(self) -> bool:
        *_, before, now = (0, 0, *(sample.sent for sample in self.samples[-2:]))
        return before * TENTHS // self.messages != now * TENTHS // self.messages

    def sent(self) -> int:
        """How many messages the provider took."""
        with urllib.request.urlopen(f"{self.provider}/count", timeout=30) as answer:  # noqa: S310
            return int(answer.read())

    def _feed(self) -> None:
        """Store campaigns, one ahead of what is being sent."""
        try:
            numbers = _numbers()
            for stored in range(0, self.messages, BATCH):
                while self.sent() < stored - BATCH:
                    time.sleep(0.2)
                size = min(BATCH, self.messages - stored)
                audience = sender.from_iterable(list(itertools.islice(numbers, size)))
                campaign = self.client.create_campaign(
                    name=f"from {stored}",
                    sender=SENDER,
                    body="Hello from a benchmark",
                    audience=audience,
                )
                campaign.enqueue()
        except BaseException as exc:
            self.failed.append(exc)
            raise


def _numbers() -> Iterator[str]:
    """American mobile numbers, each once; they reach our own provider only."""
    areas = (212, 213, 312, 415, 617, 305, 404, 512, 702, 206)
    exchanges = [exchange for exchange in range(200, 1000) if exchange % 100 != SERVICE_CODE]
    for area, exchange in itertools.product(areas, exchanges):
        for line in range(10_000):
            yield f"+1{area}{exchange}{line:04}"


def main() -> int:
    """Measure, and print; 1 if memory grew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--provider", type=int, metavar="PORT", help="be the provider")
    given = parser.parse_args()
    if given.provider:
        _provide(given.provider)
        return 0
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sender-bench-") as folder:
        samples = _measure(Path(folder), given.messages, given.workers)
    figures = _figures(samples, given.messages, given.workers)
    figures["seconds"] = round(time.monotonic() - began)
    _print_table(figures["tenths"])
    print(json.dumps(figures, indent=2))
    return int(figures["growth_mb"] > BOUND_MB)


def _measure(folder: Path, messages: int, workers: int) -> list[Sample]:
    with ExitStack() as stack:
        servers = stack.enter_context(LocalServers.start(folder))
        port = free_port()
        provider = f"http://{LOOPBACK}:{port}"
        outer = stack.enter_context(Supervisor(folder / "provider"))
        argv = [sys.executable, "-m", "benchmarks.memory", "--provider", str(port)]
        outer.start("provider", argv, ready=lambda: answers_http(f"{provider}/count"))
        outer.wait_ready()
        environment = {
            "TWILIO_ACCOUNT_SID": ACCOUNT,
            "TWILIO_AUTH_TOKEN": "token",
            "TWILIO_API_BASE_URL": provider,
            # This provider keeps no log that could be read.
            "SENDER_SCRUB": "off",
            "SENDER_INTAKE": "webhook",
            "SENDER_LOG_LEVEL": "WARNING",
        }
        plan = Plan(
            folder=folder,
            database_url=servers.postgres.url,
            redis_url=servers.redis.url,
            environment=environment,
            workers=workers,
        )
        running = stack.enter_context(Stack(plan))
        client = sender.connect(plan.settings)
        stack.callback(client.close)
        client.set_pace(SENDER, PACE)
        run = Run(
            messages=messages,
            stack=running,
            client=client,
            provider=provider,
            workers=[psutil.Process(pid) for pid in running.worker_pids().values()],
        )
        run.measure()
        return run.samples


def _provide(port: int) -> None:
    """Be a provider that answers 201 to every create, and keeps a count and nothing else."""
    count = 0

    async def create(request: web.Request) -> web.Response:
        nonlocal count
        form = await request.post()
        await asyncio.sleep(LATENCY.total_seconds())
        count += 1
        body = {"sid": f"SM{count:032x}", "status": "queued", "to": form["To"]}
        return web.json_response(body, status=201)

    async def tell(_: web.Request) -> web.Response:
        return web.Response(text=str(count))

    app = web.Application()
    app.router.add_post("/2010-04-01/Accounts/{account}/Messages.json", create)
    app.router.add_get("/count", tell)
    web.run_app(app, host=LOOPBACK, port=port, access_log=None, print=None)


def _figures(samples: Sequence[Sample], messages: int, workers: int) -> dict[str, Any]:
    tenths = [_tenth(samples, messages, number) for number in range(TENTHS)]
    second, last = tenths[1]["median_mb"], tenths[-1]["median_mb"]
    half = [sample for sample in samples if sample.sent >= messages / 2]
    sent = [sample.sent / workers for sample in half]
    slope = statistics.linear_regression(sent, [_mean(sample) for sample in half]).slope
    return {
        "messages": messages,
        "workers": workers,
        "tenths": tenths,
        "growth_mb": round(last - second, 1),
        "bound_mb": BOUND_MB,
        "bytes_per_message_in_second_half": round(slope, 2),
    }


def _tenth(samples: Sequence[Sample], messages: int, number: int) -> dict[str, float]:
    """Resident memory of all workers while a tenth of the messages was sent."""
    first, last = number * messages / TENTHS, (number + 1) * messages / TENTHS
    inside = [sample for sample in samples if first <= sample.sent < last]
    every = [one for sample in inside for one in sample.resident]
    return {
        "sent": inside[-1].sent,
        "min_mb": _mb(min(every)),
        "median_mb": _mb(statistics.median(every)),
        "max_mb": _mb(max(every)),
    }


def _mean(sample: Sample) -> float:
    return statistics.fmean(sample.resident)


def _mb(size: float) -> float:
    return round(size / 2**20, 1)


def _print_table(tenths: Sequence[dict[str, float]]) -> None:
    print(f"{'messages':>10} {'min MB':>8} {'median':>8} {'max MB':>8}")
    for row in tenths:
        sent, *sizes = row.values()
        print(f"{sent:>10,} " + " ".join(f"{size:>8.1f}" for size in sizes))


if __name__ == "__main__":
    sys.exit(main())
