"""Consent event → suppression, withdraw, wait: the one place where an opt-out takes force.

The order matters and each step is a transaction of its own (design: the STOP waits).

1. The consent event and its suppression are committed. From here on every guard refuses.
2. Rows still pending are withdrawn. A guard that holds such a row is waited for.
3. A look, younger than the withdrawal: while a row is sending, or freshly in doubt, a request
   may be under way, and the opt-out is not enforced yet.

A waiting opt-out holds no transaction, connection or thread: one round of steps 2 and 3 serves
all that wait.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol, Self
from uuid import UUID

import structlog

from sender import causes
from sender.crashing import CrashPoint, Passing, pass_by
from sender.domain.consent import (
    ALL_SENDERS,
    ConsentEvent,
    Direction,
    NewConsentEvent,
    ReasonClass,
    Suppression,
)
from sender.domain.provider import MessageRecord, RefusedRequest
from sender.domain.scrub import is_told
from sender.storage import consent, incidents, message_facts, senders, tenants
from sender.storage.database import AsyncDatabase, Database, Transaction, told
from sender.storage.enforcement import EnforcementTable, OptOut, request_enforcement

log = structlog.get_logger(__name__)

#: How often the waiting opt-outs are looked at: a POST takes tens of milliseconds at least.
TICK = timedelta(milliseconds=25)
#: How long one that has just come waits for others: most need no more than one look.
NEWCOMER_WAITS = timedelta(milliseconds=5)


class SuppressionCache(Protocol):
    """The Redis set as enforcement sees it: best effort, it never raises."""

    async def add(self, entries: Iterable[Suppression]) -> None:
        """Make these numbers hit at once."""


@dataclass(frozen=True, kw_only=True)
class BlockReport:
    """A 21610, through whichever door."""

    message_id: UUID
    code: int
    #: ``create`` or ``callback``.
    door: str
    #: When our request began, by our clock: what a race with a STOP is measured by.
    began_at: datetime
    #: The same by the provider's clock, as well as we know it. A START after it therefore wins
    #: over this block, however late the block is reported. ``None``: unknown, counts as latest.
    provider_at: datetime | None

    @classmethod
    def from_record(cls, record: MessageRecord, message_id: UUID, *, began_at: datetime) -> Self:
        """As the provider's log tells it; it counts like one in a callback."""
        return cls(
            message_id=message_id,
            code=record.error_code or 0,
            door="callback",
            began_at=began_at,
            provider_at=record.date_created,
        )


@dataclass(frozen=True, kw_only=True)
class LostBlock:
    """A provider block that the provider's records tell of, and no message of ours."""

    tenant_id: int
    recipient: int
    #: Whom it was sent from, the most telling first; where none is known here, it covers all.
    senders: tuple[str, ...]
    source: str
    source_id: str
    provider_at: datetime

    @classmethod
    def from_record(cls, record: MessageRecord, tenant_id: int, recipient: int) -> Self:
        """A message that failed with it."""
        return cls(
            tenant_id=tenant_id,
            recipient=recipient,
            senders=(record.service_sid or "", record.from_ or ""),
            source="provider_log",
            source_id=record.sid,
            provider_at=record.date_created,
        )

    @classmethod
    def from_refusal(cls, request: RefusedRequest, tenant_id: int, recipient: int) -> Self:
        """A request that was refused with it at once."""
        return cls(
            tenant_id=tenant_id,
            recipient=recipient,
            senders=(request.service_sid, request.from_),
            source="provider_alert",
            source_id=request.sid,
            provider_at=request.at,
        )


