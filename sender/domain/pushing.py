"""An opt-out as Twilio's Consent API takes it."""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final

from sender.domain.consent import ReasonClass

#: twilio.com/docs/messaging/features/consent-api: items in a call, calls a minute.
ITEMS_A_CALL: Final = 25
CALLS_A_MINUTE: Final = 100
_CORRELATION_LENGTH: Final = 32

_SOURCES = {
    ReasonClass.STOP: "opt-out-message",
    ReasonClass.FREE_TEXT: "opt-out-message",
    ReasonClass.MANUAL: "offline",
    ReasonClass.COMPLAINT: "offline",
}


@dataclass(frozen=True, kw_only=True)
class OptOutItem:
    """One recipient's opt-out from one sender."""

    event_id: int
    sender_id: int
    #: The sender's number, short code or Messaging Service SID.
    sender: str
    #: E.164 digits.
    recipient: int
    reason: ReasonClass
    #: By the provider's clock; ``None`` while that is unknown.
    since: datetime | None

    @property
    def correlation_id(self) -> str:
        """32 characters, the same for the same opt-out however often it is told."""
        name = f"{self.event_id}:{self.sender_id}".encode()
        return sha256(name).hexdigest()[:_CORRELATION_LENGTH]

    @property
    def source(self) -> str:
        """How the opt-out was collected, in Twilio's words."""
        return _SOURCES.get(self.reason, "others")


@dataclass(frozen=True, kw_only=True)
class ItemAnswer:
    """What Twilio says of one item."""

    correlation_id: str
    #: Empty when it was taken; else Twilio's words, ``INVALID_SENDER_ID`` for example.
    error: str

    @property
    def may_go_again(self) -> bool:
        """Whether the fault was Twilio's own."""
        return "INTERNAL_SERVER_ERROR" in self.error
