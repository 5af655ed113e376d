"""The puller: reads from Twilio's log what people texted to our senders, and applies it.

What a webhook brought already is left alone; what none brought goes the same way as if one came
now. A sender's watermark moves only over what was applied and committed. Gaps end here.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

import structlog

from sender.domain.intake import CLOCKS_AGREE, LOG_SETTLES, IntakeMode, Rhythm, Source
from sender.errors import ConfigurationError, ProviderUnavailable, SenderError
from sender.hearing import Hearing
from sender.heartbeat import report
from sender.log_reading import LogReading, ProviderLog, Reading
from sender.storage import intake, pulls
from sender.storage.database import AsyncDatabase, DatabaseError, Transaction, is_passing, told
from sender.storage.intake import Gap
from sender.storage.pulls import DueSender

log = structlog.get_logger(__name__)

#: Senders read in one round, one after the other for each tenant.
AT_A_TIME = 500
#: Tenants whose logs are read at the same time.
TENANTS_AT_A_TIME = 4
#: How long a round goes on, but for the page it is at: gaps are ended, and signs of life given,
#: between rounds. Where a log is longer, the next round reads on.
ROUND_FOR = timedelta(seconds=20)


class ProviderLogs(Protocol):
    """Each tenant's log."""

    async def of(self, tenant_id: int) -> ProviderLog:
        """The tenant's log; ``ConfigurationError`` where it cannot sign in."""


@dataclass(frozen=True, kw_only=True)
class Puller:
    """Reads what is due, in whichever consumer has the turn."""

    db: AsyncDatabase
    providers: ProviderLogs
    hearing: Hearing
    rhythm: Rhythm
    #: How long Twilio's log needs to be complete.
    settles: timedelta = LOG_SETTLES
    clock: Callable[[], float] = time.monotonic
    _half_read: dict[int, Reading] = field(default_factory=dict)

    @property
    def reading(self) -> LogReading:
        """How one sender is read."""
        return LogReading(
            db=self.db, hearing=self.hearing, rhythm=self.rhythm, settles=self.settles
        )

    async def round(self) -> int:
        """Read the senders that are due, and end the gaps that were read past; how many were read.

        Twilio's errors are kept with the sender and it is asked again later; its hold stays.

        Raises:
            DatabaseError: what was not committed is read again.
        """
        read = await self._pull() if await self.db.run(pulls.due, limit=1) else 0
        if read is None:
            return 0
        for gap in await self.db.run(self._after_round):
            report(gap)
        if ended := await self.db.run(intake.close_gaps):
            log.info("intake_gap_ended", senders=ended)
        return read

    def _after_round(self, tx: Transaction) -> list[Gap]:
        """Where pulls are the only source: the sign of life, and whom it does not stand for."""
        if self.rhythm.mode is not IntakeMode.PULL:
            return []
        good_for = self.rhythm.sources[Source.PULL]
        gaps = [intake.beat(tx, Source.PULL, good_for), *intake.hold_failing(tx, good_for)]
        return [gap for gap in gaps if gap is not None]

    async def _pull(self) -> int | None:
        """Read for a while; ``None`` where another consumer has the turn, alive or not."""
        give_up_at = self.clock() + ROUND_FOR.total_seconds()
        async with self.db.session() as session:
            if not await session.run(pulls.take_turn):
                return None
            by_tenant: dict[int, list[DueSender]] = {}  # who waits longest comes first
            for one in await self.db.run(pulls.due, limit=AT_A_TIME):
                by_tenant.setdefault(one.tenant_id, []).append(one)
            few = asyncio.Semaphore(TENANTS_AT_A_TIME)
            reading = [self._tenant(some, few, give_up_at) for some in by_tenant.values()]
            results = await asyncio.gather(*reading, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return sum(one for one in results if isinstance(one, int))

    async def _tenant(
        self, senders: Sequence[DueSender], few: asyncio.Semaphore, give_up_at: float
    ) -> int:
        """Read a tenant's senders; how many were read. A failure of one is put off by itself.

        Where Twilio could not be asked, those that are left are put off, too.
        """
        read = 0
        async with few:
            for number, sender in enumerate(senders):
                if self.clock() > give_up_at:
                    break
                try:
                    provider = await self.providers.of(sender.tenant_id)
                    read += await self._read(provider, sender, give_up_at)
                except Exception as exc:
                    if isinstance(exc, DatabaseError) and is_passing(exc):
                        raise
                    # Only our own errors' texts: another's may quote what a person wrote.
                    why = str(exc) if isinstance(exc, SenderError) else told(exc)
                    log.warning("pull_failed", tenant=sender.tenant_id, error=why)
                    unasked = isinstance(exc, ProviderUnavailable | ConfigurationError)
                    left = senders[number + 1 :] if unasked else ()
                    # Itself last: then the others' turn comes first, should it fail for ever.
                    await self.db.run(pulls.failed, [one.id for one in (*left, sender)], why)
                    if unasked:
                        break
        return read

    async def _read(self, provider: ProviderLog, sender: DueSender, give_up_at: float) -> bool:
        """Read one, or read on where the last round stopped; whether that was to its end."""
        if sender.is_service:
            await self.reading.read_service(provider, sender)
            return True
        reading = self._half_read.pop(sender.id, None)
        if reading is None:
            reading = await self.reading.begin(provider, sender)
            if abs(reading.clocks.ahead) > CLOCKS_AGREE:
                seconds = round(reading.clocks.ahead.total_seconds())
                log.warning("clocks_differ", sender=sender.id, postgres_ahead_by=seconds)
        try:
            if not await self.reading.go_on(reading, give_up=lambda: self.clock() > give_up_at):
                await self.db.run(pulls.unfinished, sender.id)
                self._half_read[sender.id] = reading
        finally:
            if sender.id not in self._half_read:
                await reading.close()
        return sender.id not in self._half_read
