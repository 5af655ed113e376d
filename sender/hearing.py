"""Applies what people said, as Twilio's log tells of it: the way of webhooks that did not come."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from sender.domain.consent import Suppression
from sender.domain.inbound import InboundText
from sender.domain.provider import MessageRecord
from sender.enforcement import SuppressionCache
from sender.storage.database import AsyncDatabase, DatabaseError, Transaction, is_passing


class _Applied(Protocol):
    """What an inbound message led to."""

    @property
    def event_ids(self) -> Sequence[int]:
        """The opt-outs to be enforced."""

    @property
    def suppressions(self) -> Sequence[Suppression]:
        """The person's suppressions now, if any were added."""


class Inbound(Protocol):
    """Applies inbound messages, each once."""

    def apply(self, tx: Transaction, text: InboundText) -> _Applied:
        """Keep the message and act on what it says."""


@dataclass(frozen=True, kw_only=True)
class Hearing:
    """Hears inbound messages from the log, each in a transaction of its own."""

    db: AsyncDatabase
    inbound: Inbound
    cache: SuppressionCache

    async def hear(self, records: Iterable[MessageRecord]) -> list[int]:
        """Apply them, oldest first, as if their webhooks came now; the opt-outs among them.

        When this returns they are committed, and the guard refuses whom they cover.

        Raises:
            Exception: one could not be applied; those after it were, unless Postgres is away.
        """
        opt_outs: list[int] = []
        failures: list[Exception] = []
        for record in sorted(records, key=lambda one: one.date_created):
            if record.from_ is None:
                continue
            try:
                applied = await self.db.run(self.inbound.apply, InboundText.from_record(record))
            except Exception as exc:
                if isinstance(exc, DatabaseError) and is_passing(exc):
                    raise
                failures.append(exc)
                continue
            await self.cache.add(applied.suppressions)
            opt_outs += applied.event_ids
        if failures:
            raise failures[0]
        return opt_outs
