"""Our record of one status callback, and what it means."""

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never
from uuid import UUID

from sender.domain.message import State
from sender.domain.number_health import NumberFault


class ReceiptMeaning(StrEnum):
    """What a status callback says about its message."""

    #: On its way inside the provider: proof that the message was accepted, no more.
    PROGRESS = "progress"
    #: Handed to the carrier; for many carriers the last word.
    SENT = "sent"
    #: The carrier says the handset has it.
    DELIVERED = "delivered"
    #: The recipient opened it (channels other than SMS).
    READ = "read"
    #: Handed to the carrier, who could not deliver it.
    UNDELIVERED = "undelivered"
    #: Never left the provider.
    FAILED = "failed"
    #: Not sent because the recipient is blocked for this sender.
    OPTED_OUT = "opted_out"
    #: Canceled before it was sent.
    CANCELED = "canceled"


class FailureCause(StrEnum):
    """What a failure after acceptance says beyond its own message, which stays failed for good."""

    #: The recipient is blocked by an opt-out.
    OPTED_OUT = "opted_out"
    #: Carrier or recipient blocks this sender, which may be an opt-out we never saw: count it.
    BLOCKED = "blocked"
    #: Nobody can text this number.
    BAD_NUMBER = "bad_number"
    #: Handset off, out of coverage or gone: count it, one alone proves nothing.
    UNREACHABLE = "unreachable"
    #: This sender cannot reach this destination.
    UNROUTABLE = "unroutable"
    #: The text was refused.
    CONTENT = "content"
    #: The text was filtered, by the provider or a carrier: counted per campaign.
    FILTERED = "filtered"
    #: The sender or its registration: every further message of it would fail alike.
    HALT = "halt"
    #: The account: every further message of the tenant would fail alike.
    ACCOUNT = "account"
    #: Another time it would have gone: rates, full queues, daily caps, temporary blocks.
    NOT_NOW = "not_now"
    #: Its validity or the permitted hours were over before it was sent.
    TOO_LATE = "too_late"
    #: The provider's or the carrier's own fault.
    PROVIDER = "provider"
    #: We asked for something that makes no sense.
    BUG = "bug"
    #: A code we do not know, or none.
    UNCLEAR = "unclear"


class ReceiptSource(StrEnum):
    """How we came to know of a message's status. They are applied alike."""

    #: Its status callback.
    CALLBACK = "callback"
    #: Twilio was asked for the message: no callback with a final status had come.
    FETCHED = "fetched"
    #: Event Streams.
    EVENT = "event"


@dataclass(frozen=True, kw_only=True)
class CallbackVerdict:
    """A status and its code, read together."""

    meaning: ReceiptMeaning
    #: ``None`` unless the message failed, was undelivered or hit an opt-out.
    cause: FailureCause | None
    #: What it says about the number, if anything.
    fault: NumberFault | None = None


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """One status callback, or what stands for one.

    Duplicates and any order are normal (see the transition table).
    """

    #: Ours, from the callback's URL path: it finds the row even if the answer to create was lost.
    message_id: UUID
    account_sid: str
    sid: str
    #: The provider's status as received.
    status: str
    code: int | None
    to: str
    #: ``None`` where a Messaging Service failed before it chose a number.
    from_: str | None
    service_sid: str | None
    #: The carrier's time, ``YYMMDDhhmm`` without a zone: evidence, not a clock.
    raw_dlr_done: str | None
    verdict: CallbackVerdict
    source: ReceiptSource = ReceiptSource.CALLBACK


def state_of(verdict: CallbackVerdict) -> tuple[State, str]:
    """What the provider's report makes of a row, and the reason stored with it. Total."""
    cause = verdict.cause.value if verdict.cause else "reported"
    match verdict.meaning:
        case ReceiptMeaning.PROGRESS | ReceiptMeaning.SENT:
            return State.SENT, "accepted"
        case ReceiptMeaning.DELIVERED | ReceiptMeaning.READ:
            return State.DELIVERED, "reported"
        case ReceiptMeaning.UNDELIVERED:
            return State.UNDELIVERED, cause
        case ReceiptMeaning.FAILED:
            return State.FAILED, cause
        case ReceiptMeaning.OPTED_OUT:
            return State.SUPPRESSED, "provider_block"
        case ReceiptMeaning.CANCELED:
            return State.CANCELED, "canceled_at_provider"
        case _:
            assert_never(verdict.meaning)
