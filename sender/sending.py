"""The pump: takes a slice's rows to Twilio, window by window.

For each window the order is fixed: permits (connections that are free) → Redis lookup and pacing
tokens → guard committed → POST → settle. Nothing is held open in Postgres during a POST.
"""

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol
from uuid import UUID

import structlog

from sender.config import BEGIN_WITHIN, LEASE, SEND_DEADLINE
from sender.domain import segments
from sender.domain.admission import Admission, Pace, Verdict
from sender.domain.message import Guarded, OutboundText
from sender.domain.provider import HandOff
from sender.domain.template import Template, TemplateError
from sender.errors import PacingUnavailable
from sender.permits import Permits
from sender.settlement import Handed
from sender.settling import Settler
from sender.storage import campaigns, consent
from sender.storage.database import AsyncDatabase, DatabaseError, Transaction
from sender.storage.messages import DueMessage, MessageTable
from sender.storage.slices import SliceTable, SliceWork

log = structlog.get_logger(__name__)

#: Rows guarded and POSTed together. Larger windows are no faster and lengthen the time between
#: the lookup and the request.
WINDOW = 32
#: Rows read ahead at a time.
READ_AHEAD = 256
#: A slice that cannot go on for longer than this gives its thread back and comes again.
PATIENCE = timedelta(milliseconds=200)
#: A slice's own end: soon when other campaigns wait, in any case before it looks stuck.
SHARE_AFTER = timedelta(seconds=5)
END_AFTER = timedelta(seconds=45)
#: How long a slice rests that was stopped: a hold, a pause, Redis away.
REST = timedelta(seconds=1)
#: How often, a second apart, a slice is tried to be given back.
CLOSE_ATTEMPTS = 30


class Gateway(Protocol):
    """Twilio, as the pump sees it."""

    async def send(self, text: OutboundText, *, deadline: float, connect_by: float) -> HandOff:
        """Make one create request, or none; never raises for what the wire does."""


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


class CacheRepair(Protocol):
    """Takes wrong hits out of the Redis set; best effort, never raises."""

    async def forget(self, scopes: Sequence[tuple[int, int]], recipients: Sequence[int]) -> None:
        """Remove these numbers from these scopes."""


@dataclass(frozen=True, kw_only=True)
class _Text:
    """A due row with its body."""

    row: DueMessage
    body: str
    segments: int


@dataclass(frozen=True, kw_only=True)
class Pump:
    """One worker process's way to Twilio; shared by all its slices."""

    db: AsyncDatabase
    slices: SliceTable
    messages: MessageTable
    lookup: Lookup
    repair: CacheRepair
    gateway: Gateway
    settler: Settler
    permits: Permits
    #: This process's worker id, which owns the rows it guards.
    owner: int
    #: Set at shutdown: slices end at their next window, what is in flight is settled.
    stopping: asyncio.Event

    async def work(self, slice_id: int) -> bool:
        """Work on a slice until it is done, its time is over, or something stops it.

        Harmless when the slice is done or another worker's: then it returns at once.

        Returns:
            Whether this call worked on the slice.
        """
        work = await self.db.run(self.slices.lease, slice_id, owner=self.owner, lease=LEASE)
        if work is None:
            return False
        run = _SliceRun(pump=self, work=work)
        try:
            await run.drain()
        finally:
            await self._close(slice_id, run.rest)
        return True

    async def _close(self, slice_id: int, rest: timedelta) -> None:
        """Give the slice back, through a short absence of Postgres; its lease ends it otherwise."""
        for _ in range(CLOSE_ATTEMPTS):
            try:
                await self.db.run(self.slices.close, slice_id, owner=self.owner, rest=rest)
            except DatabaseError as exc:
                log.warning("slice_not_closed", slice=slice_id, error=type(exc).__name__)
                await asyncio.sleep(REST.total_seconds())
            else:
                return


