"""The scrub before a campaign: what Twilio knows of opt-outs and we do not takes force first.

A campaign waits for it by a hold. Nothing of it is begun before everything that Twilio told since
the campaign was enqueued is committed: campaigns that wait together share one reading.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import structlog

from sender.block_reading import Account, BlockLog, BlockReading, Covered
from sender.domain.intake import OVERLAP, blind_number
from sender.domain.phone import SenderKind
from sender.domain.scrub import GOOD_FOR, Found, ScrubSource, retry_after, together
from sender.errors import SenderError
from sender.log_reading import LogReading, ProviderLog
from sender.storage import alerts, pulls, scrubs
from sender.storage.alerts import AlertKind
from sender.storage.database import AsyncDatabase, DatabaseError, Transaction, told
from sender.storage.pulls import DueSender
from sender.storage.scrubs import Waiting

log = structlog.get_logger(__name__)

Result = TypeVar("Result")

#: Campaigns taken in one round.
AT_A_TIME = 500
#: How long a scrub is its consumer's: as long later another one takes it from a lost one.
LEASE = timedelta(minutes=1)
#: Between two tries while Postgres is away.
AGAIN_AFTER = timedelta(seconds=1)
#: Readings at the same time, and those of one tenant: the consumer's connections to Postgres have
#: STOPs to enforce, and no tenant's long log keeps all others waiting.
READINGS_AT_A_TIME, OF_A_TENANT = 6, 3


class ProviderLogs(Protocol):
    """Each tenant's logs; ``ConfigurationError`` where it cannot sign in."""

    async def of(self, tenant_id: int) -> ProviderLog:
        """Its messages."""

    async def blocks(self, tenant_id: int) -> BlockLog:
        """Its blocks."""


@dataclass(kw_only=True)
class _Shared(Generic[Result]):
    """A reading that several wait for; where it failed, it failed for all of them."""

    begin: Callable[[], Awaitable[Result]]
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _result: Result | None = None
    _failure: Exception | None = None

    async def result(self) -> Result:
        """What it came to; the first to ask reads, and again where Postgres was away."""
        async with self._turn:
            if self._failure is not None:
                raise self._failure
            if self._result is None:
                self._result = await self._read()
            return self._result

    async def _read(self) -> Result:
        try:
            return await self.begin()
        except DatabaseError:
            raise
        except Exception as exc:
            self._failure = exc
            raise


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """A tenant's account, asked for all of its campaigns that wait together."""

    provider: ProviderLog
    account: Account
    covered: _Shared[Covered]
    refusals: _Shared[Found]
    #: As many readings of the tenant at a time.
    few: asyncio.Semaphore


