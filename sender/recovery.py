"""Recovery: offers slices that got lost, sweeps what was abandoned, resolves doubts."""

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from sender import feedback
from sender.closing import by_slices, close_out
from sender.crashing import CrashPoint, Passing, pass_by
from sender.domain.block_rate import BlockLimits
from sender.domain.consent import Suppression
from sender.domain.message import sources_of
from sender.domain.provider import MessageRecord
from sender.domain.receipt import ReceiptMeaning, state_of
from sender.domain.template import Template
from sender.enforcement import BlockReport, Enforcement, SuppressionCache
from sender.errors import ConfigurationError, ProviderUnavailable
from sender.feedback import Finding
from sender.filtering import hold_filtered
from sender.heartbeat import notice_silence
from sender.storage import cursors, doubts, message_facts, slices, sweeping, workers
from sender.storage.database import AsyncDatabase, Database, Transaction
from sender.storage.doubts import Doubt
from sender.storage.messages import Evidence, MessageTable
from sender.storage.slices import SliceTable
from sender.storage.sweeping import Swept
from sender.watching import watch_blocks

log = structlog.get_logger(__name__)

#: How often every open slice is searched for abandoned rows, beside when a worker was lost.
SEARCH_EVERY = timedelta(minutes=1)
#: Doubts claimed at a time; each is one question to Twilio, which may take seconds.
DOUBTS_AT_A_TIME = 5
#: How long one round of the resolver goes on: it holds a worker's thread.
RESOLVE_FOR = timedelta(seconds=20)
#: Twilio's clock against ours, and whole seconds against fractions.
CLOCK_SLACK = timedelta(seconds=5)
#: A request lasts 10 s at most, so its record was created within that of its guard.
LONGEST_REQUEST = timedelta(seconds=15)
#: Names the day on which the unknown messages were last told of.
REPORTED = "unknown_doubts_reported"


@dataclass(frozen=True, kw_only=True)
class Kicker:
    """Offers slices as hints; what the broker loses is offered again."""

    db: Database
    slices: SliceTable
    #: Publishes the hint "there is work in this slice".
    publish: Callable[[int], None]
    #: The same for a slice of a transactional campaign; without, they go with the others.
    publish_transactional: Callable[[int], None] | None = None
    #: Told of the place before the hints, where fault tests end the process.
    passing: Passing = pass_by

    def kick(self) -> int:
        """Start what is scheduled and offer what the fleet has room for; how many slices."""
        return self._publish(self.db.run(self._start_and_offer))

    def offer(self) -> int:
        """Offer what the fleet has room for, after a slice; how many slices."""
        return self._publish(self.db.run(self.slices.offer))

    def _start_and_offer(self, tx: Transaction) -> dict[int, bool]:
        slices.start_scheduled(tx)
        return self.slices.offer(tx)

    def _publish(self, offered: Mapping[int, bool]) -> int:
        """Publish offers that are committed.

        Not before: a lost hint is offered again after ``OFFER_EXPIRES``, a published one whose
        offer was rolled back would be refused anyway.
        """
        if offered:
            self.passing(CrashPoint.AFTER_OFFER)
        first = self.publish_transactional or self.publish
        for slice_id, is_transactional in offered.items():
            (first if is_transactional else self.publish)(slice_id)
        return len(offered)


@dataclass(kw_only=True)
class Sweeper:
    """Turns what nobody works on any more into a state that says so."""

    db: Database
    #: From which share of 21610s on a campaign is told of, and held.
    limits: BlockLimits = field(default_factory=BlockLimits)
    #: When every open slice was last searched, by ``time.monotonic()``.
    _searched_at: float = -math.inf

    def sweep(self) -> Swept:
        """One round; what it changed. A second sweeper at the same time changes nothing."""
        with self.db.transaction() as turn:
            if not sweeping.take_turn(turn):
                return Swept(in_doubt=0, given_up=0, completed=0)
            swept = Swept(
                in_doubt=self._abandon(),
                given_up=close_out(self.db),
                completed=self.db.run(sweeping.complete),
            )
            hold_filtered(self.db)
            watch_blocks(self.db, self.limits)
        notice_silence(self.db)
        if any(vars(swept).values()):
            log.info("swept", **vars(swept))
        return swept

    def _abandon(self) -> int:
        """Search when a worker was lost, and once a minute for what its lease alone tells."""
        lost = self.db.run(workers.dead)
        now = time.monotonic()
        if not lost and now < self._searched_at + SEARCH_EVERY.total_seconds():
            return 0
        rows = by_slices(self.db, sweeping.abandon, self.db.run(sweeping.started))
        self.db.run(workers.bury, lost)
        self._searched_at = now
        return rows


class ProviderLog(Protocol):
    """Twilio's log of messages."""

    async def list_to(self, recipient: int, since: datetime) -> list[MessageRecord]:
        """Outbound messages to a recipient created since then."""


