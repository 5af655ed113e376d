"""Worker processes that live and do nothing are replaced: asked to end first, then made to."""

import signal
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

import structlog

from sender.domain.pulse import Bounds, Verdict
from sender.storage.database import DatabaseError, told

log = structlog.get_logger(__name__)

#: Sick at so many looks in a row is sick: a laptop that wakes up, or a Postgres that was
#: restarted, makes every worker look stuck for a moment.
LOOKS = 3


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a worker that does nothing is put up with."""

    #: How long its silence may last.
    bounds: Bounds = field(default_factory=Bounds)
    #: Between two looks at the verdicts.
    look_every: timedelta = timedelta(seconds=5)
    #: For what is in flight to be settled (10 s at most) by a worker that still can.
    grace: timedelta = timedelta(seconds=30)


class Processes(Protocol):
    """Supervised processes; those that end are started again."""

    def send(self, name: str, number: signal.Signals) -> None:
        """Send one a signal."""

    def kill(self, name: str) -> None:
        """End one by SIGKILL."""


class Seen(Protocol):
    """A worker process, as `sender.fleet.Fleet` sees it."""

    @property
    def name(self) -> str:
        """Host and process id."""

    @property
    def verdict(self) -> Verdict:
        """How it is."""


@dataclass
class _Patient:
    """A process that was seen sick."""

    looks: int = 0
    #: When it was asked to end.
    asked_at: float | None = None


class Care:
    """Looks after the worker processes of this machine."""

    def __init__(
        self,
        processes: Processes,
        fleet: Callable[[], Iterable[Seen]],
        patience: Patience,
    ) -> None:
        """Care for ``processes`` by what ``fleet`` says of them.

        Args:
            processes: where they are ended; what ends there is replaced.
            fleet: all workers with their verdicts; may raise `DatabaseError`.
            patience: what to wait for.
        """
        self._processes = processes
        self._fleet = fleet
        self._look_every = patience.look_every.total_seconds()
        self._grace = patience.grace.total_seconds()
        self._looked_at = float("-inf")
        self._patients: dict[int, _Patient] = {}

    def look(self, workers: Mapping[str, int]) -> None:
        """Look at the workers, given by name and process id, if it is time; never waits for one."""
        now = time.monotonic()
        if now - self._looked_at < self._look_every:
            return
        self._looked_at = now
        sick = self._sick()
        self._patients = {
            pid: patient
            for pid, patient in self._patients.items()
            if pid in workers.values() and (pid in sick or patient.asked_at is not None)
        }
        for name, pid in workers.items():
            if pid in sick or pid in self._patients:
                self._treat(name, pid, sick.get(pid))

    def _sick(self) -> dict[int, Verdict]:
        """The sick ones on this host by process id; none where nobody can tell."""
        host = socket.gethostname()
        try:
            found = list(self._fleet())
        except DatabaseError as exc:
            log.warning("workers_not_looked_at", error=told(exc))
            return {}
        names = ((one.name.rpartition(":"), one.verdict) for one in found if one.verdict.is_sick)
        return {int(pid): verdict for (where, _, pid), verdict in names if where == host}

    def _treat(self, name: str, pid: int, verdict: Verdict | None) -> None:
        patient = self._patients.setdefault(pid, _Patient())
        patient.looks += 1
        if patient.asked_at is None:
            if patient.looks >= LOOKS:
                log.warning("worker_is_replaced", worker=name, pid=pid, verdict=verdict)
                patient.asked_at = time.monotonic()
                self._processes.send(name, signal.SIGTERM)
        elif time.monotonic() - patient.asked_at >= self._grace:
            log.warning("worker_is_killed", worker=name, pid=pid, verdict=verdict)
            self._processes.kill(name)
