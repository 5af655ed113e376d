"""Signs of life of what brings STOPs in, and an alert where they stayed away."""

from dataclasses import dataclass

import structlog

from sender.domain.intake import LOG_SETTLES, Rhythm, Source
from sender.storage import intake
from sender.storage.database import AsyncDatabase, Database, Transaction
from sender.storage.intake import Gap

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Heartbeat:
    """One source's signs of life; each is a write to Postgres, and means that it could store."""

    db: AsyncDatabase
    source: Source
    rhythm: Rhythm

    @property
    def is_demanded(self) -> bool:
        """Whether anybody waits for them."""
        return self.source in self.rhythm.sources

    async def beat(self) -> int:
        """Give one, and look for others that are silent; how many senders wait for a gap's end."""
        gaps, waiting = await self.db.run(self._beat)
        for gap in gaps:
            report(gap)
        return waiting

    def _beat(self, tx: Transaction) -> tuple[list[Gap], int]:
        found = [intake.beat(tx, self.source, self.rhythm.sources[self.source])]
        found.append(intake.notice(tx))
        return [gap for gap in found if gap is not None], intake.senders_in_gap(tx)

    async def start(self) -> None:
        """Say that a source starts: what it missed before is read as soon as that is in the log."""
        await self.db.run(intake.pull_soon, LOG_SETTLES)


async def demand(db: AsyncDatabase, rhythm: Rhythm) -> None:
    """Say what must live, as each process does when it starts."""
    gap = await db.run(intake.demand, rhythm.sources)
    if gap is not None:
        report(gap)


def notice_silence(db: Database) -> None:
    """Hold everybody while a source is silent, and tell of it once."""
    gap = db.run(intake.notice)
    if gap is not None:
        report(gap)


def report(gap: Gap) -> None:
    """The alert."""
    held = {"since": str(gap.since), "cause": gap.cause, "senders": gap.senders}
    log.critical("intake_gap", **held, see="sender intake show")
