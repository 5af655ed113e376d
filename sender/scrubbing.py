"""The scrub before a campaign: what Twilio knows of opt-outs and we do not takes force first.

A campaign waits for it by a hold. Nothing of it is begun before everything that Twilio told since
the campaign was enqueued is committed: campaigns that wait together share one reading.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Coroutine, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol

import structlog

from sender.domain.provider import MessageRecord, Refusals
from sender.domain.scrub import (
    ALERTS_OVERLAP,
    FAILURES_OVERLAP,
    ScrubSource,
    blocks_since,
    retry_after,
)
from sender.errors import ProviderRefused, SenderError
from sender.log_reading import LogReading, ProviderLog
from sender.lost_blocks import LostBlocks
from sender.storage import alerts, pulls, scrubs
from sender.storage.alerts import AlertKind
from sender.storage.database import AsyncDatabase, DatabaseError, Transaction, told
from sender.storage.scrubs import Waiting

log = structlog.get_logger(__name__)

#: Campaigns taken in one round.
AT_A_TIME = 500
#: How long a scrub is its consumer's: as long later another one takes it from a lost one.
LEASE = timedelta(minutes=1)
#: Between two tries while Postgres is away.
AGAIN_AFTER = timedelta(seconds=1)
#: Readings at the same time, and those of one tenant: the consumer's connections to Postgres have
#: STOPs to enforce, and no tenant's long log keeps all others waiting.
READINGS_AT_A_TIME, OF_A_TENANT = 6, 3
#: Messages of a number that are read at most, the newest: Twilio cannot be asked for failed ones
#: alone, and takes most of a second for a thousand.
MOST_MESSAGES = 20_000


class BlockLog(Protocol):
    """What Twilio keeps of people whom it did not text because they have opted out."""

    def messages_from(self, sender: str) -> AsyncGenerator[list[MessageRecord]]:
        """What was sent from a number or name, by the page, newest first."""

    async def refusals(self, since: datetime) -> Refusals:
        """The account's requests that were refused because of an opt-out."""


