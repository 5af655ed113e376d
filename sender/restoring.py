"""Recovers a database that is older than known: settles what happened since, then lets it send.

What the restored database has lost, Twilio's log still knows: which messages went out, and which
STOPs came in. Everything is held meanwhile, every step may be repeated, and the hold is lifted by
the last one: a recovery that was broken off is simply run again. A tenant whom Twilio does not let
in stays held by itself, and keeps nobody else waiting.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from sender.domain.consent import Suppression
from sender.domain.high_water import Finding
from sender.domain.message import State, sources_of
from sender.domain.provider import MessageRecord
from sender.domain.receipt import ReceiptMeaning, state_of
from sender.enforcement import BlockReport, Enforcement, LostBlock, SuppressionCache
from sender.errors import (
    ConfigurationError,
    MarkUnavailable,
    ProviderRefused,
    ProviderUnavailable,
    RecoveryRefused,
    RecoveryUnfinished,
)
from sender.hearing import Hearing, Inbound
from sender.high_water import HighWater
from sender.log_matching import Match, by_recipient, match
from sender.storage import high_water, restoring, sweeping, tenants
from sender.storage.database import AsyncDatabase, DatabaseError, Transaction, told
from sender.storage.messages import Evidence, MessageTable
from sender.storage.restoring import KnownMessage, TouchedCampaign
from sender.storage.tenants import DEFAULT_TENANT, Tenant

#: The lost time is taken to begin this much earlier: marks are a second old, and our clock, the
#: old server's and Twilio's are not the same.
SLACK = timedelta(minutes=5)
#: How often the enforcement of the STOPs that were found is looked at.
STEP = timedelta(milliseconds=250)


@dataclass(frozen=True, kw_only=True)
class RecoveryPlan:
    """What a recovery would do."""

    #: Why the database is taken to be older.
    why: str
    #: When the time began that it has lost.
    since: datetime
    #: Tenants whose log at Twilio will be read.
    tenants: Sequence[str]
    #: Campaigns whose rows will be in doubt, because they may have been sent since: for show, and
    #: empty where they could not be counted.
    campaigns: Sequence[TouchedCampaign] = ()
    #: Whether all is recovered; else only those tenants that an earlier recovery went on without.
    whole: bool = True

    @property
    def messages(self) -> int:
        """How many rows will be in doubt."""
        return sum(campaign.messages for campaign in self.campaigns)


@dataclass(kw_only=True)
class RecoveryReport:
    """What a recovery did."""

    since: datetime
    #: Rows that it put in doubt.
    doubted: int = 0
    #: Messages that Twilio's log knows, by the state it tells.
    found: Counter[str] = field(default_factory=Counter)
    #: Messages in Twilio's log that belong to none here: sent by campaigns that were lost.
    unexplained: int = 0
    #: Messages that people sent since, and opt-outs among them.
    inbound: int = 0
    opt_outs: int = 0
    #: Rows that nothing has settled: these people may have been texted, or not. ``None`` where they
    #: could not be counted.
    left_in_doubt: int | None = None
    #: Tenants whose log could not be read, and why: they stay held, and lack what is in it.
    left_out: dict[str, str] = field(default_factory=dict)


class ProviderLog(Protocol):
    """Twilio's log of messages."""

    def pages_since(self, since: datetime) -> AsyncIterator[list[MessageRecord]]:
        """Messages in both directions, by the page.

        Raises `ProviderRefused` where the account is not let in, else `ProviderUnavailable`.
        """


class ProviderLogs(Protocol):
    """Each tenant's log."""

    async def of(self, tenant_id: int) -> ProviderLog:
        """The tenant's log; ``ConfigurationError`` where it cannot sign in."""


