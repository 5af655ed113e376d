"""Reads what Twilio keeps of people whom it did not text, and what they texted to whichever number.

An account's log is read as a whole where that is a few pages: it shows what no number's log does,
a service's message that never got a number and a STOP to a number that is no sender here. Where it
is longer, each number's is.
"""

from collections import Counter
from collections.abc import AsyncGenerator, Container, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import structlog

from sender.clocks import Clock, Clocks, read_clocks
from sender.domain.intake import LATE, IntakeMode
from sender.domain.keywords import Keyword, classify
from sender.domain.provider import MessageRecord, Refusals
from sender.domain.receipt import ReceiptMeaning
from sender.domain.scrub import (
    ACCOUNT_OVERLAP,
    ALERTS_OVERLAP,
    FAILURES_OVERLAP,
    FEW_SENDERS,
    FIRST_LOOK,
    Found,
    ScrubSource,
    blocks_since,
    blocks_upto,
)
from sender.drift import may_be_texted, people_of
from sender.errors import ProviderRefused
from sender.hearing import Hearing
from sender.lost_blocks import LostBlocks
from sender.storage import block_marks, inbound, senders
from sender.storage.database import AsyncDatabase, DatabaseError, is_passing

log = structlog.get_logger(__name__)

#: Messages of a number that are read at most, the newest: Twilio cannot be asked for failed ones
#: alone, and takes most of a second for a thousand.
MOST_MESSAGES = 20_000
#: Messages of an account; beyond them it is the numbers that are read.
MOST_OF_ACCOUNT = 5_000

#: What counts for a tenant wherever it was texted to; all else to a number that is no sender here
#: is nobody's business here.
_SAID = frozenset({Keyword.STOP, Keyword.FREE_TEXT, Keyword.START})


class BlockLog(Protocol):
    """What Twilio keeps of people whom it did not text because they have opted out."""

    def messages(self) -> AsyncGenerator[list[MessageRecord]]:
        """The account's messages in both directions, by the page, newest first."""

    def messages_from(self, sender: str) -> AsyncGenerator[list[MessageRecord]]:
        """What was sent from a number or name, likewise."""

    async def refusals(self, since: datetime, *, known: Container[str]) -> Refusals:
        """The account's requests that were refused because of an opt-out."""


@dataclass(frozen=True, kw_only=True)
class Account:
    """One account, as it is asked at one moment."""

    tenant_id: int
    log: BlockLog
    #: Of whom it is counted whether they would have texted somebody.
    sender_ids: Sequence[int]
    #: At that moment.
    clocks: Clocks


@dataclass(frozen=True, kw_only=True)
class Covered:
    """What reading an account's log came to."""

    found: Found
    #: Everything that was created since then was read; ``None``: there was too much.
    since: datetime | None
    #: Senders of whose messages none is left to be read.
    sender_ids: frozenset[int] = frozenset()