class ProviderLogs(Protocol):
    """Each tenant's logs; ``ConfigurationError`` where it cannot sign in."""

    async def of(self, tenant_id: int) -> ProviderLog:
        """Its messages."""

    async def blocks(self, tenant_id: int) -> BlockLog:
        """Its blocks."""


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What one or more readings came to."""

    #: People who were not known to have opted out, by source.
    drift: Mapping[str, int] = field(default_factory=dict)
    #: What could not be seen.
    unseen: tuple[str, ...] = ()


def _together(found: Iterable[_Found]) -> _Found:
    drift: Counter[str] = Counter({source.value: 0 for source in ScrubSource})
    unseen: dict[str, None] = {}
    for one in found:
        drift.update(one.drift)
        unseen |= dict.fromkeys(one.unseen)
    return _Found(drift=dict(drift), unseen=tuple(unseen))


@dataclass(frozen=True, kw_only=True)
class Scrubber:
    """Scrubs for the campaigns that wait, each tenant's by itself."""

    db: AsyncDatabase
    providers: ProviderLogs
    reading: LogReading
    lost_blocks: LostBlocks
    #: How long Twilio may be away before a campaign is held as one whose scrub has failed.
    patience: timedelta
    most_messages: int = MOST_MESSAGES
    _under_way: dict[int, asyncio.Task[None]] = field(default_factory=dict)
    _room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(READINGS_AT_A_TIME))

    async def round(self) -> int:
        """Begin the scrubs that are due; how many campaigns wait for them. Does not wait itself.

        Raises:
            DatabaseError: they could not be asked for.
        """
        busy = list(self._under_way)
        found = await self.db.run(scrubs.claim, lease=LEASE, limit=AT_A_TIME, busy=busy)
        by_tenant: dict[int, list[Waiting]] = {}
        for one in found:
            by_tenant.setdefault(one.tenant_id, []).append(one)
        for tenant_id, waiting in by_tenant.items():
            task = asyncio.create_task(self._tenant(tenant_id, waiting))
            self._under_way[tenant_id] = task
            task.add_done_callback(partial(self._done, tenant_id))
        return len(found)

    def _done(self, tenant_id: int, _task: asyncio.Task[None]) -> None:
        del self._under_way[tenant_id]

    async def finish(self) -> None:
        """Wait for the scrubs under way."""
        await asyncio.gather(*self._under_way.values())

    async def close(self) -> None:
        """Break off; whoever lives does them again."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _tenant(self, tenant_id: int, waiting: Sequence[Waiting]) -> None:
        """Scrub for all that wait, or put them off, through a short absence of Postgres.

        After a longer one they are due again, for whoever lives, as soon as their lease is over.
        """
        give_up_at = time.monotonic() + LEASE.total_seconds() / 2
        while time.monotonic() < give_up_at:
            try:
                await self._try(tenant_id, waiting)
            except DatabaseError as exc:
                log.warning("scrub_not_kept", tenant=tenant_id, error=told(exc))
                await asyncio.sleep(AGAIN_AFTER.total_seconds())
            else:
                return

    async def _try(self, tenant_id: int, waiting: Sequence[Waiting]) -> None:
        try:
            await self._scrub(tenant_id, waiting)
        except DatabaseError:
            raise
        except Exception as exc:  # noqa: BLE001  # whatever it is, they wait, and somebody is told
            # Only our own errors' texts: another's may quote what a person wrote.
            why = str(exc) if isinstance(exc, SenderError) else type(exc).__name__
            await self._put_off(waiting, why)

    async def _scrub(self, tenant_id: int, waiting: Sequence[Waiting]) -> None:
        by_sender: dict[int, list[Waiting]] = {}
        for one in waiting:
            by_sender.setdefault(one.sender_id, []).append(one)
        provider = await self.providers.of(tenant_id)
        blocks = await self.providers.blocks(tenant_id)
        few = asyncio.Semaphore(OF_A_TENANT)
        refused, *found = await _all(
            self._refusals(blocks, tenant_id, list(by_sender), few),
            *(self._sender(provider, blocks, ones[0], few) for ones in by_sender.values()),
        )
        for ones, heard in zip(by_sender.values(), found, strict=True):
            both = _together([refused, heard])
            ids = [each.campaign_id for each in ones]
            unseen = "; ".join(both.unseen)
            await self.db.run(scrubs.end, ids, drift=both.drift, unseen=unseen)
            tell = log.warning if any(both.drift.values()) else log.info
            tell("scrubbed", campaigns=ids, unknown=both.drift, unseen=unseen)

    async def _put_off(self, waiting: Sequence[Waiting], why: str) -> None:
        log.warning("scrub_put_off", campaigns=[one.campaign_id for one in waiting], error=why)
        for one in waiting:
            if await self.db.run(self._try_later, one, why):
                log.error("scrub_failed", campaign=one.campaign_id, error=why)

    def _try_later(self, tx: Transaction, one: Waiting, why: str) -> bool:
        gives_up = one.waited >= self.patience
        rest = retry_after(one.tries)
        held = scrubs.put_off(tx, one.campaign_id, why=why, rest=rest, gives_up=gives_up)
        if held:
            about = {"tenant_id": one.tenant_id, "campaign_id": one.campaign_id}
            alerts.raise_alert(tx, AlertKind.SCRUB_FAILED, **about, detail={"why": why}, once=True)
        return held

    async def _sender(
        self, provider: ProviderLog, blocks: BlockLog, campaign: Waiting, few: asyncio.Semaphore
    ) -> _Found:
        """What the message log tells of a campaign's sender: of each number, if it is a service."""
        behind = await self.db.run(pulls.behind, campaign.sender_id)
        heard: list[_Found] = []
        if behind and behind[0].is_service:  # by which its numbers become known
            heard.append(await self._inbound(provider, behind[0], few))
            behind = (await self.db.run(pulls.behind, campaign.sender_id))[1:]
        for_inbound = [self._inbound(provider, number, few) for number in behind]
        addresses = [(number.id, number.address) for number in behind]
        if not behind and not heard:  # a name: it has no inbound messages
            addresses = [(campaign.sender_id, campaign.sender)]
            heard.append(_Found(unseen=(f"nobody can reply to {campaign.sender}",)))
        for_failed = [
            self._failures(blocks, campaign.tenant_id, id_, address, few)
            for id_, address in addresses
        ]
        return _together([*heard, *await _all(*for_inbound, *for_failed)])

    async def _inbound(
        self, provider: ProviderLog, sender: pulls.DueSender, few: asyncio.Semaphore
    ) -> _Found:
        async with few, self._room:
            heard = await self.reading.read(provider, sender)
        unseen = (f"texts to {sender.address} ({heard.blind})",) if heard.blind else ()
        return _Found(drift={ScrubSource.INBOUND: heard.newly_out}, unseen=unseen)

    async def _failures(
        self, log_: BlockLog, tenant_id: int, sender_id: int, address: str, few: asyncio.Semaphore
    ) -> _Found:
        """Apply the blocks among a number's messages since it was last read."""
        asked_at = await self.db.run(pulls.now)
        upto = await self.db.run(scrubs.blocks_upto, sender_id)
        since = blocks_since(upto, at=asked_at, overlap=FAILURES_OVERLAP)
        newly_out = read = 0
        unseen: tuple[str, ...] = ()
        async with few, self._room, aclosing(log_.messages_from(address)) as pages:
            async for page in pages:
                new = [record for record in page if record.date_created >= since]
                newly_out += await self.lost_blocks.failed(tenant_id, sender_id, new)
                read += len(page)
                if not new:
                    break
                if read >= self.most_messages:
                    oldest = min(record.date_created for record in page)
                    unseen = (f"failures of {address} before {oldest:%Y-%m-%d %H:%M}Z",)
                    break
        await self.db.run(scrubs.blocks_read, sender_id, asked_at)
        return _Found(drift={ScrubSource.FAILURES: newly_out}, unseen=unseen)

    async def _refusals(
        self, log_: BlockLog, tenant_id: int, sender_ids: Sequence[int], few: asyncio.Semaphore
    ) -> _Found:
        """Apply the account's refused requests since they were last read.

        A key that may not read alerts holds nobody: nothing else needs them.
        """
        asked_at = await self.db.run(pulls.now)
        upto = await self.db.run(scrubs.alerts_upto, tenant_id)
        since = blocks_since(upto, at=asked_at, overlap=ALERTS_OVERLAP)
        async with few, self._room:
            try:
                found = await log_.refusals(since)
            except ProviderRefused as exc:
                return _Found(unseen=(f"alerts: {exc}",))
            newly_out = await self.lost_blocks.refused(tenant_id, sender_ids, found.requests)
        await self.db.run(scrubs.alerts_read, tenant_id, asked_at)
        unseen: tuple[str, ...] = (f"{found.left_out} alerts",) if found.left_out else ()
        if not found.whole:
            unseen += ("older alerts",)
        return _Found(drift={ScrubSource.ALERTS: newly_out}, unseen=unseen)


async def _all(*readings: Coroutine[Any, Any, _Found]) -> list[_Found]:
    """What all of them found, once none is under way; raises what one of them did."""
    results = await asyncio.gather(*readings, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [one for one in results if isinstance(one, _Found)]
