"""Reads one sender's inbound messages from Twilio's log, and applies what nobody has told us of.

The puller does it again and again, and the scrub once more before a campaign.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from sender.domain.intake import (
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
from sender.errors import ProviderUnavailable
from sender.hearing import Hearing
from sender.storage import inbound, pools, pulls
from sender.storage.database import AsyncDatabase
from sender.storage.pulls import DueSender

log = structlog.get_logger(__name__)

#: A webhook that did not come within this will not come.
LATE = timedelta(minutes=1)


class ProviderLog(Protocol):
    """Twilio's log of messages."""

    def pages_since(
        self, since: datetime, *, to: str | None = None
    ) -> AsyncIterator[list[MessageRecord]]:
        """Messages to a number, by the page; raises ``ProviderUnavailable``."""

    async def service(self, sid: str) -> ServiceRecord | None:
        """A Messaging Service, ``None`` if there is none; raises ``ProviderUnavailable``."""


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What a reading came to."""

    #: Why the log cannot show what people text to the sender.
    blind: Blind | None
    #: People who opted out, and whom this sender would have texted.
    newly_out: int = 0


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
        asked_at = await self.db.run(pulls.now)
        if sender.is_service:
            heard = Heard(blind=await self._members(provider, sender))
        else:
            heard = await self._texts(provider, sender, asked_at)
        await self.db.run(
            pulls.pulled,
            sender.id,
            upto=asked_at - self.settles,
            blind=heard.blind,
            every=self.rhythm.pull_every,
            settles=self.settles,
        )
        return heard

    async def _members(self, provider: ProviderLog, sender: DueSender) -> Blind | None:
        """A service's inbound messages are its numbers', which are read as senders themselves."""
        service = await provider.service(sender.address)
        if service is not None:
            await self.db.run(
                pools.enter_members,
                tenant_id=sender.tenant_id,
                service_id=sender.id,
                numbers=service.numbers,
            )
        return blind_service(service)

    async def _texts(self, provider: ProviderLog, sender: DueSender, now: datetime) -> Heard:
        """Apply what nobody has told us of yet.

        Where the log breaks off, what it showed before is applied all the same.
        """
        since = read_since(
            watermark=sender.watermark, campaign=sender.campaign, gap=sender.gap, at=now
        )
        new: list[MessageRecord] = []
        heard = sender.heard
        try:
            async for page in provider.pages_since(since, to=sender.address):
                records = [record for record in page if record.inbound]
                known = await self.db.run(inbound.known, [record.sid for record in records])
                new += [record for record in records if record.sid not in known]
                heard = heard or bool(records)
        except ProviderUnavailable:
            await self.hearing.hear(new)
            raise
        newly_out = await self._apply(sender, new, now) if new else 0
        return Heard(blind=blind_number(SenderKind(sender.kind), heard=heard), newly_out=newly_out)

    async def _apply(self, sender: DueSender, new: Sequence[MessageRecord], now: datetime) -> int:
        people = people_of(record.from_ or "" for record in new)
        before = await self.db.run(may_be_texted, sender.tenant_id, [sender.id], people)
        opt_outs = await self.hearing.hear(new)
        after = await self.db.run(may_be_texted, sender.tenant_id, [sender.id], before)
        log.info("inbound_pulled", sender=sender.id, messages=len(new), opt_outs=len(opt_outs))
        late = [one for one in new if one.date_created < now - LATE]
        if late and sender.watermark and self.rhythm.mode is IntakeMode.BOTH:
            log.warning("webhooks_missed", sender=sender.id, messages=len(late))
        return len(before) - len(after)