@dataclass(kw_only=True)
class _SliceRun:
    """One run over one slice."""

    pump: Pump
    work: SliceWork
    #: How long the slice rests after this run.
    rest: timedelta = timedelta()
    stopped: bool = False
    began: float = field(default_factory=time.monotonic)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        work = self.work
        self.template = Template.parse(work.body)
        self.after = UUID(int=work.first_id.int - 1)
        self.pace = Pace(
            tenant_id=work.tenant_id,
            sender_id=work.sender_id,
            rate=work.segments_per_second,
            burst=max(1, round(work.segments_per_second)),
        )

    async def drain(self) -> None:
        """Send what is due, then wait for what is in flight."""
        try:
            while not self.stopped and await self._has_time():
                rows = await self._read()
                if not rows:
                    return
                await self._send(deque(await self._rendered(rows)))
        except PacingUnavailable as exc:
            log.warning("pacing_unavailable", slice=self.work.slice_id, error=str(exc))
            self._stop(REST)
        except DatabaseError as exc:
            log.warning("database_unavailable", slice=self.work.slice_id, error=type(exc).__name__)
            self._stop(REST)
        finally:
            if self.tasks:
                await asyncio.wait(self.tasks)

    def _stop(self, rest: timedelta) -> None:
        self.stopped, self.rest = True, rest

    async def _has_time(self) -> bool:
        age = timedelta(seconds=time.monotonic() - self.began)
        if self.pump.stopping.is_set() or age > END_AFTER:
            return False
        if age < SHARE_AFTER:
            return True
        campaign_id = self.work.campaign_id
        return not await self.pump.db.run(self.pump.slices.others_wait, campaign_id=campaign_id)

    async def _read(self) -> list[DueMessage]:
        rows = await self.pump.db.run(
            self.pump.messages.due,
            campaign_id=self.work.campaign_id,
            after=self.after,
            last=self.work.last_id,
            limit=READ_AHEAD,
        )
        if rows:
            self.after = rows[-1].id
        return rows

    async def _rendered(self, rows: Sequence[DueMessage]) -> list[_Text]:
        texts, unfit = [], {}
        for row in rows:
            try:
                body = self.template.render(row.fields)
            except TemplateError as exc:
                unfit[row.id] = str(exc)
            else:
                texts.append(_Text(row=row, body=body, segments=segments.count(body).segments))
        if unfit:
            await self.pump.db.run(self.pump.messages.refuse, list(unfit), reason="unfit_body")
        return texts

    async def _send(self, waiting: deque[_Text]) -> None:
        """Window after window, until none is left or the slice must stop."""
        while waiting and not self.stopped and not self.pump.stopping.is_set():
            count = await self.pump.permits.take(min(WINDOW, len(waiting)))
            began, begun = 0.0, 0
            try:
                window = [waiting.popleft() for _ in range(count)]
                admitted, wait = await self._admit(window, waiting)
                began = time.monotonic()
                guarded = await self._guard([text.row for text in admitted])
                begun = self._begin(admitted, guarded, began)
            finally:
                self.pump.permits.give_back(count - begun)
            if refused := [text for text in admitted if text.row.id not in guarded]:
                await self._settle_refused(refused)
            await self._pace(wait)

    async def _pace(self, wait: timedelta) -> None:
        if wait > PATIENCE:
            self._stop(wait)
        elif wait:
            await asyncio.sleep(wait.total_seconds())

    async def _admit(
        self, window: list[_Text], waiting: deque[_Text]
    ) -> tuple[list[_Text], timedelta]:
        """Ask Redis: hits are settled, what gets no token goes back to the head of the line."""
        answer = await self.pump.lookup.check(
            pace=self.pace,
            scopes=self.work.scopes,
            recipients=[text.row.recipient for text in window],
            segments=[text.segments for text in window],
        )
        asked = list(zip(window, answer.verdicts, strict=True))
        hits = [text for text, verdict in asked if verdict is Verdict.SUPPRESSED]
        others = [text for text, verdict in asked if verdict is not Verdict.SUPPRESSED]
        if hits:
            await self._settle_hits([text.row for text in hits])
        waiting.extendleft(reversed(others[answer.admitted :]))
        return others[: answer.admitted], answer.wait

    async def _settle_hits(self, rows: Sequence[DueMessage]) -> None:
        """A hit is settled with Postgres's reason; one that Postgres does not know is repaired."""
        db, messages = self.pump.db, self.pump.messages
        settled = await db.run(messages.suppress, [row.id for row in rows])
        if unknown := [row.recipient for row in rows if row.id not in settled]:
            wrong = await db.run(consent.unsuppressed, self.work.scopes, unknown)
            await self.pump.repair.forget(self.work.scopes, wrong)

    async def _guard(self, rows: Sequence[DueMessage]) -> Mapping[UUID, Guarded]:
        """Commit "I am about to send"; what the guard let pass, by message id."""
        if not rows:
            return {}
        pump = self.pump
        try:
            found = await pump.db.run(pump.messages.guard, rows, owner=pump.owner, lease=LEASE)
        except DatabaseError:
            # The commit may have happened; none of these rows was sent, so they may go back.
            await self._undo(rows)
            raise
        return {one.message_id: one for one in found}

    def _begin(self, window: Sequence[_Text], guarded: Mapping[UUID, Guarded], began: float) -> int:
        """Start the hand-offs, each of which gives its own permit back; how many."""
        for text in window:
            if licence := guarded.get(text.row.id):
                task = asyncio.create_task(self._hand_off(text, licence, began))
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)
        return len(guarded)

    async def _undo(self, rows: Sequence[DueMessage]) -> None:
        pump, mine = self.pump, {row.id: row.gen + 1 for row in rows}
        try:
            await pump.db.run(pump.messages.put_back, mine, owner=pump.owner, reason="guard_broke")
        except DatabaseError as exc:  # the sweeper will call them in_doubt: slower, still safe
            log.warning("put_back_failed", rows=len(mine), error=type(exc).__name__)

    async def _hand_off(self, text: _Text, licence: Guarded, began: float) -> None:
        outbound = OutboundText(
            message_id=licence.message_id,
            sender=self.work.sender,
            recipient=text.row.recipient,
            body=text.body,
            validity=self.work.validity,
        )
        try:
            hand_off = await self.pump.gateway.send(
                outbound,
                deadline=began + SEND_DEADLINE.total_seconds(),
                connect_by=began + BEGIN_WITHIN.total_seconds(),
            )
            handed = Handed(guarded=licence, hand_off=hand_off, sender_id=self.work.sender_id)
            await self.pump.settler.settled(handed)
        finally:
            self.pump.permits.give_back(1)

    async def _settle_refused(self, refused: Sequence[_Text]) -> None:
        """Give suppressed rows their reason; stop if the campaign as a whole may not send."""
        ids = [text.row.id for text in refused]
        suppressed, may_send = await self.pump.db.run(self._explain, ids)
        if len(suppressed) < len(ids) and not may_send:
            self._stop(REST)
        try:
            unused = sum(text.segments for text in refused)
            await self.pump.lookup.give_back(self.pace, segments=unused)
        except PacingUnavailable:
            log.debug("tokens_not_returned", segments=unused)

    def _explain(self, tx: Transaction, ids: Sequence[UUID]) -> tuple[set[UUID], bool]:
        suppressed = self.pump.messages.suppress(tx, ids)
        return suppressed, campaigns.may_send(tx, self.work.campaign_id)
