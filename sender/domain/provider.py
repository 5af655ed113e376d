"""What the provider tells us about messages: the answer to one hand-off, and its own records."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sender.domain.outcome import Outcome
from sender.domain.receipt import CallbackVerdict, Receipt, ReceiptSource


@dataclass(frozen=True, kw_only=True)
class HandOff:
    """One create request, told by its outcome and its times."""

    outcome: Outcome
    #: Our wall clock (UTC) right before the request was written; for ``NotBegun``, when we gave up.
    began_at: datetime
    #: The provider's clock minus ours, from its ``Date`` header (whole seconds, rounded down, so
    #: up to a second and the way back too small); ``None`` when there was no readable header.
    clock_offset: timedelta | None


@dataclass(frozen=True, kw_only=True)
class MessageRecord:
    """One row of the provider's message log."""

    sid: str
    account_sid: str
    #: ``inbound``, ``outbound-api``, ``outbound-call`` or ``outbound-reply``.
    direction: str
    #: ``None`` for a Messaging Service's message that has no number yet.
    from_: str | None
    to: str
    body: str
    status: str
    error_code: int | None
    #: The provider's clock, aware, whole seconds.
    date_created: datetime
    #: May hold a value the provider made up where no Messaging Service was used.
    service_sid: str | None
    num_media: int
    #: Status and code, read together as in a status callback.
    verdict: CallbackVerdict

    def is_from(self, sender: str) -> bool:
        """Whether this sender sent it: a number, or a Messaging Service by its SID."""
        return sender == (self.service_sid if sender.startswith("MG") else self.from_)

    @property
    def inbound(self) -> bool:
        """Whether a person sent it to us."""
        return self.direction == "inbound"

    def as_receipt(self, message_id: UUID) -> Receipt:
        """What the status callback that did not come would have said of our message."""
        return Receipt(
            message_id=message_id,
            account_sid=self.account_sid,
            sid=self.sid,
            status=self.status,
            code=self.error_code,
            to=self.to,
            from_=self.from_,
            service_sid=self.service_sid,
            raw_dlr_done=None,
            verdict=self.verdict,
            source=ReceiptSource.FETCHED,
        )


@dataclass(frozen=True, kw_only=True)
class ServiceRecord:
    """A Messaging Service as the provider keeps it."""

    #: The numbers and short codes in its pool that people can text.
    numbers: tuple[str, ...]
    #: Whether it takes inbound messages; otherwise the provider does not even log them.
    receives: bool


@dataclass(frozen=True, kw_only=True)
class RefusedRequest:
    """A create request that the provider refused at once because the person has opted out.

    It left no message; an alert tells of it.
    """

    #: The alert's.
    sid: str
    to: str
    from_: str
    service_sid: str
    #: The provider's clock, aware, whole seconds.
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Refusals:
    """Such requests, as far as they could be read."""

    requests: tuple[RefusedRequest, ...]
    #: The alerts that are listed and need not be fetched again, by their SIDs.
    fetched: frozenset[str]
    #: Alerts about more of them that were too many, or do not say whom they were to.
    left_out: int
    #: Whether the list of alerts went back as far as was asked.
    whole: bool
