"""Postgres's clock, by which watermarks are, beside Twilio's, by which its log is."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from sender.storage import pulls
from sender.storage.database import AsyncDatabase


class Clock(Protocol):
    """Twilio's clock."""

    async def clock_offset(self) -> timedelta | None:
        """It, minus ours, if it tells; raises ``ProviderUnavailable``."""


@dataclass(frozen=True, kw_only=True)
class Clocks:
    """Both at one moment."""

    #: Postgres's.
    now: datetime
    #: How far it is ahead of Twilio's; negative: behind it.
    ahead: timedelta

    def at_provider(self, moment: datetime) -> datetime:
        """A moment by Postgres's clock, or one before it, by Twilio's.

        With Postgres an hour ahead, what came in since a mark looks an hour older than the mark.
        Where Postgres is behind it stays as it is: reading too much costs a page.
        """
        return moment - max(self.ahead, timedelta())


async def read_clocks(db: AsyncDatabase, provider: Clock) -> Clocks:
    """Look at both.

    Raises:
        ProviderUnavailable: Twilio could not be asked.
        DatabaseError: nor could Postgres.
    """
    offset = await provider.clock_offset()
    now = await db.run(pulls.now)
    return Clocks(now=now, ahead=now - datetime.now(UTC) - (offset or timedelta()))
