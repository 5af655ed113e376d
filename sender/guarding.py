"""The guard of one run over a slice: windows are counted, guarded, and told why they are not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

import structlog

from sender.budgets import Budget
from sender.config import LEASE
from sender.crashing import CrashPoint, Passing
from sender.domain.message import Guarded
from sender.high_water import HighWater
from sender.send_clock import send_clock
from sender.storage import campaigns
from sender.storage.database import AsyncDatabase, DatabaseError, Transaction, told
from sender.storage.messages import DueMessage, MessageTable
from sender.storage.slices import SliceWork
from sender.texts import DueText

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Guarding:
    """Commits "I am about to send"."""

    db: AsyncDatabase
    messages: MessageTable
    work: SliceWork
    budget: Budget
    #: The process's worker id, which owns the rows it guards.
    owner: int
    passing: Passing
    #: What is known of the database, which the guard must find; ``None`` where nobody looks.
    water: HighWater | None

    async def count_ahead(self, texts: Sequence[DueText]) -> None:
        """Count the next window's segments in advance, before anything of it is looked up.

        Raises:
            DatabaseError: they may have been counted or not; they are used by nobody.
        """
        now = send_clock()
        if self.budget.is_short_of(texts, at=now):
            await self.db.run_alone(self.budget.count_ahead, texts, at=now)

    async def guard(self, texts: Sequence[DueText], began: float) -> Mapping[int, Guarded]:
        """What of a window may be sent, by message id as a number: a UUID is slow as a key.

        Args:
            texts: the window.
            began: when it began, by the send clock.

        Raises:
            DatabaseError: none of them may be; they were put back, or will be in doubt.
        """
        seen = self.water.seen if self.water else None
        if not texts or (self.water and seen is None):  # let go at shutdown, before the first look
            return {}
        guard = partial(self.messages.guard, owner=self.owner, lease=LEASE, seen=seen)
        self.passing(CrashPoint.BEFORE_GUARD)
        try:
            if self.budget.draw(texts, at=began):
                found = await self.db.run_alone(guard, [text.row for text in texts])
            else:
                found = await self.db.run(self.budget.guard, texts, guard, at=began)
        except DatabaseError:
            # The commit may have happened; none of these rows was sent, so they may go back.
            await self._undo([text.row for text in texts])
            raise
        if found:
            self.passing(CrashPoint.AFTER_GUARD)
        guarded = {one.message_id.int: one for one in found}
        self.budget.went(sum(text.segments for text in texts if text.row.id.int in guarded))
        return guarded

    async def _undo(self, rows: Sequence[DueMessage]) -> None:
        mine = {row.id: row.gen + 1 for row in rows}
        try:
            await self.db.run(self.messages.put_back, mine, owner=self.owner, reason="guard_broke")
        except DatabaseError as exc:  # the sweeper will call them in_doubt: slower, still safe
            log.warning("put_back_failed", rows=len(mine), error=told(exc))

    async def explain(self, refused: Sequence[DueText]) -> bool:
        """Give those of a window that are suppressed their reason.

        Returns:
            Whether the others were refused for themselves: the campaign as a whole may send.
        """
        ids = [text.row.id for text in refused]
        suppressed, may_send = await self.db.run(self._explain, ids)
        log.info("guard_refused", rows=len(ids), suppressed=len(suppressed))
        return may_send or len(suppressed) == len(ids)

    def _explain(self, tx: Transaction, ids: Sequence[UUID]) -> tuple[set[UUID], bool]:
        suppressed = self.messages.suppress(tx, ids)
        return suppressed, campaigns.may_send(tx, self.work.campaign_id)