@dataclass(frozen=True, kw_only=True)
class Scrubber:
    """Scrubs for the campaigns that wait, each tenant's by itself."""

    db: AsyncDatabase
    providers: ProviderLogs
    reading: LogReading
    blocks: BlockReading
    #: How long Twilio may be away before a campaign is held as one whose scrub has failed.
    patience: timedelta
    #: The campaigns that are scrubbed for, by sender.
    _busy: dict[int, Sequence[Waiting]] = field(default_factory=dict)
    _under_way: set[asyncio.Task[None]] = field(default_factory=set)
    _room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(READINGS_AT_A_TIME))
    _few: defaultdict[int, asyncio.Semaphore] = field(
        default_factory=lambda: defaultdict(lambda: asyncio.Semaphore(OF_A_TENANT))
    )

    async def round(self) -> int:
        """Begin the scrubs that are due; how many campaigns wait for them. Does not wait itself.

        Each sender's end by themselves: another's long log, or its failure, holds up nobody else's.

        Raises:
            DatabaseError: they could not be asked for.
        """
        found = await self.db.run(scrubs.claim, lease=LEASE, limit=AT_A_TIME, busy=list(self._busy))
        by_tenant: defaultdict[int, defaultdict[int, list[Waiting]]]
        by_tenant = defaultdict(lambda: defaultdict(list))
        for one in found:
            by_tenant[one.tenant_id][one.sender_id].append(one)
        for tenant_id, by_sender in by_tenant.items():
            asked = _Shared(begin=partial(self._ask, tenant_id, list(by_sender)))
            for sender_id, waiting in by_sender.items():
                task = asyncio.create_task(self._sender(asked, waiting))
                self._busy[sender_id] = waiting
                self._under_way.add(task)
                task.add_done_callback(partial(self._done, sender_id))
        return len(found)

    def _done(self, sender_id: int, task: asyncio.Task[None]) -> None:
        del self._busy[sender_id]
        self._under_way.discard(task)

    async def again(self) -> int:
        """Have campaigns scrubbed again that are held for long; how many.

        Raises:
            DatabaseError: they could not be asked for.
        """
        return await self.db.run(scrubs.ask_of_held, older_than=GOOD_FOR)

    async def finish(self) -> None:
        """Wait for the scrubs under way."""
        await asyncio.gather(*self._under_way)

    async def close(self) -> None:
        """Break off; whoever lives does them again at once."""
        tasks, begun = list(self._under_way), [one for ones in self._busy.values() for one in ones]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if begun:
            try:
                await self.db.run(scrubs.give_back, begun)
            except DatabaseError as exc:  # then once their lease is over
                log.warning("scrubs_not_given_back", error=told(exc))

    async def _sender(self, asked: _Shared[_Asked], waiting: Sequence[Waiting]) -> None:
        """Scrub for a sender's campaigns, or put them off, through a short absence of Postgres.

        After a longer one they are due again, for whoever lives, as soon as their lease is over.
        """
        give_up_at = time.monotonic() + LEASE.total_seconds() / 2
        while time.monotonic() < give_up_at:
            try:
                await self._try(asked, waiting)
            except DatabaseError as exc:
                log.warning("scrub_not_kept", sender=waiting[0].sender_id, error=told(exc))
                await asyncio.sleep(AGAIN_AFTER.total_seconds())
            else:
                return

    async def _try(self, asked: _Shared[_Asked], waiting: Sequence[Waiting]) -> None:
        try:
            await self._scrub(await asked.result(), waiting)
        except DatabaseError:
            raise
        except Exception as exc:  # noqa: BLE001  # whatever it is, they wait, and somebody is told
            # Only our own errors' texts: another's may quote what a person wrote.
            why = str(exc) if isinstance(exc, SenderError) else type(exc).__name__
            await self._put_off(waiting, why)

    async def _scrub(self, asked: _Asked, waiting: Sequence[Waiting]) -> None:
        found = together(await _all(asked.refusals.result(), self._messages(asked, waiting[0])))
        ids, unseen = [one.campaign_id for one in waiting], "; ".join(found.unseen)
        await self.db.run(scrubs.end, waiting, drift=found.drift, unseen=unseen)
        tell = log.warning if any(found.drift.values()) else log.info
        tell("scrubbed", campaigns=ids, unknown=found.drift, unseen=unseen)

    async def _put_off(self, waiting: Sequence[Waiting], why: str) -> None:
        log.warning("scrub_put_off", campaigns=[one.campaign_id for one in waiting], error=why)
        for one in waiting:
            if await self.db.run(self._try_later, one, why):
                log.error("scrub_failed", campaign=one.campaign_id, error=why)

    def _try_later(self, tx: Transaction, one: Waiting, why: str) -> bool:
        gives_up = one.waited >= self.patience
        rest = retry_after(one.tries)
        held = scrubs.put_off(tx, one, why=why, rest=rest, gives_up=gives_up)
        if held:
            about = {"tenant_id": one.tenant_id, "campaign_id": one.campaign_id}
            alerts.raise_alert(tx, AlertKind.SCRUB_FAILED, **about, detail={"why": why}, once=True)
        return held

    async def _ask(self, tenant_id: int, sender_ids: Sequence[int]) -> _Asked:
        """Turn to a tenant's account; what all of its campaigns need is read once."""
        provider = await self.providers.of(tenant_id)
        blocks = await self.providers.blocks(tenant_id)
        account = await self.blocks.open(tenant_id, blocks, provider, sender_ids)
        few = self._few[tenant_id]
        return _Asked(
            provider=provider,
            account=account,
            covered=_Shared(begin=lambda: self._one(few, partial(self.blocks.account, account))),
            refusals=_Shared(begin=lambda: self._one(few, partial(self.blocks.refusals, account))),
            few=few,
        )

    async def _one(self, few: asyncio.Semaphore, read: Callable[[], Awaitable[Result]]) -> Result:
        async with few, self._room:
            return await read()

    async def _messages(self, asked: _Asked, campaign: Waiting) -> Found:
        """What the message log tells of a campaign's sender: of each number, if it is a service."""
        covered = await asked.covered.result()
        behind = await self._behind(campaign)
        heard: list[Found] = [covered.found]
        if behind and behind[0].is_service:  # by which its numbers become known
            service = behind[0]
            read = partial(self.reading.read_service, asked.provider, service)
            heard.append(_unseen(service, (await self._one(asked.few, read)).blind))
            behind = (await self._behind(campaign))[1:]
        for_inbound = [self._inbound(asked, covered, number) for number in behind]
        addresses = [(number.id, number.address) for number in behind]
        if not behind and len(heard) == 1:  # a name: it has no inbound messages
            addresses = [(campaign.sender_id, campaign.sender)]
            heard.append(Found(unseen=(f"nobody can reply to {campaign.sender}",)))
        for_failed = [
            self._one(asked.few, partial(self.blocks.number, asked.account, sender_id, address))
            for sender_id, address in addresses
            if sender_id not in covered.sender_ids
        ]
        return together([*heard, *await _all(*for_inbound, *for_failed)])

    async def _behind(self, campaign: Waiting) -> list[DueSender]:
        async with self._room:
            return await self.db.run(pulls.behind, campaign.sender_id)

    async def _inbound(self, asked: _Asked, covered: Covered, number: DueSender) -> Found:
        """What was texted to a number, unless the account's log has shown that."""
        if _is_covered(covered, number):
            kind = SenderKind(number.kind)
            blind = blind_number(kind, heard=number.heard, dropped=number.dropped)
            return _unseen(number, blind)
        read = partial(self.reading.read, asked.provider, number)
        heard = await self._one(asked.few, read)
        found = Found(drift={ScrubSource.INBOUND: heard.newly_out})
        return together([found, _unseen(number, heard.blind)])


def _is_covered(covered: Covered, number: DueSender) -> bool:
    mark = number.watermark
    return covered.since is not None and mark is not None and mark - OVERLAP >= covered.since


def _unseen(sender: DueSender, blind: str | None) -> Found:
    return Found(unseen=(f"texts to {sender.address} ({blind})",) if blind else ())


async def _all(*readings: Coroutine[Any, Any, Found]) -> list[Found]:
    """What all of them found, once none is under way; raises what one of them did."""
    results = await asyncio.gather(*readings, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [one for one in results if isinstance(one, Found)]
