"""Reads one sender's inbound messages from Twilio's log, and applies what nobody has told us of.

The puller does it again and again, and the scrub once more before a campaign.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from sender.clocks import Clock, Clocks, read_clocks
from sender.domain.intake import (
    LATE,
    LOG_SETTLES,
    Blind,
    IntakeMode,
    Rhythm,
    blind_number,
    blind_service,
    read_since,
)
from sender.domain.phone import SenderKind
from sender.domain.provider import MessageRecord, ServiceRecord
from sender.drift import may_be_texted, people_of
from sender.hearing import Hearing
from sender.storage import inbound, pools, pulls
from sender.storage.database import AsyncDatabase, DatabaseError, is_passing
from sender.storage.pulls import DueSender

log = structlog.get_logger(__name__)


class ProviderLog(Clock, Protocol):
    """Twilio's log of messages."""

    def pages_since(
        self, since: datetime, *, to: str | None = None
    ) -> AsyncGenerator[list[MessageRecord]]:
        """Messages to a number, by the page, the latest first; raises ``ProviderUnavailable``.

        A page of which all are older is empty.
        """

    async def service(self, sid: str) -> ServiceRecord | None:
        """A Messaging Service, ``None`` if there is none; raises ``ProviderUnavailable``."""


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What a reading came to."""

    #: Why the log cannot show what people text to the sender.
    blind: Blind | None
    #: People who opted out, and whom this sender would have texted.
    newly_out: int = 0


@dataclass(kw_only=True)
class Reading:
    """One number's log, half read: what was shown is applied, and the rest is still to come."""

    sender: DueSender
    #: When that began.
    clocks: Clocks
    pages: AsyncGenerator[list[MessageRecord]]
    #: Whether an inbound message to it was ever seen.
    heard: bool
    newly_out: int = 0
    #: Once it was read to its end.
    blind: Blind | None = None
    #: Why a message could not be applied; those after it were.
    failure: Exception | None = None

    async def close(self) -> None:
        """Read no more of it; whoever reads it next begins anew."""
        await self.pages.aclose()


@dataclass(frozen=True, kw_only=True)
class LogReading:
    """Reads up to now, but for what may not be in the log yet; the watermark says so."""

    db: AsyncDatabase
    hearing: Hearing
    rhythm: Rhythm
    #: How long Twilio's log needs to be complete.
    settles: timedelta = LOG_SETTLES

    async def read(self, provider: ProviderLog, sender: DueSender) -> Heard:
        """Read one sender. Its watermark moves once all is applied and committed.

        Raises:
            ProviderUnavailable: Twilio could not be asked.
            DatabaseError: what was not committed is read again.
        """
        if sender.is_service:
            return await self.read_service(provider, sender)
        reading = await self.begin(provider, sender)
        async with aclosing(reading.pages):
            await self.go_on(reading)
        return Heard(blind=reading.blind, newly_out=reading.newly_out)

    async def read_service(self, provider: ProviderLog, sender: DueSender) -> Heard:
        """A service's inbound messages are its numbers', which are read as senders themselves.

        Raises:
            ProviderUnavailable: Twilio could not be asked.
            DatabaseError: it is asked again.
        """
        asked_at = await self.db.run(pulls.now)
        service = await provider.service(sender.address)
        blind = blind_service(service)
        await self.db.run(
            pools.enter_members,
            tenant_id=sender.tenant_id,
            service_id=sender.id,
            numbers=service.numbers if service else (),
            receives=service is None or service.receives,
        )
        await self._pulled(sender, asked_at, blind)
        return Heard(blind=blind)

    async def begin(self, provider: ProviderLog, sender: DueSender) -> Reading:
        """Look where to read a number's log from; `go_on` reads it.

        Raises:
            ProviderUnavailable: Twilio could not be asked.
            DatabaseError: nor could Postgres.
        """
        clocks = await read_clocks(self.db, provider)
        since = read_since(
            watermark=sender.watermark, campaign=sender.campaign, gap=sender.gap, at=clocks.now
        )
        return Reading(
            sender=sender,
            clocks=clocks,
            pages=provider.pages_since(clocks.at_provider(since), to=sender.address),
            heard=sender.heard,
        )

    async def go_on(self, reading: Reading, *, give_up: Callable[[], bool] = bool) -> bool:
        """Apply what nobody has told us of yet, by the page; whether that was all.

        Where the log breaks off, what it showed before is applied all the same. The latest come
        first: between two pages a STOP and its START may be heard in the wrong order, until the
        provider's times of both are known, the STOP counts.

        Args:
            reading: what `begin` returned.
            give_up: whether to stop here; asked after each page.

        Raises:
            ProviderUnavailable: Twilio could not be asked; begin anew.
            DatabaseError: what was not committed is read again.
            Exception: a message could not be applied; all others were.
        """
        async for page in reading.pages:
            if not page:  # what follows is older still
                break
            records = [record for record in page if record.inbound]
            known = await self.db.run(inbound.known, [record.sid for record in records])
            new = [record for record in records if record.sid not in known]
            reading.heard = reading.heard or bool(records)
            if new:
                await self._hear(reading, new)
            if give_up():
                return False
        if reading.failure is not None:
            raise reading.failure
        sender = reading.sender
        reading.blind = blind_number(
            SenderKind(sender.kind), heard=reading.heard, dropped=sender.dropped
        )
        await self._pulled(sender, reading.clocks.now, reading.blind)
        return True

    async def _pulled(self, sender: DueSender, asked_at: datetime, blind: Blind | None) -> None:
        await self.db.run(
            pulls.pulled,
            sender.id,
            upto=asked_at - self.settles,
            blind=blind,
            every=self.rhythm.pull_every,
            settles=self.settles,
        )

    async def _hear(self, reading: Reading, new: Sequence[MessageRecord]) -> None:
        try:
            reading.newly_out += await self._apply(reading, new)
        except Exception as exc:
            if isinstance(exc, DatabaseError) and is_passing(exc):
                raise
            reading.failure = reading.failure or exc

    async def _apply(self, reading: Reading, new: Sequence[MessageRecord]) -> int:
        sender, now = reading.sender, reading.clocks.now
        people = people_of(record.from_ or "" for record in new)
        before = await self.db.run(may_be_texted, sender.tenant_id, [sender.id], people)
        opt_outs = await self.hearing.hear(new)
        after = await self.db.run(may_be_texted, sender.tenant_id, [sender.id], before)
        log.info("inbound_pulled", sender=sender.id, messages=len(new), opt_outs=len(opt_outs))
        late = [one for one in new if one.date_created < reading.clocks.at_provider(now) - LATE]
        if late and sender.watermark and self.rhythm.mode is IntakeMode.BOTH:
            log.warning("webhooks_missed", sender=sender.id, messages=len(late))
        return len(before) - len(after)
