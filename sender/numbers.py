"""One tenant's numbers that cannot be texted for now, as programs and the command line see them."""

from collections.abc import Iterator
from dataclasses import dataclass

from sender.errors import ErasureRefused
from sender.recipients import recipient_of
from sender.storage import number_health
from sender.storage.database import Database
from sender.storage.number_health import NumberHealth

#: Numbers read at a time, so that an iteration holds no transaction open.
PAGE = 2000


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """What deliveries say about this tenant's numbers. Campaigns skip the bad ones.

    It is learnt from failures, expires, and is wiped away by a delivery. It is no suppression
    list: whoever must not be texted stands there.
    """

    db: Database
    tenant_id: int

    def check(self, number: str) -> NumberHealth | None:
        """What failures say about a number; ``None`` if nothing does.

        Raises:
            InvalidRecipient: not a telephone number.
        """
        return self.db.run(
            number_health.of, tenant_id=self.tenant_id, recipient=recipient_of(number)
        )

    def bad(self) -> Iterator[NumberHealth]:
        """The numbers that are skipped now, by number, read by the page."""
        after = 0
        while page := self._bad(after):
            yield from page
            after = page[-1].recipient

    def _bad(self, after: int) -> list[NumberHealth]:
        return self.db.run(number_health.bad, tenant_id=self.tenant_id, after=after, limit=PAGE)

    def forget(self, number: str, *, author: str) -> bool:
        """Have a number texted again, as if it had never failed; whether anything was known of it.

        Raises:
            InvalidRecipient: not a telephone number.
            ErasureRefused: nobody is named who does it.
        """
        if not author.strip():
            raise ErasureRefused("forgetting a number needs an author")
        return self.db.run(
            number_health.forget,
            tenant_id=self.tenant_id,
            recipient=recipient_of(number),
            author=author,
        )
