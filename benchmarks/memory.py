"""Whether a worker's memory stays flat: ``python -m benchmarks.memory --messages 1000000``.

Starts the whole system in a temporary folder beside the benches' provider, sends that many
messages, and looks at each worker process once a second. Prints a table (a row for each tenth of
the run) and one JSON object. Exit code 1 if a worker grew by more than `BOUND_MB` from the second
tenth to the last: the first one is warm-up (connections, caches, the allocator).

A million messages take about 1 GB of disk, and half an hour on two cores.
"""

import argparse
import json
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import psutil

import sender
from benchmarks import people
from benchmarks.provider import Manners
from benchmarks.rig import NUMBER, RunningProvider, System, running_bench

#: What the allocator's own ups and downs may amount to. A leak of 100 bytes a message, the
#: smallest Python object that refers to another, would be 80 MB for a worker that sends a million.
BOUND_MB = 16.0
#: Recipients of a campaign: the next is stored while one is sent, so workers are never idle.
BATCH = 25_000
TENTHS = 10
LATENCY_MS = 5.0
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
    system: System
    provider: RunningProvider
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
            self.system.stack.check()
            time.sleep(1)

    def _is_next_tenth(self) -> bool:
        *_, before, now = (0, 0, *(sample.sent for sample in self.samples[-2:]))
        return before * TENTHS // self.messages != now * TENTHS // self.messages

    def sent(self) -> int:
        """How many messages the provider took."""
        return self.provider.progress()["answered"]

    def _feed(self) -> None:
        """Store campaigns, one ahead of what is being sent."""
        try:
            for stored in range(0, self.messages, BATCH):
                while self.sent() < stored - BATCH:
                    time.sleep(0.2)
                size = min(BATCH, self.messages - stored)
                campaign = self.system.client.create_campaign(
                    name=f"from {stored}",
                    sender=NUMBER,
                    body="Hello from a benchmark",
                    audience=sender.from_iterable(people.numbers(range(stored, stored + size))),
                )
                campaign.enqueue()
        except BaseException as exc:
            self.failed.append(exc)
            raise


def main() -> int:
    """Measure, and print; 1 if memory grew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    began = time.monotonic()
    samples = _measure(given.messages, given.workers)
    figures = _figures(samples, given.messages, given.workers)
    figures["seconds"] = round(time.monotonic() - began)
    _print_table(figures["tenths"])
    print(json.dumps(figures, indent=2))
    return int(figures["growth_mb"] > BOUND_MB)


def _measure(messages: int, workers: int) -> list[Sample]:
    with running_bench() as bench, bench.system(workers=workers) as system:
        bench.provider.reset(Manners(latency_ms=LATENCY_MS))
        run = Run(
            messages=messages,
            system=system,
            provider=bench.provider,
            workers=[psutil.Process(pid) for pid in system.stack.worker_pids().values()],
        )
        run.measure()
        return run.samples


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
