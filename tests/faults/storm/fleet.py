"""The storm's workers: each dies of something, and another one takes its place."""

import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from random import Random

from sender.crashing import CrashPoint
from sender.local.child import Child
from tests.faults.rig import FaultySystem, crashing

#: Workers at a time: they share two cores with everything else.
SIZE = 3
#: How long a worker lives at least before it is killed, so that it has work in its hands; one that
#: carries its own end gets longer to come to it.
LIVES, DOOMED_LIVES = 1.0, 8.0
#: Between two deaths by our hand.
PAUSE = 1.2
#: How long a worker is frozen: longer than a request may wait to begin.
FROZEN = 2.5
#: The share of workers that carry their own end in them, and of those that are only frozen there.
DOOMED, PAUSED = 0.5, 0.15
#: What a worker of the send path can die of.
PLACES = tuple(
    point
    for point in CrashPoint
    if point not in {CrashPoint.AFTER_STORE, CrashPoint.AFTER_WITHDRAW, CrashPoint.BEFORE_ACK}
)
#: Small workers: a lease of slices for several of them at a time.
SMALL = {"SENDER_THREADS": "3", "SENDER_CONCURRENCY": "32"}


@dataclass(kw_only=True)
class _Worker:
    child: Child
    born_at: float
    is_doomed: bool
    is_up: bool = False
    frozen_at: float | None = None

    @property
    def lives(self) -> float:
        """How long it is left alone."""
        return DOOMED_LIVES if self.is_doomed else LIVES

    def age(self, now: float) -> float:
        """How long it has been up."""
        return now - self.born_at


@dataclass(kw_only=True)
class Fleet:
    """A few workers, watched by whoever calls `look`."""

    system: FaultySystem
    chance: Random
    app: str
    #: How many must die; once they have, nobody else does.
    kills: int
    workers: list[_Worker] = field(default_factory=list)
    died: Counter[str] = field(default_factory=Counter)
    #: The last words of workers that ended otherwise than by SIGKILL.
    last_words: list[str] = field(default_factory=list)
    _last_kill: float = 0.0

    @property
    def killed(self) -> int:
        """Workers killed so far, by us or by themselves."""
        return self.died["killed"] + self.died["at a place"]

    @property
    def is_calm(self) -> bool:
        """Whether all that must die have."""
        return self.killed >= self.kills

    @property
    def live(self) -> int:
        """Workers that have registered."""
        return sum(worker.is_up for worker in self.workers)

    def look(self) -> None:
        """Count the dead, let the frozen go on, replace one, and kill one if it is time."""
        self._bury()
        self._thaw()
        self._note_births()
        if len(self.workers) < SIZE:
            self.workers.append(self._born())
        if not self.is_calm and time.monotonic() - self._last_kill > PAUSE:
            self._strike()

    def end(self) -> None:
        """Kill all that are left."""
        for worker in self.workers:
            worker.child.kill()

    def _born(self) -> _Worker:
        variables, is_doomed = dict(SMALL), not self.is_calm and self.chance.random() < DOOMED
        if is_doomed:
            place, nth = self.chance.choice(PLACES), self.chance.randint(1, 3)
            variables |= crashing(place, pause=self.chance.random() < PAUSED, nth=nth)
        child = self.system.worker(app=self.app, **variables)
        return _Worker(child=child, born_at=time.monotonic(), is_doomed=is_doomed)

    def _bury(self) -> None:
        for worker in [one for one in self.workers if not one.child.is_running]:
            self.workers.remove(worker)
            if worker.child.exit_code == -signal.SIGKILL:
                self.died["at a place"] += 1
            else:
                self.last_words.append(_last_words(worker.child))

    def _note_births(self) -> None:
        for worker in self.workers:
            if not worker.is_up and self.system.owner(worker.child) is not None:
                worker.is_up, worker.born_at = True, time.monotonic()

    def _thaw(self) -> None:
        now = time.monotonic()
        for worker in self.workers:
            if worker.frozen_at is None and self.system.is_frozen(worker.child):
                worker.frozen_at = now
                self.died["frozen"] += 1
            elif worker.frozen_at is not None and now - worker.frozen_at > FROZEN:
                worker.child.send(signal.SIGCONT)
                worker.frozen_at = None

    def _strike(self) -> None:
        """Kill or freeze one that has work in its hands."""
        now = time.monotonic()
        ripe = [one for one in self.workers if one.is_up and one.age(now) > one.lives]
        if not ripe:
            return
        self._last_kill = now
        worker = self.chance.choice(ripe)
        if self.chance.random() < PAUSED:
            worker.child.send(signal.SIGSTOP)
            return
        worker.child.kill()
        self.workers.remove(worker)
        self.died["killed"] += 1


def _last_words(child: Child) -> str:
    lines = child.program.log.read_text(errors="replace").split("\n")
    said = [line for line in lines if line.strip()]
    return f"exit code {child.exit_code}: {said[-1] if said else 'without a word'}"
