"""What the provider said to one create request: a closed union, consumed by ``match``.

The line that matters runs between *proven refused* and *ambiguous*. Twilio has no idempotency
key on create, so only a request that provably did nothing may ever be made again.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from sender.domain.number_health import NumberFault


class RefusalKind(StrEnum):
    """Why the provider refused a create for good, or until somebody changes something."""

    #: The recipient cannot be texted by anybody: not a number, not a mobile, a landline.
    BAD_NUMBER = "bad_number"
    #: The text itself is refused: too long, empty, filtered.
    CONTENT = "content"
    #: This sender cannot reach this destination; others may, and other recipients are fine.
    UNROUTABLE = "unroutable"
    #: The sender as a whole: every further message of it would fail alike.
    HALT = "halt"
    #: Account, credentials or configuration: every further message of the tenant would.
    ACCOUNT = "account"
    #: We built a request the provider does not understand.
    BUG = "bug"


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """The provider took the message (HTTP 201 with a SID)."""

    #: Twilio's Message SID, ``SM`` or ``MM`` and 32 hex digits.
    sid: str
    #: Twilio's status at that moment: ``queued``, ``accepted`` or ``scheduled``.
    provider_status: str


@dataclass(frozen=True, kw_only=True)
class OptedOut:
    """The provider refused because the recipient is blocked for this sender (21610)."""

    code: int


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A proven, final refusal of this message.

    Two kinds say nothing of the message and keep the row: ``HALT`` holds the sender, ``ACCOUNT``
    the tenant.
    """

    kind: RefusalKind
    code: int
    #: What it says about the number, if anything.
    fault: NumberFault | None = None


@dataclass(frozen=True, kw_only=True)
class Throttled:
    """The provider did not process the request (HTTP 429): it may go again, later."""

    code: int
    #: What ``Retry-After`` asked for; ``None`` when the provider did not say.
    retry_after: timedelta | None
    #: Whether the account as a whole asks too much at a time; else only this message must wait.
    of_account: bool = True


@dataclass(frozen=True, kw_only=True)
class QueueFull:
    """The provider did not process the request because the *sender* has no room left.

    Its queue there is full, or its daily cap is used up. Unlike ``Throttled`` it says nothing of
    the account's other senders, and asking this one again within minutes only feeds the refusals.
    """

    code: int
    #: How long the sender should rest: what ``Retry-After`` asked for, or longer.
    retry_after: timedelta


#: Why a request was not begun whose time was over before anything was asked of the provider.
TOO_LATE = "too_late"


@dataclass(frozen=True, kw_only=True)
class NotBegun:
    """Not one byte of the request was written: it may go again."""

    #: For example ``connect_refused``, ``connect_timeout``, ``too_late``.
    why: str

    @property
    def is_ours(self) -> bool:
        """Whether it says something about us, and nothing about the provider."""
        return self.why == TOO_LATE


@dataclass(frozen=True, kw_only=True)
class Ambiguous:
    """The provider may or may not have taken the message. No machine sends it again."""

    #: For example ``read_timeout``, ``reset``, ``http_500``, ``unreadable_answer``.
    why: str
    #: The HTTP status or provider code where there was one.
    code: int | None = None


Outcome = Accepted | OptedOut | Refused | Throttled | QueueFull | NotBegun | Ambiguous
