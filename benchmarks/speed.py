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
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks import people
from benchmarks.bare import Bare, running_bare
from benchmarks.cpu import Usage
from benchmarks.figures import FIGURES, Round, missed
from benchmarks.freezing import frozen
from benchmarks.full import Full, body
from benchmarks.gap import Times
from benchmarks.machine import machine
from benchmarks.measured import Case, Measured, wire_faults
from benchmarks.naive.running import QUEUES, Naive, running_naive
from benchmarks.plan import SMOKE, Plan, Point
from benchmarks.provider import Manners
from benchmarks.rig import Bench, System, running_bench, running_provider
from benchmarks.table import print_table
from benchmarks.timed_worker import FOLDER
from sender.local.stack import Programs

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
    """Runs the rounds of one operating point."""

    bench: Bench
    plan: Plan
    point: Point
    full: Full
    bare: Bare
    bare_callbacks: Bare
    naive: Naive
    recipients: Recipients
    #: ``None`` where nobody notes them.
    times: Times | None

    def all(self) -> list[Round]:
        """Warm up, then measure round after round; each begins with another case."""
        for case in self.point.cases:
            self._measure(case, min(self.plan.warm_up, self.point.messages(case) // 2))
        rounds = []
        for n in range(self.plan.rounds):
            cases = self.point.cases
            turned = [*cases[n % len(cases) :], *cases[: n % len(cases)]]
            measured = [self._measure(case, self.point.messages(case)) for case in turned]
            rounds.append(Round(point=self.point.name, number=n + 1, measured=measured))
        return rounds

    def _measure(self, case: Case, size: int) -> Measured:
        _say(f"{self.point.name}: {case}, {size:,} recipients")
        first = self.recipients.take(size)
        manners = Manners(latency_ms=self.point.latency_ms, callbacks=case in _CALLED_BACK)
        if case in _FULL:
            found = self.full.run(case, first, size, manners)
            if self.times:
                found = replace(found, gap=self.times.of(self.bench.provider.history()))
        else:
            with frozen(self.full.system.kinds):
                if case in QUEUES:
                    found = self.naive.run(case, first, size, manners)
                else:
                    found = self._post(case, first, size, manners)
        for why in found.void:
            _say(f"VOID: {case} at {self.point.name}: {why}")
        return found

    def _post(self, case: Case, first: int, size: int, manners: Manners) -> Measured:
        bare = self.bare_callbacks if case is Case.BARE_CALLBACKS else self.bare
        kinds = {**self.bench.kinds, "sender": bare.pids}
        self.bench.provider.reset(manners)
        before = Usage.now(kinds)
        posted = bare.post(first, size, body(first))
        used, report = Usage.now(kinds).since(before), self.bench.provider.report()
        return Measured(
            case=case,
            messages=report["answered"],
            seconds=posted.seconds,
            cpu=used.per_message(posted.messages),
            void=tuple(wire_faults(report, expected=posted.messages)),
            provider=report,
        )


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


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
        return [found for point in self.plan.points for found in self._at(point)]

    def _at(self, point: Point) -> Sequence[Round]:
        with ExitStack() as stack:
            system = stack.enter_context(self._system(point))
            sink = stack.enter_context(running_provider(self.bench.folder / point.name / "sink"))
            full = stack.enter_context(Full.on(self.bench, system))
            bare, bare_callbacks = (
                stack.enter_context(
                    running_bare(
                        provider=self.bench.provider.url,
                        callbacks=callbacks,
                        processes=self.plan.processes,
                        concurrency=point.concurrency,
                    )
                )
                for callbacks in (system.stack.plan.webhook_url, sink.url)
            )
            naive = stack.enter_context(running_naive(self.bench, point.cases))
            return Rounds(
                bench=self.bench,
                plan=self.plan,
                point=point,
                full=full,
                bare=bare,
                bare_callbacks=bare_callbacks,
                naive=naive,
                recipients=self.recipients,
                times=Times(self._times) if point.timed else None,
            ).all()

    @contextmanager
    def _system(self, point: Point) -> Iterator[System]:
        settings = {
            "SENDER_CONCURRENCY": str(point.concurrency),
            # Others' rounds, during which it is frozen, are no gap in the intake of STOPs.
            "SENDER_INTAKE_SILENCE_SECONDS": "600",
        }
        programs = None
        if point.timed:
            self._times.mkdir()
            settings[FOLDER] = str(self._times)
            programs = Programs(celery_app="benchmarks.timed_worker")
        with self.bench.system(
            workers=self.plan.processes, settings=settings, programs=programs
        ) as system:
            yield system

    @property
    def _times(self) -> Path:
        return self.bench.folder / "times"


def main() -> int:
    """Measure, print, write; 1 where a floor is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=Plan.rounds)
    parser.add_argument("--processes", type=int, default=Plan.processes, help="worker processes")
    parser.add_argument("--suppressed", type=int, default=Plan.suppressed)
    parser.add_argument("--scale", type=float, default=1.0, help="times the messages of a round")
    parser.add_argument("--points", help="only these, by name, separated by commas")
    parser.add_argument("--json", type=Path, default=Path("build/speed.json"))
    parser.add_argument("--smoke", action="store_true", help="tiny; floors are not judged")
    given = parser.parse_args()
    plan = Plan(rounds=given.rounds, processes=given.processes, suppressed=given.suppressed)
    plan = SMOKE if given.smoke else plan.scaled(given.scale)
    if given.points:
        plan = plan.only(given.points.split(","))
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
        "figures": [figure.as_json(rounds) for figure in FIGURES],
        "rounds": [found.as_json() for found in rounds],
    }


if __name__ == "__main__":
    sys.exit(main())
