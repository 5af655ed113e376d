"""Event Streams: what is new in a batch of events, and which messages of ours it is about.

The news themselves are applied where webhooks are; each of them can be applied again. An event is
remembered once it was applied, so that a batch that comes again costs little; by the account whose
sink it came from, because an account says itself what its events are called.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sender import other_blocks
from sender.domain.consent import Suppression
from sender.domain.phone import digits
from sender.domain.receipt import Receipt, ReceiptMeaning
from sender.domain.stream import StatusNews, StreamEvent
from sender.enforcement import Enforcement
from sender.storage import message_facts, stream
from sender.storage.database import AsyncDatabase


@dataclass(frozen=True, kw_only=True)
class EventStream:
    """The events that come to this installation."""

    db: AsyncDatabase
    enforcement: Enforcement

    async def unseen(self, account_sid: str, events: Sequence[StreamEvent]) -> list[StreamEvent]:
        """Those of an account's that were not applied yet, each once; and what has no id."""
        once = {_name(account_sid, one): one for one in events if one.id}
        seen = await self.db.run(stream.seen, list(once)) if once else set()
        fresh = [one for name, one in once.items() if name not in seen]
        return [*(one for one in events if not one.id), *fresh]

    async def applied(self, account_sid: str, events: Sequence[StreamEvent]) -> None:
        """Remember that they were applied."""
        await self.db.run(stream.note, [_name(account_sid, one) for one in events if one.id])

    async def block(self, event: StreamEvent) -> Sequence[Suppression]:
        """Keep a 21610 of a message that is not ours; the person's suppressions after it."""
        news = event.news
        if not isinstance(news, StatusNews) or news.verdict.meaning is not ReceiptMeaning.OPTED_OUT:
            return ()
        at = event.at or datetime.now(UTC)
        return await self.db.run(
            other_blocks.record, self.enforcement, news, source="other_event", at=at
        )

    async def receipts(self, events: Sequence[StreamEvent]) -> dict[str, Receipt]:
        """The receipts of our own messages, by event: the account may have others."""
        news = {one.id: one.news for one in events if isinstance(one.news, StatusNews)}
        unknown = [one for one in news.values() if one.message_id is None]
        told = [(to, one.sid) for one in unknown if (to := _recipient(one.to)) is not None]
        found = await self.db.run(message_facts.with_sids, told) if told else {}
        ids = {id_: one.message_id or found.get(one.sid) for id_, one in news.items()}
        return {id_: news[id_].as_receipt(ours) for id_, ours in ids.items() if ours is not None}


def _name(account_sid: str, event: StreamEvent) -> str:
    return f"{account_sid}/{event.id}"


def _recipient(address: str) -> int | None:
    try:
        return digits(address)
    except ValueError:
        return None
