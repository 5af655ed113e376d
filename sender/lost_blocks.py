"""Applies the blocks that Twilio's records tell of: people whom it refuses, unknown to us."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sender.domain.consent import Suppression
from sender.domain.message import State, sources_of
from sender.domain.provider import MessageRecord, RefusedRequest
from sender.domain.receipt import ReceiptMeaning, state_of
from sender.drift import may_be_texted, people_of
from sender.enforcement import BlockReport, Enforcement, LostBlock, SuppressionCache
from sender.storage import scrubs
from sender.storage.database import AsyncDatabase, Transaction
from sender.storage.messages import Evidence, MessageTable


@dataclass(frozen=True, kw_only=True)
class LostBlocks:
    """Each in a transaction of its own; once a call returns, the guard refuses whom they cover."""

    db: AsyncDatabase
    enforcement: Enforcement
    messages: MessageTable
    cache: SuppressionCache

    async def failed(
        self, tenant_id: int, sender_ids: Sequence[int], records: Iterable[MessageRecord]
    ) -> int:
        """Apply those of an account's messages that failed with a block.

        Returns:
            How many people these senders would have texted until now.
        """
        blocks = filter(_is_block, records)
        failed = [(person, one) for one in blocks for person in people_of([one.to])]
        people = list({person for person, _ in failed})
        if not people:
            return 0
        before = await self.db.run(may_be_texted, tenant_id, sender_ids, people)
        for person, record in failed:
            await self.cache.add(await self.db.run(self._failed, tenant_id, person, record))
        after = await self.db.run(may_be_texted, tenant_id, sender_ids, before)
        return len(before) - len(after)

    async def refused(
        self, tenant_id: int, sender_ids: Sequence[int], requests: Iterable[RefusedRequest]
    ) -> int:
        """Apply an account's requests that were refused with a block.

        Returns:
            How many people these senders would have texted until now.
        """
        lost = [
            LostBlock.from_refusal(one, tenant_id, person)
            for one in requests
            for person in people_of([one.to])
        ]
        people = list({one.recipient for one in lost})
        before = await self.db.run(may_be_texted, tenant_id, sender_ids, people)
        for one in lost:
            await self.cache.add(await self.db.run(self.enforcement.record_lost_block, one))
        after = await self.db.run(may_be_texted, tenant_id, sender_ids, before)
        return len(before) - len(after)

    def _failed(
        self, tx: Transaction, tenant_id: int, recipient: int, record: MessageRecord
    ) -> Sequence[Suppression]:
        """One of ours whose callback was lost goes the way of a callback, another as a lost one."""
        own = scrubs.owner(tx, tenant_id=tenant_id, recipient=recipient, sid=record.sid)
        if own is None:
            lost = LostBlock.from_record(record, tenant_id, recipient)
            return self.enforcement.record_lost_block(tx, lost)
        if own.state == State.SUPPRESSED:
            return ()
        began_at = own.guarded_at or record.date_created
        report = BlockReport.from_record(record, own.id, began_at=began_at)
        active = self.enforcement.record_block(tx, report)
        state, _ = state_of(record.verdict)
        self.messages.learn(tx, [Evidence.from_record(record, own.id)], state, sources_of(state))
        return active


def _is_block(record: MessageRecord) -> bool:
    return not record.inbound and record.verdict.meaning is ReceiptMeaning.OPTED_OUT
