"""Takes back what the provider accepted and has not passed on: of canceled campaigns, after STOPs.

Most of it leaves within the second, and then it is too late. What can be taken back is what the
provider put off by itself (quiet hours) or still has in its queue. Nobody waits for this: a STOP
is enforced, and answered, whatever becomes of it.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

import structlog

from sender.domain.message import sources_of
from sender.domain.provider import MessageRecord
from sender.domain.receipt import CallbackVerdict, ReceiptMeaning, state_of
from sender.errors import ConfigurationError, ProviderUnavailable
from sender.storage import recalls, sweeping
from sender.storage.database import AsyncDatabase, Transaction
from sender.storage.messages import Evidence, MessageTable
from sender.storage.recalls import Recall

log = structlog.get_logger(__name__)

#: Asked of the provider at the same time: a campaign may have thousands, and the account's
#: concurrency is the senders' first.
RECALLS_AT_A_TIME = 10
#: How long one round goes on: it holds a worker's thread.
RECALL_FOR = timedelta(seconds=20)
#: Looked at in one transaction, whether they still are to be asked for.
DECIDED_AT_A_TIME = 1000
#: Opt-outs looked at in one transaction; an import may bring a million.
OPT_OUTS_AT_A_TIME = 1000

_CANCELED = CallbackVerdict(meaning=ReceiptMeaning.CANCELED, cause=None)


class Provider(Protocol):
    """Twilio, as far as it takes messages back."""

    async def cancel(self, sid: str) -> bool:
        """Cancel a message that has not left; ``False`` if it is too late or unknown."""

    async def fetch(self, sid: str) -> MessageRecord | None:
        """Its record of one message."""


class Providers(Protocol):
    """Each tenant's way to Twilio."""

    async def of(self, tenant_id: int) -> Provider:
        """The tenant's; ``ConfigurationError`` where it cannot sign in."""


@dataclass(frozen=True, kw_only=True)
class Recaller:
    """Works off the list of messages to take back."""

    db: AsyncDatabase
    messages: MessageTable
    providers: Providers
    #: The provider's words for a message that has not left it.
    kept: frozenset[str]
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def recall(self) -> int:
        """Take back what is wanted back, for a while; how many messages were.

        One round at a time: when Twilio hangs, rounds must not pile up.
        """
        if self.busy.locked():
            return 0
        async with self.busy:
            give_up_at = time.monotonic() + RECALL_FOR.total_seconds()
            await self._enlist(give_up_at)
            await self._forget(give_up_at)
            recalled = 0
            while time.monotonic() < give_up_at:
                claimed = await self.db.run(recalls.claim, limit=RECALLS_AT_A_TIME)
                answers = await asyncio.gather(*map(self._ask, claimed))
                await self.db.run(self._settle, list(zip(claimed, answers, strict=True)))
                recalled += answers.count(True)
                if len(claimed) < RECALLS_AT_A_TIME:
                    break
            if recalled:
                log.info("recalled", messages=recalled)
            return recalled

    async def _enlist(self, give_up_at: float) -> None:
        """Put on the list what canceled campaigns and enforced opt-outs left at the provider."""
        for campaign_id in await self.db.run(recalls.canceled):
            slice_ids = await self.db.run(recalls.slices_of, campaign_id)
            step = sweeping.SLICES_AT_A_TIME
            for first in range(0, len(slice_ids), step):
                some = slice_ids[first : first + step]
                await self.db.run(recalls.enlist, some, kept=self.kept)
            await self.db.run(recalls.enlisted, campaign_id)
        while time.monotonic() < give_up_at:
            looked_at = await self.db.run(
                recalls.enlist_opt_outs, kept=self.kept, limit=OPT_OUTS_AT_A_TIME
            )
            if looked_at < OPT_OUTS_AT_A_TIME:
                break

    async def _forget(self, give_up_at: float) -> None:
        """Forget what is decided, until the head of the line has mostly what is not."""
        while time.monotonic() < give_up_at:
            gone = await self.db.run(
                recalls.forget_decided, kept=self.kept, limit=DECIDED_AT_A_TIME
            )
            if gone < DECIDED_AT_A_TIME / 2:
                break

    async def _ask(self, recall: Recall) -> bool | None:
        """Whether the provider canceled it; ``None`` when it could not be asked."""
        try:
            provider = await self.providers.of(recall.tenant_id)
            return await provider.cancel(recall.sid) or await _was_canceled(provider, recall)
        except (ProviderUnavailable, ConfigurationError) as exc:
            log.warning("not_recalled", message=str(recall.message_id), error=str(exc))
            return None

    def _settle(self, tx: Transaction, answered: Sequence[tuple[Recall, bool | None]]) -> None:
        """What was canceled is canceled, what left is left as it is; the others stay listed."""
        state, reason = state_of(_CANCELED)
        canceled = [
            Evidence(
                message_id=recall.message_id,
                reason=reason,
                sid=recall.sid,
                provider_status=ReceiptMeaning.CANCELED.value,
                provider_code=None,
            )
            for recall, answer in answered
            if answer
        ]
        self.messages.learn(tx, canceled, state, sources_of(state))
        recalls.forget(tx, [recall.message_id for recall, answer in answered if answer is not None])


async def _was_canceled(provider: Provider, recall: Recall) -> bool:
    """Whether "too late" means: by an earlier try of ours whose answer was lost."""
    record = await provider.fetch(recall.sid)
    return record is not None and record.verdict.meaning is ReceiptMeaning.CANCELED
