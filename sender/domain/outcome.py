"""What the provider said to one create request: a closed union, consumed by ``match``.

The line that matters runs between *proven refused* and *ambiguous*. Twilio has no idempotency
key on create, so only a request that provably did nothing may ever be made again.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class RefusalKind(StrEnum):
    """Why the provider refused a create for good, or until somebody changes something."""

    #: The recipient cannot be texted by anybody: not a number, not a mobile, a landline.
    BAD_NUMBER = "bad_number"
    #: The text itself is refused: too long, empty, filtered.
    CONTENT = "content"
    #: This sender cannot reach this destination; others may, and other recipients are fine.
    UNROUTABLE = "unroutable"
    #: Account, credentials, sender or geo permission: every further message would fail alike.
    HALT = "halt"
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
    """A proven, final refusal of this message; ``HALT`` holds the sender and keeps the row."""

    kind: RefusalKind
    code: int


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


@dataclass(frozen=True, kw_only=True)
class NotBegun:
    """Not one byte of the request was written: it may go again."""

    #: For example ``connect_refused``, ``connect_timeout``, ``too_late``.
    why: str


@dataclass(frozen=True, kw_only=True)
class Ambiguous:
    """The provider may or may not have taken the message. No machine sends it again."""

    #: For example ``read_timeout``, ``reset``, ``http_500``, ``unreadable_answer``.
    why: str
    #: The HTTP status or provider code where there was one.
    code: int | None = None


Outcome = Accepted | OptedOut | Refused | Throttled | QueueFull | NotBegun | Ambiguous
