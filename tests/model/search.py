"""Breadth first through all orders of all steps; the shortest way to each broken promise."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from tests.model.design import Design, Scenario, World
from tests.model.others import (
    at_rest,
    enforcement,
    inbound,
    postgres,
    recovery,
    time,
    twilio,
)
from tests.model.state import FINAL, IN_DOUBT, PENDING, State
from tests.model.steps import Broken, Step
from tests.model.worker import worker

#: More would not be a model any more.
MOST_STATES = 400_000


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a search came to."""

    states: int
    #: The shortest way to each promise that does not hold.
    broken: dict[Broken, tuple[str, ...]]


def explore(scenario: Scenario, design: Design, *, until: Broken | None = None) -> Found:
    """Everything that may happen; or as far as the first case of one broken promise."""
    return _Search(World(design=design, scenario=scenario)).run(until)


def steps(world: World, state: State) -> Iterator[Step]:
    """Whatever may happen next."""
    yield from worker(world, state, 0)
    yield from worker(world, state, 1)
    yield from inbound(world, state)
    yield from enforcement(world, state)
    yield from recovery(world, state)
    yield from twilio(world, state)
    yield from time(world, state)
    yield from postgres(world, state)


class _Search:
    def __init__(self, world: World) -> None:
        self.world = world
        initial = world.scenario.initial
        #: How each state was reached first.
        self.reached: dict[State, tuple[str, State] | None] = {initial.key: None}
        #: Whence each state is reached without a fault.
        self.sources: dict[State, list[State]] = {}
        self.ends: list[State] = []
        self.broken: dict[Broken, tuple[str, ...]] = {}
        self.queue = deque([initial])

    def run(self, until: Broken | None) -> Found:
        while self.queue and (until is None or until not in self.broken):
            self._visit(self.queue.popleft())
        if not self.queue and (stuck := self._stuck()):
            self.broken[Broken.STUCK] = self._way_to(stuck)
        return Found(states=len(self.reached), broken=self.broken)

    def _visit(self, state: State) -> None:
        key = state.key
        if at_rest(self.world, state):
            self.ends.append(key)
        for step in steps(self.world, state):
            for breaks in filter(None, (step.breaks, _breaks(state, step.state))):
                if breaks not in self.broken:
                    self.broken[breaks] = (*self._way_to(key), step.label)
            found = step.state.key
            if not step.fault:
                self.sources.setdefault(found, []).append(key)
            if found not in self.reached:
                self.reached[found] = (step.label, key)
                self.queue.append(step.state)
                if len(self.reached) > MOST_STATES:
                    raise RuntimeError(f"more than {MOST_STATES} states: the model is unbounded")

    def _way_to(self, key: State) -> tuple[str, ...]:
        labels = []
        while came := self.reached[key]:
            label, key = came
            labels.append(label)
        return tuple(reversed(labels))

    def _stuck(self) -> State | None:
        """The nearest state from which no end is reached unless a fault helps."""
        saved, ahead = set(self.ends), deque(self.ends)
        while ahead:
            for source in self.sources.get(ahead.popleft(), ()):
                if source not in saved:
                    saved.add(source)
                    ahead.append(source)
        return next((state for state in self.reached if state not in saved), None)


def _breaks(before: State, after: State) -> Broken | None:
    if after.row == PENDING and (before.row in FINAL or before.row == IN_DOUBT):
        return Broken.BACK
    if any(text.acknowledged and not text.stored for text in after.texts):
        return Broken.LOST
    return None
