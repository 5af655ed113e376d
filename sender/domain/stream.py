"""Events of Twilio's Event Streams: what happened to messages, told at least once, in any order."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sender.domain.inbound import InboundText
from sender.domain.receipt import CallbackVerdict, Receipt, ReceiptSource


@dataclass(frozen=True, kw_only=True)
class StatusNews:
    """A message's status. Events tell of all messages of an account, ours or not."""

    #: Ours, from the callback URL that the message was created with; ``None`` if it has another.
    message_id: UUID | None
    account_sid: str
    sid: str
    #: The provider's status, as a callback would write it.
    status: str
    code: int | None
    to: str
    from_: str | None
    service_sid: str | None
    raw_dlr_done: str | None
    verdict: CallbackVerdict

    def as_receipt(self, message_id: UUID) -> Receipt:
        """What a status callback would have said of this message of ours."""
        return Receipt(**{**vars(self), "message_id": message_id}, source=ReceiptSource.EVENT)


@dataclass(frozen=True, kw_only=True)
class StreamEvent:
    """One event."""

    #: Twilio's; a repetition has the same. Empty for what has none.
    id: str
    #: Whose message it tells of; empty for an event of another kind.
    account_sid: str
    #: ``None`` for an event that says nothing to us.
    news: InboundText | StatusNews | None
    #: What is wrong with it; empty for nothing.
    problem: str = ""
    #: When it happened, by the provider's clock; ``None``: not said.
    at: datetime | None = None