@dataclass(frozen=True, kw_only=True)
class Enforcement:
    """What every opt-out goes through, whatever its source."""

    table: EnforcementTable
    #: How long a fresh doubt holds up an opt-out.
    horizon: timedelta
    #: Told of the places between the commits, where fault tests end the process.
    passing: Passing = pass_by

    def opt_out(self, tx: Transaction, event: NewConsentEvent) -> int:
        """Store an opt-out, suppress, and ask for its enforcement; the event's id."""
        consent.lock_person(tx, tenant_id=event.tenant_id, recipient=event.recipient)
        (event_id,) = self.opt_out_all(tx, [event])
        return event_id

    def opt_out_all(self, tx: Transaction, events: Sequence[NewConsentEvent]) -> list[int]:
        """The same for people who are all locked; the events' ids, in order."""
        if not events:
            return []
        ids = consent.append_all(tx, events)
        asked = [
            OptOut(
                event_id=event_id,
                tenant_id=event.tenant_id,
                recipient=event.recipient,
                scope=event.scope,
            )
            for event_id, event in zip(ids, events, strict=True)
        ]
        request_enforcement(tx, asked)
        return ids

    def step(self, db: Database, ids: Sequence[int]) -> frozenset[int]:
        """Withdraw and look once for these opt-outs; those that must wait on."""
        db.run(self.table.withdraw, ids)
        return db.run(self._look, ids)

    def wait(self, db: Database, ids: Sequence[int], *, within: timedelta) -> bool:
        """Step until these opt-outs are enforced; ``False`` when that takes longer than that.

        They stand all the same then, and the consumer finishes their enforcement.
        """
        give_up_at = time.monotonic() + within.total_seconds()
        while ids and (ids := sorted(self.step(db, ids))):
            if time.monotonic() > give_up_at:
                return False
            time.sleep(TICK.total_seconds())
        return True

    async def async_step(self, db: AsyncDatabase, ids: Sequence[int]) -> frozenset[int]:
        """The same from an event loop."""
        if withdrawn := await db.run(self.table.withdraw, ids):
            log.info("withdrawn", rows=withdrawn)
        self.passing(CrashPoint.AFTER_WITHDRAW)
        return await db.run(self._look, ids)

    def _look(self, tx: Transaction, ids: Sequence[int]) -> frozenset[int]:
        """Mark what is enforced; those that are open, once this is committed."""
        self.table.mark_enforced(tx, ids, horizon=self.horizon)
        return self.table.still_open(tx, ids)

    async def finish_stored(self, db: AsyncDatabase) -> int:
        """One round for every opt-out that is stored and not enforced; how many wait on."""
        waiting = await db.run_alone(self.table.all_open)
        return len(await self.async_step(db, waiting)) if waiting else 0

    def record_block(self, tx: Transaction, report: BlockReport) -> list[Suppression]:
        """Store a provider block and its incident, in the caller's transaction.

        Returns:
            The person's suppressions now, for the Redis set.
        """
        facts = message_facts.facts(tx, report.message_id)
        if facts is None:
            return []
        person = {"tenant_id": facts.tenant_id, "recipient": facts.recipient}
        consent.lock_person(tx, **person)
        known = consent.history(tx, **person)
        self._open_incident(tx, report, facts, known)
        tenant = tenants.get(tx, facts.tenant_id)
        for scope in _scopes(facts.sender_id, known, tenant_wide=tenant.stop_scope == "tenant"):
            consent.append(tx, _block_event(report, facts, scope))
        return consent.suppressions_of(tx, **person)

    def record_lost_block(self, tx: Transaction, block: LostBlock) -> list[Suppression]:
        """Store a provider block that belongs to no message here, unless a later one is known.

        Returns:
            The person's suppressions now, for the Redis set.
        """
        person = {"tenant_id": block.tenant_id, "recipient": block.recipient}
        consent.lock_person(tx, **person)
        found = (senders.find(tx, address) for address in block.senders)
        own_ones = (one for one in found if one is not None and one.tenant_id == block.tenant_id)
        sender = next(own_ones, None)
        tenant_wide = tenants.get(tx, block.tenant_id).stop_scope == "tenant" or sender is None
        known = consent.history(tx, **person)
        own = ALL_SENDERS if sender is None else sender.id
        for scope in _scopes(own, known, tenant_wide=tenant_wide):
            if not is_told(known, scope=scope, at=block.provider_at):
                consent.append(tx, _lost_block(block, scope))
        return consent.suppressions_of(tx, **person)

    def _open_incident(
        self,
        tx: Transaction,
        report: BlockReport,
        facts: message_facts.MessageFacts,
        known: list[ConsentEvent],
    ) -> None:
        found = causes.first_trace(tx, facts, began_at=report.began_at, known=known)
        incident = incidents.NewIncident(
            tenant_id=facts.tenant_id,
            campaign_id=facts.campaign_id,
            message_id=facts.id,
            sender_id=facts.sender_id,
            recipient=facts.recipient,
            code=report.code,
            door=report.door,
            began_at=report.began_at,
            cause=found.cause,
            detail=found.detail,
        )
        if incidents.open_incident(tx, incident):
            causes.tell(tx, facts, found)