@dataclass(frozen=True, kw_only=True)
class BlockReading:
    """Applies what it reads; marks move once that is committed."""

    db: AsyncDatabase
    hearing: Hearing
    lost_blocks: LostBlocks
    mode: IntakeMode
    most_messages: int = MOST_MESSAGES
    most_of_account: int = MOST_OF_ACCOUNT
    #: Alerts that were fetched, of each tenant, as far as they are listed again.
    _fetched: dict[int, frozenset[str]] = field(default_factory=dict)

    async def open(
        self, tenant_id: int, log_: BlockLog, clock: Clock, sender_ids: Sequence[int] = ()
    ) -> Account:
        """Ask for the time.

        Raises:
            ProviderUnavailable: Twilio could not be asked.
        """
        clocks = await read_clocks(self.db, clock)
        return Account(tenant_id=tenant_id, log=log_, sender_ids=sender_ids, clocks=clocks)

    async def account(self, account: Account) -> Covered:
        """Read its log as a whole since it last was, if that is not too much.

        Raises:
            ProviderUnavailable: Twilio could not be asked.
            Exception: a message could not be applied; all others were.
        """
        mark = await self.db.run(block_marks.log_upto, account.tenant_id)
        own = await self.db.run(senders.ids_of, account.tenant_id)
        overlap = ACCOUNT_OVERLAP if len(own) > FEW_SENDERS else FAILURES_OVERLAP
        since = blocks_since(mark, at=account.clocks.now, overlap=overlap)
        drift: Counter[str] = Counter()
        failure: Exception | None = None
        read = _Read(since=account.clocks.at_provider(since), most=self.most_of_account)
        async with aclosing(account.log.messages()) as pages:
            async for new in read.through(pages):
                drift[ScrubSource.FAILURES] += await self._fail(account, new)
                try:
                    drift[ScrubSource.INBOUND] += await self._hear(account, own, new)
                except Exception as exc:
                    if isinstance(exc, DatabaseError) and is_passing(exc):
                        raise
                    failure = failure or exc  # and the other pages all the same
        if failure is not None:
            raise failure
        upto = blocks_upto(read.undecided, at=account.clocks.now)
        await self.db.run(block_marks.log_read, account.tenant_id, upto)
        if read.cut_at is not None:
            before = f"before {read.cut_at:%Y-%m-%d %H:%M}Z"
            unseen = f"texts to other numbers and failures without a number {before}"
            return Covered(found=Found(drift=drift, unseen=(unseen,)), since=None)
        covered = await self.db.run(
            block_marks.all_read,
            account.tenant_id,
            upto,
            since=since,
            oldest=account.clocks.now - FIRST_LOOK,
            overlap=FAILURES_OVERLAP,
        )
        return Covered(found=Found(drift=drift), since=since, sender_ids=covered)

    async def number(self, account: Account, sender_id: int, address: str) -> Found:
        """Read what was sent from a number or name since that was last read.

        Raises:
            ProviderUnavailable: Twilio could not be asked.
        """
        mark = await self.db.run(block_marks.blocks_upto, sender_id)
        since = blocks_since(mark, at=account.clocks.now, overlap=FAILURES_OVERLAP)
        newly_out = 0
        read = _Read(since=account.clocks.at_provider(since), most=self.most_messages)
        async with aclosing(account.log.messages_from(address)) as pages:
            async for new in read.through(pages):
                newly_out += await self._fail(account, new)
        upto = blocks_upto(read.undecided, at=account.clocks.now)
        await self.db.run(block_marks.blocks_read, sender_id, upto)
        cut = () if read.cut_at is None else (f"{read.cut_at:%Y-%m-%d %H:%M}Z",)
        unseen = tuple(f"failures of {address} before {one}" for one in cut)
        return Found(drift={ScrubSource.FAILURES: newly_out}, unseen=unseen)

    async def refusals(self, account: Account) -> Found:
        """Read the account's refused requests since they were last read.

        A key that may not read alerts holds nobody: nothing else needs them.

        Raises:
            ProviderUnavailable: Twilio could not be asked.
        """
        mark = await self.db.run(block_marks.alerts_upto, account.tenant_id)
        since = blocks_since(mark, at=account.clocks.now, overlap=ALERTS_OVERLAP)
        known = self._fetched.get(account.tenant_id, frozenset())
        try:
            found = await account.log.refusals(account.clocks.at_provider(since), known=known)
        except ProviderRefused as exc:
            return Found(unseen=(f"alerts: {exc}",))
        newly_out = await self.lost_blocks.refused(
            account.tenant_id, account.sender_ids, found.requests
        )
        await self.db.run(block_marks.alerts_read, account.tenant_id, account.clocks.now)
        self._fetched[account.tenant_id] = found.fetched
        unseen: tuple[str, ...] = (f"{found.left_out} alerts",) if found.left_out else ()
        if not found.whole:
            unseen += ("older alerts",)
        return Found(drift={ScrubSource.ALERTS: newly_out}, unseen=unseen)

    async def _fail(self, account: Account, new: Sequence[MessageRecord]) -> int:
        return await self.lost_blocks.failed(account.tenant_id, account.sender_ids, new)

    async def _hear(
        self, account: Account, own: Container[str], new: Sequence[MessageRecord]
    ) -> int:
        """Apply what was texted to senders, and STOPs and STARTs to other numbers."""
        said = [
            one for one in new if one.inbound and (one.to in own or classify(one.body) in _SAID)
        ]
        known = await self.db.run(inbound.known, [one.sid for one in said])
        said = [one for one in said if one.sid not in known]
        if not said:
            return 0
        whom = account.tenant_id, account.sender_ids
        before = await self.db.run(may_be_texted, *whom, people_of(one.from_ or "" for one in said))
        await self.hearing.hear(said)
        log.info("account_pulled", tenant=account.tenant_id, messages=len(said))
        late_from = account.clocks.at_provider(account.clocks.now) - LATE
        late = [one for one in said if one.to in own and one.date_created < late_from]
        if late and self.mode is IntakeMode.BOTH:
            log.warning("webhooks_missed", tenant=account.tenant_id, messages=len(late))
        return len(before) - len(await self.db.run(may_be_texted, *whom, before))


@dataclass(kw_only=True)
class _Read:
    """How far a log was read, the newest first."""

    since: datetime
    most: int
    #: The oldest message that Twilio had not passed on, among those of ours.
    undecided: datetime | None = None
    #: What was created before that was not read; ``None``: it reached back as far as it should.
    cut_at: datetime | None = None

    async def through(
        self, pages: AsyncGenerator[list[MessageRecord]]
    ) -> AsyncGenerator[list[MessageRecord]]:
        """What was created since then, by the page."""
        records = 0
        async for page in pages:
            new = [record for record in page if record.date_created >= self.since]
            open_ = (one.date_created for one in new if _is_undecided(one))
            self.undecided = min(filter(None, (self.undecided, *open_)), default=None)
            yield new
            records += len(page)
            if not new:
                return
            if records >= self.most:
                self.cut_at = min(record.date_created for record in page)
                return


def _is_undecided(record: MessageRecord) -> bool:
    return not record.inbound and record.verdict.meaning is ReceiptMeaning.PROGRESS
