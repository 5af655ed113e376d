"""The pump: takes a slice's rows to Twilio, window by window.

For each window the order is fixed: permits (the account's, then connections that are free) → Redis
lookup and pacing tokens → daily caps and guard committed → POST → settle. Of caps with plenty left
some is counted before all that: a window that is looked up need not wait for it. Nothing is held
open in Postgres during a POST, and nothing at all (no permit, no connection) while pacing tokens
are waited for.

A run ends when its slice is empty, its turn is over (`sender.turns`), or it may not go on. What
would stop the next slice of the same sender just so rests the *sender*: tokens that are far off, a
full queue, a daily cap, a provider that takes nothing, Redis or Postgres away. What concerns one
slice rests that slice. What concerns the account (a 429) changes how much of it is in flight here,
and may pause it for the whole fleet.
"""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from itertools import islice
from typing import Protocol

import structlog

from sender.absence import Patience, through_absence
from sender.budgets import Budget
from sender.config import LEASE
from sender.crashing import CrashPoint, Passing, pass_by
from sender.domain.admission import Admission, Pace, Verdict
from sender.domain.message import Guarded
from sender.domain.rests import Rest, RestReason
from sender.errors import ConfigurationError, PacingUnavailable
from sender.experience import Experience
from sender.guarding import Guarding
from sender.handing_off import Gateway, HandOffs
from sender.high_water import HighWater
from sender.keeping_up import KeepingUp
from sender.permits import Permits
from sender.send_clock import send_clock
from sender.settling import Settler
from sender.storage import consent, senders
from sender.storage.database import AsyncDatabase, DatabaseError, Transaction, told
from sender.storage.messages import DueMessage, MessageTable
from sender.storage.slices import SliceTable, SliceWork
from sender.texts import DueText, DueTexts
from sender.turns import Turn, pace_of

log = structlog.get_logger(__name__)

#: Rows guarded and POSTed together. Smaller windows are more statements a message; larger ones
#: lengthen the time between the lookup and the request.
WINDOW = 64
#: How long a slice or a sender rests that was stopped: a hold, a pause, Redis away.
REST = timedelta(seconds=1)
#: How long a slice rests whose run raised what nobody foresaw: that is not put right in a second.
BUG_REST = timedelta(seconds=30)
#: A slice is tried to be given back, once a second, for as long as its lease could last: until then
#: nobody else works on it.
CLOSE_PATIENCE = Patience(attempts=int(LEASE.total_seconds()))


class Gateways(Protocol):
    """Each tenant's way to Twilio."""

    async def of(self, tenant_id: int) -> Gateway:
        """The tenant's gateway; ``ConfigurationError`` where it cannot sign in."""


class Lookup(Protocol):
    """The Redis set and the pacing, in one round trip."""

    async def check(
        self,
        *,
        pace: Pace,
        scopes: Sequence[tuple[int, int]],
        recipients: Sequence[int],
        segments: Sequence[int],
    ) -> Admission:
        """Who is suppressed, and how many of the others may go now."""

    async def give_back(self, pace: Pace, *, segments: int) -> None:
        """Return the tokens of messages that did not go."""

    async def pause(self, tenant_id: int, length: timedelta) -> None:
        """Have no worker begin anything of this account for so long."""


class CacheRepair(Protocol):
    """Takes wrong hits out of the Redis set; best effort, never raises."""

    async def forget(self, scopes: Sequence[tuple[int, int]], recipients: Sequence[int]) -> None:
        """Remove these numbers from these scopes."""


@dataclass(frozen=True, kw_only=True)
class _Rests:
    """How long a run's slice, and its sender, rest after it."""

    slice: timedelta = timedelta()
    sender: Rest | None = None