class ProviderLogs(Protocol):
    """Each tenant's log."""

    async def of(self, tenant_id: int) -> ProviderLog:
        """The tenant's log; ``ConfigurationError`` where it cannot sign in."""


@dataclass(frozen=True, kw_only=True)
class Resolver:
    """Asks Twilio about messages in doubt. A hit proves acceptance; a miss proves nothing."""

    db: AsyncDatabase
    messages: MessageTable
    enforcement: Enforcement
    cache: SuppressionCache
    providers: ProviderLogs
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def resolve(self) -> int:
        """Look into the doubts that are due, for a while; how many were resolved.

        One round at a time: when Twilio hangs doubts are many, and rounds must not pile up.
        """
        if self.busy.locked():
            return 0
        async with self.busy:
            give_up_at = time.monotonic() + RESOLVE_FOR.total_seconds()
            await self._in_rounds(doubts.forget_resolved, give_up_at)
            await self._report(await self._in_rounds(doubts.give_up_old, give_up_at))
            resolved = 0
            while time.monotonic() < give_up_at:
                claimed = await self.db.run(doubts.claim, limit=DOUBTS_AT_A_TIME)
                resolved += sum([await self._try(doubt) for doubt in claimed])
                if len(claimed) < DOUBTS_AT_A_TIME:
                    break
            return resolved

    async def _in_rounds(self, work: Callable[[Transaction], int], give_up_at: float) -> int:
        """Do it until nothing is left or time is up, a transaction each; how many rows."""
        rows = 0
        while True:
            done = await self.db.run(work)
            rows += done
            if done < doubts.AT_A_TIME or time.monotonic() >= give_up_at:
                return rows

    async def _report(self, given_up: int) -> None:
        """Name what a person must look at: when some were given up, and once a day."""
        is_time = await self.db.run(cursors.first_of_day, REPORTED)
        if (given_up or is_time) and (unknown := await self.db.run(doubts.unknown)):
            log.warning("doubts_unknown", by_campaign=unknown, see="sender doubts list")

    async def _try(self, doubt: Doubt) -> bool:
        """Look into one; what goes wrong with it keeps nobody from the others."""
        try:
            return await self._look_into(doubt)
        except Exception as exc:  # noqa: BLE001  # whatever it is: it was put off, and is told
            log.error("doubt_failed", message=str(doubt.message_id), error=type(exc).__name__)
            return False

    async def _look_into(self, doubt: Doubt) -> bool:
        since = (doubt.guarded_at or doubt.created_at) - CLOCK_SLACK
        try:
            provider = await self.providers.of(doubt.tenant_id)
            records = await provider.list_to(doubt.recipient, since)
        except (ProviderUnavailable, ConfigurationError) as exc:
            log.warning("doubt_not_resolved", message=str(doubt.message_id), error=str(exc))
            await self.db.run(doubts.note, doubt.message_id, str(exc))
            return False
        body = Template.parse(doubt.body).render(doubt.fields)
        for record in records:
            if _matches(record, doubt, body):
                learnt = await self.db.run(self._learn, doubt, record)
                if learnt is not None:
                    await self.cache.add(learnt)
                    return True
        found = f"{len(records)} messages to them, this one not among them"
        await self.db.run(doubts.note, doubt.message_id, found)
        return False

    def _learn(
        self, tx: Transaction, doubt: Doubt, record: MessageRecord
    ) -> Sequence[Suppression] | None:
        """Apply what the record proves; ``None`` when it is another message's record.

        Returns:
            The person's suppressions, if the record reports an opt-out.
        """
        if doubts.sid_belongs_elsewhere(tx, doubt, record.sid):
            return None
        active = self._feed_back(tx, doubt, record)
        state, _ = state_of(record.verdict)
        evidence = Evidence.from_record(record, doubt.message_id)
        if any(self.messages.learn(tx, [evidence], state, sources_of(state)).values()):
            facts = message_facts.facts_of(tx, [doubt.message_id]).values()
            code = record.error_code
            feedback.learn(tx, [Finding.from_verdict(one, record.verdict, code) for one in facts])
        return active

    def _feed_back(
        self, tx: Transaction, doubt: Doubt, record: MessageRecord
    ) -> Sequence[Suppression]:
        """A 21610 found in the log counts like one in a callback."""
        if record.verdict.meaning is not ReceiptMeaning.OPTED_OUT:
            return ()
        began_at = doubt.guarded_at or record.date_created
        report = BlockReport.from_record(record, doubt.message_id, began_at=began_at)
        return self.enforcement.record_block(tx, report)


def _matches(record: MessageRecord, doubt: Doubt, body: str) -> bool:
    """Same sender and text, created while our request can have been under way.

    Of what a restore put in doubt nobody knows when that was: any time since may be it.
    """
    if doubt.guarded_at and record.date_created > doubt.guarded_at + LONGEST_REQUEST + CLOCK_SLACK:
        return False
    return record.body == body and record.is_from(doubt.sender)
