"""How fast the system is beside what it could be: ``python -m benchmarks.speed`` (`make bench`).

Starts everything it needs on free loopback ports in a temporary folder, and runs the same messages
through the system, the bare sender and the naive design, round after round in turns. Figures are
ratios *within* a round; of those the median counts. Prints a table, writes every round as JSON, and
exits with 1 where a median misses its floor. About a quarter of an hour on two cores; absolute
figures are for information, and mean nothing on a machine that does something else meanwhile.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks import people
from benchmarks.bare import Bare, running_bare
from benchmarks.cpu import Usage
from benchmarks.figures import FIGURES, Round, missed
from benchmarks.freezing import frozen
from benchmarks.full import Full
from benchmarks.gap import Times
from benchmarks.machine import machine
from benchmarks.measured import Case, Measured, wire_faults
from benchmarks.naive.running import QUEUES, Naive, running_naive
from benchmarks.plan import SMOKE, Plan, Point
from benchmarks.provider import Manners
from benchmarks.rig import Bench, RunningProvider, System, running_bench, running_provider
from benchmarks.table import print_table
from benchmarks.timed_worker import FOLDER
from sender.errors import WaitedTooLong
from sender.local.stack import Programs

_BEGAN = time.monotonic()
_CALLED_BACK = {Case.BARE_CALLBACKS, Case.FULL_CALLBACKS}
_FULL = {Case.FULL, Case.FULL_CALLBACKS}


@dataclass(kw_only=True)
class Recipients:
    """Who is texted next: everybody once in a run."""

    first: int = 0

    def take(self, size: int) -> int:
        """The first of a run of recipients that nobody has texted yet."""
        taken, self.first = self.first, self.first + size
        return taken


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """Runs rounds of operating points on what is running."""

    bench: Bench
    plan: Plan
    full: Full
    bare: Bare
    #: Where the bare sender's status callbacks go: somebody who only says thanks.
    sink: RunningProvider
    naive: Naive
    #: What workers note, where they do.
    times: Times
    recipients: Recipients

    def of(self, point: Point) -> list[Round]:
        """Warm up, then measure round after round; each begins with another case."""
        cases = point.cases
        for case in cases:
            if warm_up := min(self.plan.warm_up, point.messages(case) // 2):
                self._measure(point, case, warm_up)
        rounds = []
        for n in range(self.plan.rounds):
            turned = [*cases[n % len(cases) :], *cases[: n % len(cases)]]
            measured = [self._measure(point, case, point.messages(case)) for case in turned]
            rounds.append(Round(point=point.name, number=n + 1, measured=measured))
        return rounds

    def _measure(self, point: Point, case: Case, size: int) -> Measured:
        _say(f"{point.name}: {case}, {size:,} recipients")
        first = self.recipients.take(size)
        manners = Manners(latency_ms=point.latency_ms, callbacks=case in _CALLED_BACK)
        try:
            found = self._run(point, case, first, size, manners)
        except WaitedTooLong as exc:
            found = Measured.broken_off(case, str(exc))
        for why in found.void:
            _say(f"VOID: {case} at {point.name}: {why}")
        return found

    def _run(self, point: Point, case: Case, first: int, size: int, manners: Manners) -> Measured:
        if case in _FULL:
            found = self.full.run(case, first, size, manners)
            if point.timed:
                found = replace(found, gap=self.times.of(self.bench.provider.history()))
            return found
        with frozen(self.full.system.kinds):
            if case in QUEUES:
                return self.naive.run(case, first, size, manners)
            return self._post(point, case, first, size, manners)

    def _post(self, point: Point, case: Case, first: int, size: int, manners: Manners) -> Measured:
        hooks = self.full.system.stack.plan.webhook_url
        kinds = {**self.bench.kinds, "sender": self.bare.pids}
        self.bench.provider.reset(manners)
        before = Usage.now(kinds)
        posted = self.bare.post(
            first,
            size,
            callbacks=self.sink.url if case is Case.BARE_CALLBACKS else hooks,
            concurrency=point.concurrency,
        )
        used, report = Usage.now(kinds).since(before), self.bench.provider.report()
        faults = wire_faults(report, expected=posted.messages)
        if posted.refused:
            faults.append(f"{posted.refused} were not accepted")
        return Measured(
            case=case,
            messages=report["answered"],
            seconds=posted.seconds,
            cpu=used.per_message(posted.messages),
            void=tuple(faults),
            provider=report,
        )


def _say(what: str) -> None:
    print(f"{time.monotonic() - _BEGAN:6.1f} s  {what}", file=sys.stderr, flush=True)


@dataclass(frozen=True, kw_only=True)
class Speed:
    """One run of the bench."""

    bench: Bench
    plan: Plan
    recipients: Recipients = field(default_factory=Recipients)

    def run(self) -> list[Round]:
        """All rounds of all points."""
        _say(f"loading {self.plan.suppressed:,} suppressed numbers")
        self.bench.suppress(self.plan.suppressed)
        points = self.plan.points
        groups = [points] if self.plan.one_system else [[point] for point in points]
        return [found for group in groups for found in self._on_one_system(group)]

    def _on_one_system(self, points: Sequence[Point]) -> list[Round]:
        cases = {case for point in points for case in point.cases}
        folder = self.bench.folder / points[-1].name
        with ExitStack() as stack:
            system = stack.enter_context(self._system(points, folder))
            rounds = Rounds(
                bench=self.bench,
                plan=self.plan,
                full=stack.enter_context(Full.on(self.bench, system)),
                bare=stack.enter_context(
                    running_bare(provider=self.bench.provider.url, processes=self.plan.processes)
                ),
                sink=stack.enter_context(running_provider(folder / "sink")),
                naive=stack.enter_context(
                    running_naive(self.bench, cases, small=self.plan.small_naive)
                ),
                times=Times(folder),
                recipients=self.recipients,
            )
            return [found for point in points for found in rounds.of(point)]

    @contextmanager
    def _system(self, points: Sequence[Point], folder: Path) -> Iterator[System]:
        folder.mkdir()
        is_timed = any(point.timed for point in points)
        settings = {
            "SENDER_CONCURRENCY": str(points[-1].concurrency),
            # Others' rounds, during which it is frozen, are no gap in the intake of STOPs.
            "SENDER_INTAKE_SILENCE_SECONDS": "600",
            FOLDER: str(folder),
        }
        with self.bench.system(
            workers=self.plan.processes,
            settings=settings,
            programs=Programs(celery_app="benchmarks.timed_worker") if is_timed else None,
        ) as system:
            yield system


def main() -> int:
    """Measure, print, write; 1 where a floor is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=Plan.rounds)
    parser.add_argument("--processes", type=int, default=Plan.processes, help="worker processes")
    parser.add_argument("--suppressed", type=int, default=Plan.suppressed)
    parser.add_argument("--scale", type=float, default=1.0, help="times the messages of a round")
    parser.add_argument("--points", help="only these, by name, separated by commas")
    parser.add_argument("--cases", help="only these, likewise")
    parser.add_argument("--json", type=Path, default=Path("build/speed.json"))
    parser.add_argument("--smoke", action="store_true", help="tiny; floors are not judged")
    given = parser.parse_args()
    plan = Plan(rounds=given.rounds, processes=given.processes, suppressed=given.suppressed)
    plan = SMOKE if given.smoke else plan.scaled(given.scale)
    if given.points:
        plan = plan.only(given.points.split(","))
    if given.cases:
        plan = plan.with_cases(given.cases.split(","))
    assert plan.recipients <= people.MOST
    with running_bench() as bench:
        rounds = Speed(bench=bench, plan=plan).run()
        facts = machine(bench)
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps(_document(facts, plan, rounds), indent=2) + "\n")
    print_table(facts, rounds)
    return int(bool(missed(rounds)) and not given.smoke)


def _document(facts: dict[str, object], plan: Plan, rounds: Sequence[Round]) -> dict[str, object]:
    return {
        "machine": facts,
        "plan": plan.as_json(),
        "figures": [one.as_json(rounds) for one in FIGURES if one.is_of(rounds)],
        "rounds": [found.as_json() for found in rounds],
    }


if __name__ == "__main__":
    sys.exit(main())