@dataclass(frozen=True, kw_only=True)
class Pump:
    """One worker process's way to Twilio; shared by all its slices."""

    db: AsyncDatabase
    slices: SliceTable
    messages: MessageTable
    lookup: Lookup
    repair: CacheRepair
    gateways: Gateways
    settler: Settler
    permits: Permits
    #: This process's worker id, which owns the rows it guards.
    owner: int
    #: Set at shutdown: slices end at their next window, what is in flight is settled.
    stopping: asyncio.Event
    #: Told of the places between the commits, where fault tests end the process.
    passing: Passing = pass_by
    #: What is known of the database, which the guard must find; ``None`` where nobody looks.
    water: HighWater | None = None
    #: What this process has met with at the provider lately.
    experience: Experience = field(default_factory=Experience)
    #: The slices this process works on now.
    busy: set[int] = field(default_factory=set)

    @cached_property
    def keeping_up(self) -> KeepingUp:
        """Has the permits follow the event loop."""
        return KeepingUp(self.permits)

    async def may_exceed(self, slice_id: int) -> bool:
        """Whether this process, having its share of bulk slices, may work on this one beside."""
        return await self.db.run(self.slices.may_exceed, slice_id)

    async def work(self, slice_id: int) -> bool:
        """Work on a slice until it is done, its turn is over, or something stops it.

        Harmless when the slice is done or another worker's: then it returns at once. Whatever this
        raises, the slice was given back.

        Never twice at a time in one process, whoever holds the lease: both runs would own their
        rows under one id, and what one of them undoes could be what the other is sending.

        Returns:
            Whether this call worked on the slice.
        """
        if slice_id in self.busy:
            return False
        self.busy.add(slice_id)
        try:
            return await self._work(slice_id)
        finally:
            self.busy.remove(slice_id)

    async def _work(self, slice_id: int) -> bool:
        work = await self.db.run_alone(self.slices.lease, slice_id, owner=self.owner, lease=LEASE)
        if work is None:
            return False
        self.passing(CrashPoint.AFTER_LEASE)
        rests, budget = _Rests(slice=BUG_REST), Budget(work=work, messages=self.messages)
        try:
            rests = await _SliceRun(pump=self, work=work, budget=budget).drain()
        finally:
            await self._close(work, rests, budget)
        return True

    async def _close(self, work: SliceWork, rests: _Rests, budget: Budget) -> None:
        """Give the slice back, as soon as Postgres is there; its lease ends it otherwise."""
        self.passing(CrashPoint.BEFORE_CLOSE)
        if await through_absence(
            lambda: self._closed(work, rests, budget),
            patience=CLOSE_PATIENCE,
            stopping=self.stopping,
            what=f"closing slice {work.slice_id}",
        ):
            self.passing(CrashPoint.AFTER_CLOSE)

    async def _closed(self, work: SliceWork, rests: _Rests, budget: Budget) -> None:
        if rests.sender or budget.is_used_up:
            await self.db.run(self._rested, work, rests, budget)
            return
        if budget.is_left:  # first, for the next run over this slice to find it
            await self.db.run_alone(budget.give_back)
        await self.db.run_alone(self._close_slice, work, rests)

    def _rested(self, tx: Transaction, work: SliceWork, rests: _Rests, budget: Budget) -> None:
        self._close_slice(tx, work, rests)
        budget.give_back(tx)
        for rest in (rests.sender, budget.rest(tx)):
            if rest is not None:
                senders.rest(tx, work.sender_id, rest.length, why=rest.why)

    def _close_slice(self, tx: Transaction, work: SliceWork, rests: _Rests) -> None:
        owner, span = self.owner, work.span
        self.slices.close(tx, work.slice_id, span=span, owner=owner, rest=rests.slice)


