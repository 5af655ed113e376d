"""Event Streams: what is new in a batch of events, and which messages of ours it is about.

The news themselves are applied where webhooks are; each of them can be applied again. An event is
remembered once it was applied, so that a batch that comes again costs little.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sender.domain.phone import digits
from sender.domain.receipt import Receipt
from sender.domain.stream import StatusNews, StreamEvent
from sender.storage import message_facts, stream
from sender.storage.database import AsyncDatabase


@dataclass(frozen=True, kw_only=True)
class EventStream:
    """The events that come to this installation."""

    db: AsyncDatabase

    async def unseen(self, events: Sequence[StreamEvent]) -> list[StreamEvent]:
        """Those that were not applied yet, each once."""
        once = {one.id: one for one in events}
        seen = await self.db.run(stream.seen, list(once))
        return [one for id_, one in once.items() if id_ not in seen]

    async def applied(self, events: Sequence[StreamEvent]) -> None:
        """Remember that they were applied."""
        await self.db.run(stream.note, [one.id for one in events])

    async def receipts(self, events: Sequence[StreamEvent]) -> dict[str, Receipt]:
        """The receipts of our own messages, by event: the account may have others."""
        news = {one.id: one.news for one in events if isinstance(one.news, StatusNews)}
        unknown = [one for one in news.values() if one.message_id is None]
        told = [(to, one.sid) for one in unknown if (to := _recipient(one.to)) is not None]
        found = await self.db.run(message_facts.with_sids, told) if told else {}
        ids = {id_: one.message_id or found.get(one.sid) for id_, one in news.items()}
        return {id_: news[id_].as_receipt(ours) for id_, ours in ids.items() if ours is not None}


def _recipient(address: str) -> int | None:
    try:
        return digits(address)
    except ValueError:
        return None