def _block_event(
    report: BlockReport, facts: message_facts.MessageFacts, scope: int
) -> NewConsentEvent:
    return NewConsentEvent(
        tenant_id=facts.tenant_id,
        recipient=facts.recipient,
        scope=scope,
        direction=Direction.OPT_OUT,
        reason=ReasonClass.PROVIDER_BLOCK,
        source=report.door,
        source_id=str(report.message_id),
        provider_at=report.provider_at,
    )


def _lost_block(block: LostBlock, scope: int) -> NewConsentEvent:
    return NewConsentEvent(
        tenant_id=block.tenant_id,
        recipient=block.recipient,
        scope=scope,
        direction=Direction.OPT_OUT,
        reason=ReasonClass.PROVIDER_BLOCK,
        source=block.source,
        source_id=block.source_id,
        provider_at=block.provider_at,
    )


def _scopes(sender_id: int, known: Iterable[ConsentEvent], *, tenant_wide: bool) -> list[int]:
    """A block always covers its own sender, and the tenant unless a START came since the STOP."""
    by_keyword = [e for e in known if e.source == "inbound" and e.reason is not ReasonClass.REVIEW]
    last = max(by_keyword, key=lambda e: e.provider_at or e.received_at, default=None)
    started = last is not None and last.direction is Direction.OPT_IN
    return [sender_id] if started or not tenant_wide else [sender_id, ALL_SENDERS]


@dataclass
class EnforcementQueue:
    """The webhook app's waiting opt-outs: one round serves all of them.

    A failed round (Postgres down) fails nobody: the waiters time out into a 503, and the opt-out
    stays stored for the consumer.
    """

    enforcement: Enforcement
    db: AsyncDatabase
    _waiting: dict[int, list[asyncio.Future[None]]] = field(default_factory=dict)
    _round: asyncio.Task[None] | None = None
    #: Set while there are opt-outs that no round has looked at.
    _newcomer: asyncio.Event = field(default_factory=asyncio.Event)
    #: Whether the last round failed: one line tells of many failures in a row.
    _failing: bool = False

    async def enforced(self, event_id: int, *, within: timedelta) -> bool:
        """Wait until the opt-out is enforced; ``False`` when that takes longer than ``within``."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(event_id, []).append(future)
        self._newcomer.set()
        if self._round is None or self._round.done():
            self._round = asyncio.create_task(self._serve())
        try:
            async with asyncio.timeout(within.total_seconds()):
                await future
        except TimeoutError:
            return False
        finally:
            self._leave(event_id, future)
        return True

    def _leave(self, event_id: int, future: asyncio.Future[None]) -> None:
        others = [one for one in self._waiting.get(event_id, []) if one is not future]
        if others:
            self._waiting[event_id] = others
        else:
            self._waiting.pop(event_id, None)

    async def _serve(self) -> None:
        while self._waiting:
            self._newcomer.clear()
            asked = list(self._waiting)
            open_ids = await self._try_round(asked)
            for event_id in set(asked) - open_ids:
                for future in self._waiting.pop(event_id, []):
                    if not future.done():
                        future.set_result(None)
            if self._waiting:
                await self._pause()

    async def _pause(self) -> None:
        """A tick; less once somebody new is there."""
        with suppress(TimeoutError):
            async with asyncio.timeout((TICK - NEWCOMER_WAITS).total_seconds()):
                await self._newcomer.wait()
        await asyncio.sleep(NEWCOMER_WAITS.total_seconds())

    async def _try_round(self, ids: Sequence[int]) -> frozenset[int]:
        try:
            still_open = await self.enforcement.async_step(self.db, ids)
        except Exception as exc:  # noqa: BLE001  # whatever broke, the answer is "not enforced yet"
            if not self._failing:
                log.warning("enforcement_round_failed", waiting=len(ids), error=told(exc))
            self._failing = True
            return frozenset(ids)
        self._failing = False
        return still_open