@dataclass(kw_only=True)
class _SliceRun:
    """One run over one slice."""

    pump: Pump
    work: SliceWork
    budget: Budget
    rests: _Rests = _Rests()
    stopped: bool = False
    #: Rows that Redis says are suppressed, and that are not settled yet.
    hits: list[DueMessage] = field(default_factory=list)

    def __post_init__(self) -> None:
        pump, work = self.pump, self.work
        self.pace = pace_of(work)
        self.in_flight = pump.experience.account(work.tenant_id, pump.permits)
        self.guarding = Guarding(
            db=pump.db,
            messages=pump.messages,
            work=work,
            budget=self.budget,
            owner=pump.owner,
            passing=pump.passing,
            water=pump.water,
        )
        self.hands = HandOffs(
            work=work,
            in_flight=self.in_flight,
            budget=self.budget,
            settler=pump.settler,
            experience=pump.experience,
            pauses=pump.lookup,
            passing=pump.passing,
            on_rest=self._must_rest,
        )
        self.texts = DueTexts(db=pump.db, messages=pump.messages, work=work, pace=self.pace)
        self.turn = Turn(
            db=pump.db, slices=pump.slices, work=work, pace=self.pace, stopping=pump.stopping
        )

    async def drain(self) -> _Rests:
        """Send what is due, then wait for what is in flight; how long to rest then."""
        try:
            await self.pump.db.run_alone(self.pump.messages.meet_month, self.work.first_id)
            self.hands.gateway = await self.pump.gateways.of(self.work.tenant_id)
            while not await self._must_end():
                texts = await self.texts.read()
                if texts is None:
                    break
                await self._send(deque(texts))
                if len(self.hits) >= WINDOW:
                    await self._settle_hits()
            await self._settle_hits()
        except ConfigurationError as exc:
            log.error("tenant_cannot_sign_in", tenant=self.work.tenant_id, error=str(exc))
            self._stop(sender=Rest(length=BUG_REST, why=RestReason.CANNOT_SIGN_IN))
        except PacingUnavailable as exc:
            log.warning("pacing_unavailable", slice=self.work.slice_id, error=str(exc))
            self._stop(sender=Rest(length=REST, why=RestReason.PACING_UNAVAILABLE))
        except DatabaseError as exc:
            log.warning("database_unavailable", slice=self.work.slice_id, error=told(exc))
            self._stop(sender=Rest(length=REST, why=RestReason.DATABASE_UNAVAILABLE))
        finally:
            await self.hands.all_settled()
        return self.rests

    def _stop(self, *, slice_: timedelta = timedelta(), sender: Rest | None = None) -> None:
        """End the run at its next window; of several rests the longest holds."""
        self.stopped = True
        before = self.rests
        longest = before.sender if sender is None else sender.or_longer(before.sender)
        self.rests = _Rests(slice=max(slice_, before.slice), sender=longest)

    def _must_rest(self, rest: Rest) -> None:
        """An answer says that the sender must rest."""
        if not self.stopped:
            seconds = rest.length.total_seconds()
            log.warning(rest.why.value, sender=self.work.sender_id, rest=seconds)
        self._stop(sender=rest)

    async def _must_end(self) -> bool:
        return self.stopped or await self.turn.is_over()

    async def _send(self, waiting: deque[DueText]) -> None:
        """Window after window, until none is left or the run must end."""
        while waiting and not await self._must_end():
            answer = await self._send_window(waiting)
            if self._is_outage:
                await self.hands.all_settled()
            if answer.wait and not self.stopped and (rest := await self.turn.wait(answer.wait)):
                why = RestReason.THROTTLED if answer.paused else RestReason.PACE
                self._stop(sender=Rest(length=rest, why=why))

    async def _send_window(self, waiting: deque[DueText]) -> Admission:
        """Take the next window through all steps; what Redis said to it."""
        await self.pump.settler.room()
        self.pump.keeping_up.look(answer=self.in_flight.mean)
        await self.guarding.count_ahead(list(islice(waiting, self._window)))
        count = await self.in_flight.take(min(self._window, len(waiting)))
        began, begun = 0.0, 0
        try:
            # An answer may have stopped the run while permits were waited for.
            window = [] if self.stopped else [waiting.popleft() for _ in range(count)]
            admitted, answer = await self._admit(window, waiting)
            began = send_clock()
            guarded = await self.guarding.guard(admitted, began)
            if self.budget.is_used_up:
                self._stop()
            begun = self._begin(admitted, guarded, began)
        finally:
            self.in_flight.give_back(count - begun)
        if begun < len(admitted):
            refused = [text for text in admitted if text.row.id.int not in guarded]
            await self._settle_refused(refused)
        return answer

    @property
    def _window(self) -> int:
        """No larger than what the pace can let through at once, and one message in an outage."""
        return 1 if self._is_outage else min(WINDOW, self.pace.burst)

    @property
    def _is_outage(self) -> bool:
        return self.pump.experience.is_outage(self.work.sender_id)

    async def _admit(
        self, window: list[DueText], waiting: deque[DueText]
    ) -> tuple[list[DueText], Admission]:
        """Ask Redis: hits are set aside, what gets no token goes back to the head of the line."""
        answer = await self.pump.lookup.check(
            pace=self.pace,
            scopes=self.work.scopes,
            recipients=[text.row.recipient for text in window],
            segments=[text.segments for text in window],
        )
        self.pump.passing(CrashPoint.AFTER_LOOKUP)
        asked = list(zip(window, answer.verdicts, strict=True))
        hits = [text for text, verdict in asked if verdict is Verdict.SUPPRESSED]
        others = [text for text, verdict in asked if verdict is not Verdict.SUPPRESSED]
        self.hits += [text.row for text in hits]
        waiting.extendleft(reversed(others[answer.admitted :]))
        return others[: answer.admitted], answer

    async def _settle_hits(self) -> None:
        """A hit is settled with Postgres's reason; one that Postgres does not know is repaired.

        Those of many windows together: they wait for nothing, and a commit for each would hold it
        up.
        """
        rows, self.hits = self.hits, []
        if not rows:
            return
        db, messages = self.pump.db, self.pump.messages
        settled = await db.run_alone(messages.suppress, [row.id for row in rows])
        if unknown := [row.recipient for row in rows if row.id not in settled]:
            wrong = await db.run(consent.unsuppressed, self.work.scopes, unknown)
            await self.pump.repair.forget(self.work.scopes, wrong)
            # If the repair failed too, the next run would meet them again at once.
            self.rests = _Rests(slice=max(REST, self.rests.slice), sender=self.rests.sender)

    def _begin(
        self, window: Sequence[DueText], guarded: Mapping[int, Guarded], began: float
    ) -> int:
        """Start the hand-offs, each of which gives its own permit back; how many."""
        for text in window:
            if licence := guarded.get(text.row.id.int):
                self.hands.begin(text, licence, began)
        return len(guarded)

    async def _settle_refused(self, refused: Sequence[DueText]) -> None:
        """Give suppressed rows their reason; stop if the campaign as a whole may not send."""
        if not await self.guarding.explain(refused):
            self._stop(slice_=REST)
        unused = sum(text.segments for text in refused)
        try:
            await self.pump.lookup.give_back(self.pace, segments=unused)
        except PacingUnavailable:
            log.debug("tokens_not_returned", segments=unused)
