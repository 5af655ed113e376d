"""Erasure on request, and by age: people's words go, their opt-outs stay.

The number itself stays in the consent log and on the list. It has to: without it nobody could
tell any more that this person must not be texted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from sender.domain.message import State
from sender.errors import ErasureRefused
from sender.recipients import recipient_of
from sender.storage import erasure
from sender.storage.database import Database
from sender.storage.erasure import Bounds, Keeping, Order

#: In these states a message's text may still have to be written, or compared with Twilio's log.
_NEEDED = {State.PENDING, State.SENDING, State.IN_DOUBT, State.UNKNOWN}
_OVER = sorted(state.value for state in set(State) - _NEEDED)


@dataclass(frozen=True, kw_only=True)
class Erased:
    """How much was emptied."""

    #: Consent events whose evidence is gone; the events stay.
    evidence: int
    #: Inbound messages whose words are gone.
    inbound: int
    #: Messages of ours whose audience columns are gone.
    messages: int


@dataclass(frozen=True, kw_only=True)
class Erasures:
    """Erases within one tenant, in small transactions: broken off, it goes on when run again."""

    db: Database
    tenant_id: int

    def person(self, number: str, *, author: str) -> Erased:
        """Empty what is kept of a person's words and data.

        The chain over the log stays right, and who was suppressed stays so. What waits for a
        review stays until it is decided; messages that may still change keep their fields.

        Raises:
            InvalidRecipient: not a telephone number.
            ErasureRefused: nobody is named who does it.
        """
        order, who = self._order(author), recipient_of(number)
        return _each(lambda one: self.db.run(erasure.erase_person, one, order, recipient=who))

    def older_than(self, age: timedelta, *, author: str) -> Erased:
        """The same for everybody, of what came (or whose campaign ended) longer ago than that.

        It reads each table through once, whatever is left in it to erase.

        Raises:
            ErasureRefused: nobody is named who does it, or the age is not above zero.
        """
        if age <= timedelta():
            raise ErasureRefused("the age must be above zero")
        order, bounds = self._order(author), Bounds(age=age)
        return _each(lambda one: self._page_by_page(one, order, bounds))

    def _order(self, author: str) -> Order:
        if not author.strip():
            raise ErasureRefused("erasing needs an author")
        return Order(tenant_id=self.tenant_id, author=author, over=_OVER)

    def _page_by_page(self, keeping: Keeping, order: Order, bounds: Bounds) -> int:
        """Through the whole table, each page in a transaction of its own; how many rows."""
        total, after = 0, keeping.before_all
        while page := self.db.run(erasure.erase_page, keeping, order, bounds, after=after):
            total, after = total + page.emptied, page.upto
        return total


def _each(erase: Callable[[Keeping], int]) -> Erased:
    return Erased(
        evidence=erase(erasure.EVIDENCE),
        inbound=erase(erasure.INBOUND),
        messages=erase(erasure.FIELDS),
    )
