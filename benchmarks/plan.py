"""How much a run of the speed bench does, and where: its operating points."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from benchmarks.measured import Case
from benchmarks.people import HIT_EVERY

#: The naive design is so slow that it must make do with fewer.
_NAIVE = {Case.NAIVE: 2_500, Case.NAIVE_ASYNC: 2_500, Case.NAIVE_TWO: 300}


@dataclass(frozen=True, kw_only=True)
class Point:
    """One way to load the system."""

    name: str
    #: The provider's answer takes so long.
    latency_ms: float
    #: Requests in flight in each sending process: latency-bound if the machine keeps up with them.
    concurrency: int
    cases: tuple[Case, ...]
    #: Recipients of a round: about ten seconds of sending.
    size: int
    #: Recipients of the cases that are given others.
    sizes: Mapping[Case, int] = field(default_factory=lambda: dict(_NAIVE))
    #: Whether more is in flight than the machine has CPU for.
    is_saturated: bool = False
    #: Whether each message's way from the lookup to the POST is timed, by other workers.
    timed: bool = False

    def messages(self, case: Case) -> int:
        """Recipients of a case in a round."""
        return self.sizes.get(case, self.size)


#: Two processes and the wire make either 1,280 messages a second: two cores that also run the
#: provider and the servers are then half busy, and it is latency that binds.
_AT_50 = Point(
    name="50 ms",
    latency_ms=50,
    concurrency=32,
    cases=(Case.BARE, Case.FULL, Case.BARE_CALLBACKS, Case.FULL_CALLBACKS),
    size=15_000,
    sizes={Case.BARE_CALLBACKS: 7_500, Case.FULL_CALLBACKS: 7_500},
)
_AT_150 = Point(
    name="150 ms", latency_ms=150, concurrency=96, cases=(Case.BARE, Case.FULL), size=15_000
)
_SATURATED = Point(
    name="saturated",
    latency_ms=50,
    concurrency=400,
    cases=(Case.BARE, Case.FULL, Case.NAIVE, Case.NAIVE_TWO, Case.NAIVE_ASYNC),
    size=45_000,
    is_saturated=True,
)
_GAP = Point(
    name="gap",
    latency_ms=50,
    concurrency=400,
    cases=(Case.FULL,),
    size=20_000,
    is_saturated=True,
    timed=True,
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run."""

    rounds: int = 5
    #: Worker processes, and processes of the bare sender.
    processes: int = 2
    suppressed: int = 1_000_000
    warm_up: int = 2_000
    #: Whether all points are run on one system, which saves most of a short run's time: the number
    #: of requests in flight is the last point's then.
    one_system: bool = False
    #: Whether one small worker serves all variants of the naive design.
    small_naive: bool = False
    points: Sequence[Point] = (_AT_50, _AT_150, _SATURATED, _GAP)

    def scaled(self, factor: float) -> Self:
        """With so many times the messages a round."""
        return replace(self, points=[_scaled(point, factor) for point in self.points])

    def only(self, names: Sequence[str]) -> Self:
        """With these points.

        Raises:
            ValueError: there is no such point.
        """
        by_name = {point.name: point for point in self.points}
        if unknown := [name for name in names if name not in by_name]:
            raise ValueError(f"no such points: {unknown}; there are {list(by_name)}")
        return replace(self, points=[by_name[name] for name in names])

    def latency_bound_at(self, concurrency: int) -> Self:
        """With so many requests in flight in each process, but for the saturated points."""
        points = [
            one if one.is_saturated else replace(one, concurrency=concurrency)
            for one in self.points
        ]
        return replace(self, points=points)

    def with_cases(self, cases: Sequence[str]) -> Self:
        """With no other cases than these.

        Raises:
            ValueError: there is no such case.
        """
        wanted = {Case(name) for name in cases}
        points = (
            replace(one, cases=tuple(case for case in one.cases if case in wanted))
            for one in self.points
        )
        return replace(self, points=[one for one in points if one.cases])

    @property
    def recipients(self) -> int:
        """How many are needed in all; each is on the list or not by its number."""
        sizes = [point.messages(case) for point in self.points for case in point.cases]
        cases = sum(len(point.cases) for point in self.points)
        return self.rounds * sum(sizes) + cases * self.warm_up

    def as_json(self) -> dict[str, Any]:
        """For the record."""
        return {**asdict(self), "hit_every": HIT_EVERY}


def body(first: int) -> str:
    """The text of a run of recipients: as long as texts are, and every round another."""
    return f"Hello! Our sale begins today, 20 % off everything (offer {first}). Reply STOP to end."


def _scaled(point: Point, factor: float) -> Point:
    sizes = {case: max(40, round(size * factor)) for case, size in point.sizes.items()}
    return replace(point, size=max(40, round(point.size * factor)), sizes=sizes)


#: Every step once, as small as it gets: shows that the bench works, and measures nothing.
SMOKE = Plan(
    rounds=1, processes=1, suppressed=2_000, warm_up=0, one_system=True, small_naive=True
).scaled(0.005)
