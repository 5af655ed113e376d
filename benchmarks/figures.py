"""The figures of the speed bench: ratios within a round, their floors, and where we are going.

A floor that the median misses fails the bench. A goal that it misses needs a profile that names
the cost.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
    #: What a round says; ``None``: nothing.
    of: Callable[[Round], float | None]
    floor: float | None = None
    goal: float | None = None
    #: Whether floor and goal are the most that is wanted.
    small_is_good: bool = False

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


def _ratio(one: Case, other: Case, of: Callable[[Measured], float]) -> Callable[[Round], Any]:
    def within(found: Round) -> float | None:
        over, under = found.of(one), found.of(other)
        return of(over) / of(under) if over and under and of(under) else None

    return within


def _rates(one: Case, other: Case) -> Callable[[Round], float | None]:
    return _ratio(one, other, lambda measured: measured.rate)


def _sender_cpu(one: Case, other: Case) -> Callable[[Round], float | None]:
    return _ratio(one, other, lambda measured: measured.cpu["sender"])


def _gap(share: str) -> Callable[[Round], float | None]:
    def of(found: Round) -> float | None:
        full = found.of(Case.FULL)
        return full.gap.get(share) if full else None

    return of


_LATENCY: Mapping[str, Any] = {"floor": 0.95, "goal": 0.98}

FIGURES: tuple[Figure, ...] = (
    *(
        Figure(name="full ÷ bare", point=point, of=_rates(Case.FULL, Case.BARE), **_LATENCY)
        for point in ("50 ms", "150 ms")
    ),
    Figure(
        name="full ÷ bare",
        point="saturated",
        of=_rates(Case.FULL, Case.BARE),
        floor=0.70,
        goal=0.85,
    ),
    Figure(
        name="sender CPU, bare ÷ full",
        point="saturated",
        of=_sender_cpu(Case.BARE, Case.FULL),
        floor=0.70,
        goal=0.85,
    ),
    *(
        Figure(name="sender CPU, bare ÷ full", point=point, of=_sender_cpu(Case.BARE, Case.FULL))
        for point in ("50 ms", "150 ms")
    ),
    Figure(
        name="full ÷ naive -c 32",
        point="saturated",
        of=_rates(Case.FULL, Case.NAIVE),
        floor=20,
        goal=40,
    ),
    Figure(
        name="full ÷ naive -c 2",
        point="saturated",
        of=_rates(Case.FULL, Case.NAIVE_TWO),
        floor=100,
        goal=150,
    ),
    Figure(
        name="full ÷ naive async",
        point="saturated",
        of=_rates(Case.FULL, Case.NAIVE_ASYNC),
    ),
    Figure(name="lookup → POST, p50, ms", point="gap", of=_gap("p50"), small_is_good=True),
    Figure(
        name="lookup → POST, p99, ms",
        point="gap",
        of=_gap("p99"),
        floor=50,
        goal=25,
        small_is_good=True,
    ),
    Figure(
        name="lookup → read by the provider, p99, ms",
        point="gap",
        of=_gap("arrived p99"),
        small_is_good=True,
    ),
    Figure(
        name="bare with callbacks ÷ without",
        point="50 ms",
        of=_rates(Case.BARE_CALLBACKS, Case.BARE),
    ),
    Figure(
        name="full ÷ bare, callbacks",
        point="50 ms",
        of=_rates(Case.FULL_CALLBACKS, Case.BARE_CALLBACKS),
    ),
)


def missed(rounds: Sequence[Round]) -> list[Figure]:
    """Figures below their floor, of the points that were run."""
    points = {one.point for one in rounds}
    run = [figure for figure in FIGURES if figure.point in points]
    return [figure for figure in run if figure.misses(figure.floor, figure.spread(rounds))]
