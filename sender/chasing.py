"""Asks Twilio for messages whose callback with a final status did not come.

Callbacks can be lost, and a lost one may have been a 21610. Nothing of a send waits for this; it
asks for a few messages a minute, and never for the same one often.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

import structlog

from sender.domain.consent import Suppression
from sender.domain.message import State
from sender.domain.provider import MessageRecord
from sender.domain.receipt import Receipt, state_of
from sender.errors import ConfigurationError, ProviderUnavailable
from sender.storage import cursors, missed_receipts
from sender.storage.database import AsyncDatabase, Transaction
from sender.storage.missed_receipts import Missed

log = structlog.get_logger(__name__)

#: One process of the fleet has a turn in each minute.
TURN = timedelta(minutes=1)
TURNS = "missed_receipts"
#: How long one turn goes on: it holds a worker's thread.
CHASE_FOR = timedelta(seconds=10)
#: How long one answer is waited for.
ANSWER_WITHIN = timedelta(seconds=5)
#: Asked for at the same time: the account's concurrency is the senders' first.
AT_A_TIME = 10
#: How long after a message's validity Twilio is asked for it; carriers report within 48 h or never.
LONGEST = timedelta(hours=48)


class ProviderLog(Protocol):
    """Twilio's log of messages."""

    async def fetch(self, sid: str) -> MessageRecord | None:
        """One message's record, ``None`` if there is none."""


class ProviderLogs(Protocol):
    """Each tenant's log."""

    async def of(self, tenant_id: int) -> ProviderLog:
        """The tenant's log; ``ConfigurationError`` where it cannot sign in."""


class Receipts(Protocol):
    """Where status callbacks are applied; what stands for one is, too."""

    async def count(self, db: AsyncDatabase, batch: Sequence[Receipt]) -> Sequence[Suppression]:
        """Apply them; the suppressions that they led to."""


class SuppressionCache(Protocol):
    """The Redis set: best effort, it never raises."""

    async def add(self, entries: Iterable[Suppression]) -> None:
        """Make these numbers hit at once."""


@dataclass(frozen=True, kw_only=True)
class Chaser:
    """Works off the list of messages without a final status."""

    db: AsyncDatabase
    providers: ProviderLogs
    receipts: Receipts
    cache: SuppressionCache
    #: How long a callback is waited for; none: Twilio is never asked.
    patience: timedelta
    #: How many messages the fleet asks for in a minute.
    per_minute: int
    #: The provider's words for a message that it has not passed on.
    kept: frozenset[str]
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def chase(self) -> int:
        """Take the minute's turn, if nobody had it; for how many messages Twilio was asked."""
        if not self.patience or self.busy.locked():
            return 0
        async with self.busy:
            if not await self.db.run(cursors.take_turn, TURNS, every=TURN):
                return 0
            give_up_at = time.monotonic() + CHASE_FOR.total_seconds()
            await self._in_rounds(self._give_up_old, missed_receipts.ROWS_AT_A_TIME, give_up_at)
            await self._in_rounds(self._enlist, missed_receipts.SLICES_AT_A_TIME, give_up_at)
            asked = 0
            while asked < self.per_minute and time.monotonic() < give_up_at:
                limit = min(AT_A_TIME, self.per_minute - asked)
                claimed = await self.db.run(missed_receipts.claim, limit=limit, after=self.patience)
                asked += await self._look_into(claimed)
                if len(claimed) < limit:
                    break
            return asked

    async def _in_rounds(
        self, work: Callable[[Transaction], int], full: int, give_up_at: float
    ) -> None:
        """Do it until nothing is left or time is up, a transaction each."""
        while time.monotonic() < give_up_at and await self.db.run(work) == full:
            pass

    def _give_up_old(self, tx: Transaction) -> int:
        return missed_receipts.give_up_old(tx)

    def _enlist(self, tx: Transaction) -> int:
        return missed_receipts.enlist(tx, after=self.patience, longest=LONGEST, kept=self.kept)

    async def _look_into(self, claimed: Sequence[Missed]) -> int:
        """Apply what Twilio says of them; for how many it was asked."""
        known = [one for one in claimed if one.is_open and one.sid is not None]
        found = await asyncio.gather(*map(self._fetch, known))
        receipts = [one for one in found if isinstance(one, Receipt)]
        if receipts:
            await self.cache.add(await self.receipts.count(self.db, receipts))
            log.info("receipts_fetched", messages=len(receipts))
        ended = {one.message_id for one in claimed if not one.is_open}
        ended |= {one.message_id for one, said in zip(known, found, strict=True) if said is None}
        ended |= {one.message_id for one in receipts if _is_final(one)}
        await self.db.run(missed_receipts.forget, sorted(ended))
        return len(known)

    async def _fetch(self, missed: Missed) -> Receipt | bool | None:
        """What its callback would have said; ``None``: nothing ever will, ``False``: not now."""
        try:
            provider = await self.providers.of(missed.tenant_id)
            async with asyncio.timeout(ANSWER_WITHIN.total_seconds()):
                record = await provider.fetch(missed.sid or "")
        except (ProviderUnavailable, ConfigurationError, TimeoutError) as exc:
            why = str(exc) or "no answer in time"
            log.warning("receipt_not_fetched", message=str(missed.message_id), error=why)
            return False
        return None if record is None else record.as_receipt(missed.message_id)


def _is_final(receipt: Receipt) -> bool:
    return state_of(receipt.verdict)[0] is not State.SENT
