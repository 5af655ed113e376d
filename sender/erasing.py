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
from sender.storage.erasure import Extent

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
        return self._erase(recipient_of(number), None, author)

    def older_than(self, age: timedelta, *, author: str) -> Erased:
        """The same for everybody, of what came (or whose campaign ended) longer ago than that.

        Raises:
            ErasureRefused: nobody is named who does it, or the age is not above zero.
        """
        if age <= timedelta():
            raise ErasureRefused("the age must be above zero")
        return self._erase(None, age, author)

    def _erase(self, recipient: int | None, age: timedelta | None, author: str) -> Erased:
        if not author.strip():
            raise ErasureRefused("erasing needs an author")
        extent = Extent(tenant_id=self.tenant_id, recipient=recipient, age=age)
        db = self.db
        return Erased(
            evidence=_all(lambda: db.run(erasure.erase_evidence, extent, author=author)),
            inbound=_all(lambda: db.run(erasure.erase_inbound, extent)),
            messages=_all(lambda: db.run(erasure.erase_fields, extent, over=_OVER)),
        )


def _all(step: Callable[[], int]) -> int:
    """Batch after batch until nothing is left; the sum."""
    total = 0
    while done := step():
        total += done
    return total