@dataclass(frozen=True)
class _Lost:
    """What one tenant lacks: everything since then."""

    tenant: Tenant
    since: datetime


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """Recovers the database that it is given."""

    db: AsyncDatabase
    water: HighWater
    messages: MessageTable
    enforcement: Enforcement
    inbound: Inbound
    cache: SuppressionCache
    providers: ProviderLogs
    #: How long the enforcement of the STOPs that were found may take: longer than a doubt holds one
    #: up, because all these rows are freshly in doubt.
    patience: timedelta
    #: Told what is being done.
    say: Callable[[str], object]

    async def plan(self, *, since: datetime | None = None) -> RecoveryPlan:
        """What ``recover`` would do; changes nothing.

        Args:
            since: when the backup was made, where no mark shows that one was restored. It never
                makes the lost time shorter than what is known.

        Raises:
            RecoveryRefused: nothing says how old the database is, or ``since`` is to come.
            MarkUnavailable: Redis or the disk cannot be asked for their marks.
        """
        plan, _ = await self._plan(since)
        if not plan.whole:
            return plan
        try:
            newest = await self.db.run(restoring.newest_touched)
            touched = await self.db.run(restoring.campaigns, newest=newest)
        except DatabaseError as exc:
            self.say(f"the messages could not be counted: {told(exc)}")
            return plan
        return replace(plan, campaigns=touched)

    async def _plan(self, since: datetime | None) -> tuple[RecoveryPlan, Finding]:
        finding = await self.water.compare(self.db)
        begun = await self.db.run(high_water.lost_since)
        if not (finding.why or begun or since):
            if left_out := await self.db.run(restoring.left_out):
                return await self._plan_for(left_out), finding
            raise RecoveryRefused(
                "the database is not older than any mark that is known; if a backup was restored "
                "all the same, say when it was made (--since)"
            )
        if finding.look.unmarked and not (begun or since):
            raise RecoveryRefused(f"this is {finding.why}: say when the backup was made (--since)")
        if since and since > finding.look.at:
            raise RecoveryRefused("a backup cannot have been made in the future (--since, in UTC)")
        ticked_at = None if finding.look.unmarked else finding.look.ticked_at - SLACK
        known = [ticked_at, since and since - SLACK, begun]
        plan = RecoveryPlan(
            why=finding.why or "it is held as older, or said to be",
            since=min(moment for moment in known if moment),
            tenants=[one.name for one in await self._tenants()],
        )
        return plan, finding

    async def _plan_for(self, left_out: Mapping[int, datetime]) -> RecoveryPlan:
        return RecoveryPlan(
            why="recovered but for tenants whose log at Twilio could not be read",
            since=min(left_out.values()),
            tenants=[one.name for one in await self._tenants() if one.id in left_out],
            whole=False,
        )

    async def recover(self, *, author: str, since: datetime | None = None) -> RecoveryReport:
        """Settle what happened in the lost time, and let the database send again.

        A tenant whose log cannot be read for want of credentials, or because Twilio does not let
        its account in, is held by itself, and recovered by a later call.

        Args:
            author: who does it; stands beside the hold.
            since: as for ``plan``.

        Raises:
            RecoveryRefused: without an author; as for ``plan``; or another one is under way.
            RecoveryUnfinished: Twilio could not be asked, a STOP could not be enforced, or the new
                mark could not be kept. Everything stays held.
        """
        if not author.strip():
            raise RecoveryRefused("a recovery needs an author (--author)")
        async with self.db.session() as session:
            if not await session.run(restoring.take_turn):
                raise RecoveryRefused("another recovery is under way")
            plan, finding = await self._plan(since)
            report = RecoveryReport(since=plan.since)
            if plan.whole:
                await self.water.hold(self.db, finding.look, plan.why)
                await self.db.run(high_water.remember_lost, plan.since)
                await self._put_in_doubt(report)
            try:
                await self._ask_twilio(plan, report, author)
                if plan.whole:
                    await self._begin_era(finding, author)
            except (ProviderUnavailable, MarkUnavailable) as exc:
                held = "everything" if plan.whole else "what is held"
                raise RecoveryUnfinished(f"{exc}; {held} stays held: run it again") from exc
            try:
                report.left_in_doubt = await self.db.run(restoring.left_in_doubt)
            except DatabaseError as exc:
                self.say(f"what stays in doubt could not be counted: {told(exc)}")
            return report

    async def _put_in_doubt(self, report: RecoveryReport) -> None:
        """Every row that may have been sent since, a few slices in a transaction.

        Whatever its campaign's state: a draft may have been enqueued, a pause lifted, a start
        brought forward. Only campaigns that were created after the hold are certainly untouched.
        """
        newest = await self.db.run(restoring.newest_touched)
        if newest is None:
            raise RecoveryUnfinished("somebody lifted the hold: run it again")
        slices = await self.db.run(restoring.touched_slices, newest=newest)
        step = sweeping.SLICES_AT_A_TIME
        for first in range(0, len(slices), step):
            some = slices[first : first + step]
            report.doubted += await self.db.run(restoring.put_in_doubt, some)
        self.say(f"{report.doubted} messages are in doubt")

    async def _ask_twilio(self, plan: RecoveryPlan, report: RecoveryReport, author: str) -> None:
        """Read each tenant's log since then: what was sent, and what people said."""
        opt_outs: list[int] = []
        read: list[int] = []
        lost_since = await self.db.run(restoring.left_out)
        for tenant in await self._tenants():
            if plan.whole or tenant.id in lost_since:
                lost = _Lost(tenant, min(plan.since, lost_since.get(tenant.id, plan.since)))
                try:
                    opt_outs += await self._read_log(lost, report)
                except (ConfigurationError, ProviderRefused) as exc:
                    await self._leave_out(lost, str(exc), report)
                else:
                    read.append(tenant.id)
        report.opt_outs = len(opt_outs)
        await self._enforce(opt_outs)
        await self.db.run(restoring.let_go, read, author=author)

    async def _read_log(self, lost: _Lost, report: RecoveryReport) -> list[int]:
        """Apply what one tenant's log tells; the opt-outs."""
        log = await self.providers.of(lost.tenant.id)
        heard: list[MessageRecord] = []
        async for page in log.pages_since(lost.since):
            heard += [record for record in page if record.inbound]
            await self._settle(lost, [one for one in page if not one.inbound], report)
        hearing = Hearing(db=self.db, inbound=self.inbound, cache=self.cache)
        opt_outs = await hearing.hear(heard)
        report.inbound += len(heard)
        self.say(f"{lost.tenant.name}: Twilio's log is read")
        return opt_outs

    async def _leave_out(self, lost: _Lost, why: str, report: RecoveryReport) -> None:
        """Hold the tenant by itself: its people's STOPs may be missing."""
        detail = f"its log since {lost.since:%Y-%m-%d %H:%M%z} could not be read: {why}"
        hint = "then run `sender recover`"
        await self.db.run(
            restoring.leave_out, lost.tenant.id, since=lost.since, why=f"{detail}; {hint}"
        )
        report.left_out[lost.tenant.name] = why
        self.say(f"{lost.tenant.name}: held, {detail}")

    async def _settle(
        self, lost: _Lost, records: Sequence[MessageRecord], report: RecoveryReport
    ) -> None:
        """Apply what a page of the log proves about messages of ours."""
        sent_to = by_recipient(records)
        known = await self.db.run(
            restoring.known_messages,
            lost.tenant.id,
            recipients=list(sent_to),
            sids=[record.sid for record in records],
            since=lost.since,
        )
        matches = match(sent_to, known)
        report.found.update(state_of(one.record.verdict)[0].value for one in matches)
        report.unexplained += sum(map(len, sent_to.values())) - len(matches)
        await self.db.run(self._learn, [one for one in matches if not _is_block(one.record)])
        owners = {one.record.sid: one.message for one in matches}
        for recipient, ones in sent_to.items():
            for record in filter(_is_block, ones):
                owner = owners.get(record.sid)
                active = await self.db.run(self._block, lost.tenant.id, recipient, record, owner)
                await self.cache.add(active)

    def _learn(self, tx: Transaction, matches: Sequence[Match]) -> None:
        by_state: dict[State, list[Evidence]] = {}
        for one in matches:
            state, _ = state_of(one.record.verdict)
            evidence = Evidence.from_record(one.record, one.message.id)
            by_state.setdefault(state, []).append(evidence)
        for state, known in by_state.items():
            self.messages.learn(tx, known, state, sources_of(state))

    def _block(
        self,
        tx: Transaction,
        tenant_id: int,
        recipient: int,
        record: MessageRecord,
        owner: KnownMessage | None,
    ) -> Sequence[Suppression]:
        """A 21610 that only Twilio's log tells of suppresses, like one in a callback."""
        if owner is None:
            lost = LostBlock.from_record(record, tenant_id, recipient)
            return self.enforcement.record_lost_block(tx, lost)
        began_at = owner.guarded_at or record.date_created
        report = BlockReport.from_record(record, owner.id, began_at=began_at)
        active = self.enforcement.record_block(tx, report)
        self._learn(tx, [Match(record=record, message=owner)])
        return active

    async def _enforce(self, event_ids: Sequence[int]) -> None:
        """Wait until no request that these forbid can be under way."""
        give_up_at = time.monotonic() + self.patience.total_seconds()
        if event_ids:
            self.say(f"enforcing {len(event_ids)} opt-outs, which may take {self.patience}")
        while event_ids:
            event_ids = sorted(await self.enforcement.async_step(self.db, event_ids))
            if event_ids and time.monotonic() > give_up_at:
                raise RecoveryUnfinished(
                    f"{len(event_ids)} opt-outs are not enforced: run it again"
                )
            await asyncio.sleep(STEP.total_seconds() if event_ids else 0)

    async def _begin_era(self, finding: Finding, author: str) -> None:
        """Raise the mark above all that are known; in Postgres last, together with the hold.

        Whoever looks between the two sees a database that is older than known, and holds.
        """
        mark = finding.next_mark
        await self.water.raise_to(mark)
        if not await self.db.run(high_water.begin_era, finding.look, mark, author=author):
            raise RecoveryUnfinished("the database was restarted or replaced: run it again")

    async def _tenants(self) -> list[Tenant]:
        """Those with an account: the default one's stands in the settings."""
        every = await self.db.run(tenants.every)
        return [one for one in every if one.account_sid or one.id == DEFAULT_TENANT]


def _is_block(record: MessageRecord) -> bool:
    return record.verdict.meaning is ReceiptMeaning.OPTED_OUT
