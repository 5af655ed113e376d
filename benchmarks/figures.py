"""The figures of the speed bench: ratios within a round, their floors, and where we are going.

A floor that the median misses fails the bench. A goal that it misses needs a profile that names
the cost.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.measured import Case, Measured


@dataclass(frozen=True, kw_only=True)
class Round:
    """All cases of one operating point, one after the other."""

    point: str
    number: int
    measured: Sequence[Measured]

    def of(self, case: Case) -> Measured | None:
        """What counts of a case: ``None`` where it was not run, or its round is void."""
        return next((one for one in self.measured if one.case is case and not one.void), None)

    def as_json(self) -> dict[str, Any]:
        """For the record."""
        return {
            "point": self.point,
            "round": self.number,
            "cases": {one.case.value: one.as_json() for one in self.measured},
        }


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Values of several rounds."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread | None":
        """Of at least one."""
        if not values:
            return None
        return cls(median=statistics.median(values), least=min(values), most=max(values))


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One row of the table."""

    name: str
    point: str
    #: What it is taken from.
    cases: tuple[Case, ...]
    #: What a round says; ``None``: nothing.
    of: Callable[[Round], float | None]
    floor: float | None = None
    goal: float | None = None
    #: Whether floor and goal are the most that is wanted.
    small_is_good: bool = False

    def within(self, *, floor: float | None = None, goal: float | None = None) -> "Figure":
        """The same with limits."""
        return replace(self, floor=floor, goal=goal)

    def is_of(self, rounds: Sequence[Round]) -> bool:
        """Whether these rounds were to give it: its cases were run at its point."""
        run = {one.case for each in rounds if each.point == self.point for one in each.measured}
        return run >= set(self.cases)

    def spread(self, rounds: Sequence[Round]) -> Spread | None:
        """Over the rounds that count."""
        found = [self.of(one) for one in rounds if one.point == self.point]
        return Spread.of([value for value in found if value is not None])

    def misses(self, limit: float | None, spread: Spread | None) -> bool:
        """Whether the median is on the wrong side; without any round that counts it is."""
        if limit is None:
            return False
        if spread is None:
            return True
        return spread.median > limit if self.small_is_good else spread.median < limit

    def as_json(self, rounds: Sequence[Round]) -> dict[str, Any]:
        """For the record."""
        found = self.spread(rounds)
        return {
            "name": self.name,
            "point": self.point,
            "median": found and found.median,
            "min": found and found.least,
            "max": found and found.most,
            "floor": self.floor,
            "goal": self.goal,
            "misses_floor": self.misses(self.floor, found),
            "misses_goal": self.misses(self.goal, found),
        }


def _ratio(
    name: str, one: Case, other: Case, *, at: str, of: Callable[[Measured], float], **limits: float
) -> Figure:
    def within(found: Round) -> float | None:
        over, under = found.of(one), found.of(other)
        return of(over) / of(under) if over and under and of(under) else None

    return Figure(name=name, point=at, cases=(one, other), of=within).within(**limits)


def _rates(name: str, one: Case, other: Case, at: str, **limits: float) -> Figure:
    return _ratio(name, one, other, at=at, of=lambda measured: measured.rate, **limits)


def _bare_cpu(at: str, **limits: float) -> Figure:
    name = "sender CPU, bare ÷ full"
    return _ratio(name, Case.BARE, Case.FULL, at=at, of=lambda one: one.cpu["sender"], **limits)


def _gap(name: str, share: str, **limits: float) -> Figure:
    def of(found: Round) -> float | None:
        full = found.of(Case.FULL)
        return full.gap.get(share) if full else None

    figure = Figure(name=name, point="gap", cases=(Case.FULL,), of=of, small_is_good=True)
    return figure.within(**limits)


FIGURES: tuple[Figure, ...] = (
    _rates("full ÷ bare", Case.FULL, Case.BARE, "50 ms", floor=0.95, goal=0.98),
    _rates("full ÷ bare", Case.FULL, Case.BARE, "150 ms", floor=0.95, goal=0.98),
    _rates("full ÷ bare", Case.FULL, Case.BARE, "saturated", floor=0.70, goal=0.85),
    _bare_cpu("saturated", floor=0.70, goal=0.85),
    _bare_cpu("50 ms"),
    _bare_cpu("150 ms"),
    _rates("full ÷ naive -c 32", Case.FULL, Case.NAIVE, "saturated", floor=20, goal=40),
    _rates("full ÷ naive -c 2", Case.FULL, Case.NAIVE_TWO, "saturated", floor=100, goal=150),
    _rates("full ÷ naive async", Case.FULL, Case.NAIVE_ASYNC, "saturated"),
    _gap("lookup → POST, p50, ms", "p50"),
    _gap("lookup → POST, p99, ms", "p99", floor=50, goal=25),
    _gap("lookup → read by the provider, p99, ms", "arrived p99"),
    _rates("bare with callbacks ÷ without", Case.BARE_CALLBACKS, Case.BARE, "50 ms"),
    _rates("full ÷ bare, callbacks", Case.FULL_CALLBACKS, Case.BARE_CALLBACKS, "50 ms"),
)


def missed(rounds: Sequence[Round]) -> list[Figure]:
    """Figures below their floor, of those that were to be taken."""
    taken = [figure for figure in FIGURES if figure.is_of(rounds)]
    return [figure for figure in taken if figure.misses(figure.floor, figure.spread(rounds))]
