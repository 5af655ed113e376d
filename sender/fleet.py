"""The worker processes there are, and how each of them is: for operators and supervisors."""

from dataclasses import dataclass, field
from datetime import datetime

from sender.domain.pulse import Bounds, Signs, Verdict, judge
from sender.storage import workers
from sender.storage.database import Database
from sender.storage.workers import Listed


@dataclass(frozen=True, kw_only=True)
class Worker:
    """One worker process."""

    id: int
    #: Its host and process id: ``HOST:PID``.
    name: str
    verdict: Verdict
    #: How many slices it works on at a time.
    slices: int
    version: str
    started_at: datetime
    signs: Signs

    @property
    def host(self) -> str:
        """The host it runs on; a container is one."""
        return self.name.rpartition(":")[0]


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """All worker processes of a database."""

    db: Database
    bounds: Bounds = field(default_factory=Bounds)

    def workers(self) -> list[Worker]:
        """Those that live, and those that ended and were not swept up yet."""
        return [self._worker(row) for row in self.db.run(workers.listed)]

    def named(self, name: str) -> list[Worker]:
        """The workers of this name, ``HOST:PID``, or on the host of this name.

        Of a host's workers those that have ended are left out: others came in their place.
        """
        every = self.workers()
        exact = [one for one in every if one.name == name]
        return exact or [one for one in every if one.host == name and one.signs.lives]

    def _worker(self, row: Listed) -> Worker:
        return Worker(
            id=row.id,
            name=row.name,
            verdict=judge(row.signs, self.bounds),
            slices=row.slices,
            version=row.version,
            started_at=row.started_at,
            signs=row.signs,
        )
