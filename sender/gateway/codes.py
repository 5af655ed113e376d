"""Twilio's codes: the one table that says what each means to us, and the two ways to read it.

A code answers a create request (HTTP 4xx, ``code`` in the body) or arrives in a status callback
(``ErrorCode``). The table has an answer for both doors even where a code was only ever seen at
one, so that a change at Twilio's side meets a considered answer rather than a default.

Only the answer to a create request may send a message back to be tried again: an asynchronous
failure is final for its campaign, whatever Twilio advises. Retrying it would need proof that the
first one can no longer arrive, and there is none.

Sources: twilio.com/docs/api/errors and the pages it links; message texts are never matched,
because they change while codes do not.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from http import HTTPStatus
from typing import Final, assert_never

from sender.domain.number_health import NumberFault
from sender.domain.outcome import (
    Ambiguous,
    OptedOut,
    Outcome,
    QueueFull,
    RefusalKind,
    Refused,
    Throttled,
)
from sender.domain.receipt import CallbackVerdict, FailureCause, ReceiptMeaning


class Answer(StrEnum):
    """What a code means as the answer to a create request."""

    #: The recipient is blocked for this sender.
    OPTED_OUT = "opted_out"
    #: The refusals of :class:`RefusalKind`, one by one.
    BAD_NUMBER = "bad_number"
    CONTENT = "content"
    UNROUTABLE = "unroutable"
    HALT = "halt"
    ACCOUNT = "account"
    BUG = "bug"
    #: Proven not processed; may go again.
    THROTTLED = "throttled"
    #: The same, for a block that passes by itself: this person's hours, this country's alarm.
    LATER = "later"
    #: The same, when it is the sender that has no room left.
    QUEUE_FULL = "queue_full"
    #: May have been processed.
    AMBIGUOUS = "ambiguous"


class Seen(StrEnum):
    """At which door a code is known to appear."""

    CREATE = "create"
    CALLBACK = "callback"
    BOTH = "both"
    #: At no door of a message: in Twilio's debugger, to TwiML, to another request.
    ELSEWHERE = "elsewhere"


@dataclass(frozen=True, kw_only=True)
class CodeEntry:
    """One Twilio code."""

    code: int
    #: What Twilio means by it, in a few words.
    meaning: str
    #: What it means as the answer to a create request.
    at_create: Answer
    #: What it means in a status callback.
    in_callback: FailureCause
    seen: Seen
    #: What it says about the number, at either door.
    fault: NumberFault | None


_A, _F = Answer, FailureCause
_CREATE, _CALLBACK, _BOTH = Seen.CREATE, Seen.CALLBACK, Seen.BOTH
_ELSEWHERE = Seen.ELSEWHERE

_ROWS: Final[tuple[tuple[int, str, Answer, FailureCause, Seen], ...]] = (
    # Opt-outs
    (21610, "recipient opted out of this sender", _A.OPTED_OUT, _F.OPTED_OUT, _BOTH),
    (30640, "known litigator (Compliance Toolkit)", _A.OPTED_OUT, _F.OPTED_OUT, _CALLBACK),
    (63014, "recipient blocked or left the channel", _A.OPTED_OUT, _F.OPTED_OUT, _CALLBACK),
    # From a toll-free number this is a STOP, see callback_verdict. From others it is not known to
    # be one, so strikes skip the number for a while and do not suppress it for good: whoever did
    # opt out is told to us by their keyword or a 21610.
    (30004, "blocked by carrier or recipient", _A.UNROUTABLE, _F.BLOCKED, _CALLBACK),
    # The number
    (21211, "invalid To, or To equals From", _A.BAD_NUMBER, _F.BAD_NUMBER, _CREATE),
    (21614, "To is not a mobile number", _A.BAD_NUMBER, _F.BAD_NUMBER, _CREATE),
    (21635, "To is a landline", _A.BAD_NUMBER, _F.BAD_NUMBER, _CREATE),
    (30006, "landline or unreachable carrier", _A.BAD_NUMBER, _F.BAD_NUMBER, _CALLBACK),
    (30005, "unknown handset", _A.BAD_NUMBER, _F.UNREACHABLE, _CALLBACK),
    (30003, "handset off or out of coverage", _A.UNROUTABLE, _F.UNREACHABLE, _CALLBACK),
    (30008, "unknown carrier error", _A.UNROUTABLE, _F.UNREACHABLE, _CALLBACK),
    # The route: these refuse a country, not the sender or the recipient. One foreign number in
    # an audience must not hold the whole campaign, so they are no HALT, and a country cannot be
    # held by itself; each message fails with the reason.
    (21612, "no route from this From to this To", _A.UNROUTABLE, _F.UNROUTABLE, _CREATE),
    (21408, "country not enabled (geo permissions)", _A.UNROUTABLE, _F.UNROUTABLE, _CREATE),
    (21657, "sender id not supported there", _A.UNROUTABLE, _F.UNROUTABLE, _BOTH),
    (30018, "sender id not pre-registered there", _A.UNROUTABLE, _F.UNROUTABLE, _BOTH),
    (30024, "sender not provisioned there", _A.UNROUTABLE, _F.UNROUTABLE, _BOTH),
    (30011, "MMS not supported there", _A.UNROUTABLE, _F.UNROUTABLE, _CALLBACK),
    # The account: a person has to change something, and no sender of the tenant gets through
    (20003, "bad credentials or suspended account", _A.ACCOUNT, _F.ACCOUNT, _CREATE),
    (20005, "account not active", _A.ACCOUNT, _F.ACCOUNT, _CREATE),
    (20008, "not possible with test credentials", _A.ACCOUNT, _F.ACCOUNT, _CREATE),
    (20403, "forbidden", _A.ACCOUNT, _F.ACCOUNT, _CREATE),
    (20404, "no such resource: wrong account in the URL", _A.ACCOUNT, _F.ACCOUNT, _CREATE),
    (90010, "account not active", _A.ACCOUNT, _F.ACCOUNT, _CREATE),
    (30002, "account suspended", _A.ACCOUNT, _F.ACCOUNT, _CALLBACK),
    # A trial account texts verified numbers only: the next recipient would be refused alike.
    (21608, "recipient not verified (trial account)", _A.ACCOUNT, _F.ACCOUNT, _CREATE),
    # One callback URL for all senders.
    (21609, "status callback URL invalid", _A.ACCOUNT, _F.ACCOUNT, _CREATE),
    # The sender: the same, for this one
    (21601, "From cannot send SMS", _A.HALT, _F.HALT, _CREATE),
    (21603, "From missing", _A.HALT, _F.HALT, _CREATE),
    (21606, "From not SMS-capable for this account", _A.HALT, _F.HALT, _CREATE),
    (21212, "invalid From", _A.HALT, _F.HALT, _CREATE),
    (21616, "From is ambiguous", _A.HALT, _F.HALT, _CREATE),
    (21659, "From is not a Twilio number", _A.HALT, _F.HALT, _CREATE),
    (21660, "From belongs to another account", _A.HALT, _F.HALT, _CREATE),
    (21701, "no such Messaging Service", _A.HALT, _F.HALT, _CREATE),
    (21703, "Messaging Service without a usable sender", _A.HALT, _F.HALT, _BOTH),
    (21704, "Messaging Service pool is empty", _A.HALT, _F.HALT, _BOTH),
    (21705, "malformed Messaging Service SID", _A.HALT, _F.HALT, _CREATE),
    (30032, "toll-free number not verified", _A.HALT, _F.HALT, _CALLBACK),
    (30033, "10DLC campaign suspended", _A.HALT, _F.HALT, _CALLBACK),
    (30034, "10DLC number not registered", _A.HALT, _F.HALT, _CALLBACK),
    (30035, "10DLC number still provisioning", _A.HALT, _F.HALT, _CALLBACK),
    # Rates and queues
    (20429, "too many concurrent API requests", _A.THROTTLED, _F.NOT_NOW, _CREATE),
    (21702, "Messaging Service unavailable", _A.THROTTLED, _F.PROVIDER, _CREATE),
    (21611, "From's queue is full (10 h)", _A.QUEUE_FULL, _F.NOT_NOW, _CREATE),
    (30001, "Messaging Service queue is full", _A.QUEUE_FULL, _F.NOT_NOW, _CALLBACK),
    (35118, "scheduling refused", _A.BUG, _F.BUG, _CREATE),
    (35125, "too many scheduled messages", _A.QUEUE_FULL, _F.NOT_NOW, _CREATE),
    (63017, "account above 2,000 messages a second", _A.THROTTLED, _F.NOT_NOW, _CALLBACK),
    (63018, "channel rate exceeded", _A.THROTTLED, _F.NOT_NOW, _CALLBACK),
    (30017, "carrier congestion", _A.THROTTLED, _F.NOT_NOW, _CALLBACK),
    (30022, "10DLC carrier rate exceeded", _A.THROTTLED, _F.NOT_NOW, _CALLBACK),
    (30023, "daily brand cap reached", _A.QUEUE_FULL, _F.NOT_NOW, _CALLBACK),
    (30027, "daily brand cap reached", _A.QUEUE_FULL, _F.NOT_NOW, _CALLBACK),
    (30450, "SMS-pumping protection, 15 to 30 min", _A.LATER, _F.NOT_NOW, _CALLBACK),
    # Time
    (30036, "validity period elapsed in the queue", _A.BUG, _F.TOO_LATE, _CALLBACK),
    (30610, "quiet hours (Compliance Toolkit)", _A.LATER, _F.TOO_LATE, _CALLBACK),
    (30047, "Toolkit could not reschedule", _A.AMBIGUOUS, _F.PROVIDER, _CALLBACK),
    (30409, "too late to cancel", _A.BUG, _F.BUG, _ELSEWHERE),
    # Twilio's or the carrier's side
    (20500, "internal server error", _A.AMBIGUOUS, _F.PROVIDER, _CREATE),
    (20503, "service unavailable", _A.AMBIGUOUS, _F.PROVIDER, _CREATE),
    (20504, "gateway timeout", _A.AMBIGUOUS, _F.PROVIDER, _CREATE),
    (12400, "internal failure", _A.AMBIGUOUS, _F.PROVIDER, _CALLBACK),
    (30020, "internal failure", _A.AMBIGUOUS, _F.PROVIDER, _CALLBACK),
    (30021, "internal failure", _A.AMBIGUOUS, _F.PROVIDER, _CALLBACK),
    (30410, "provider timeout", _A.AMBIGUOUS, _F.PROVIDER, _CALLBACK),
    (30500, "internal failure", _A.AMBIGUOUS, _F.PROVIDER, _CALLBACK),
    (30103, "link shortener failed", _A.AMBIGUOUS, _F.PROVIDER, _CALLBACK),
    # The text
    (30007, "filtered by Twilio or the carrier", _A.CONTENT, _F.FILTERED, _CALLBACK),
    (21602, "no body", _A.CONTENT, _F.CONTENT, _CREATE),
    (21617, "body over 1600 characters", _A.CONTENT, _F.CONTENT, _CREATE),
    (21618, "text refused by every carrier", _A.CONTENT, _F.CONTENT, _CREATE),
    (21619, "no body, media or content", _A.CONTENT, _F.CONTENT, _CREATE),
    (21620, "media URL invalid", _A.CONTENT, _F.CONTENT, _CREATE),
    (21623, "more than ten media", _A.CONTENT, _F.CONTENT, _CREATE),
    (21654, "ContentSid wrong", _A.CONTENT, _F.CONTENT, _CREATE),
    (21655, "ContentSid wrong", _A.CONTENT, _F.CONTENT, _CREATE),
    (21656, "ContentVariables wrong", _A.CONTENT, _F.CONTENT, _CREATE),
    (11751, "media too big", _A.CONTENT, _F.CONTENT, _BOTH),
    (30019, "content too big", _A.CONTENT, _F.CONTENT, _BOTH),
    # Our own mistakes
    (14107, "reply loop between two numbers", _A.BUG, _F.BUG, _ELSEWHERE),
    (20007, "page size over 1000", _A.BUG, _F.BUG, _ELSEWHERE),
    (21604, "To missing", _A.BUG, _F.BUG, _CREATE),
    (21624, "validity period out of range", _A.BUG, _F.BUG, _BOTH),
    (30045, "validity period out of range", _A.BUG, _F.BUG, _BOTH),
    (90007, "validity period out of range", _A.BUG, _F.BUG, _BOTH),
    (35114, "SendAt out of its window", _A.BUG, _F.BUG, _CREATE),
    (35115, "scheduling needs a Messaging Service", _A.BUG, _F.BUG, _CREATE),
    (30009, "inbound segment missing", _A.BUG, _F.UNCLEAR, _ELSEWHERE),
    (30646, "consent item refused", _A.BUG, _F.BUG, _ELSEWHERE),
    (30647, "contact item refused", _A.BUG, _F.BUG, _ELSEWHERE),
    # Of our webhooks, in Twilio's debugger: no message failed.
    (11200, "our webhook was not reached", _A.BUG, _F.UNCLEAR, _ELSEWHERE),
    (11217, "our webhook answered 4xx or 5xx", _A.BUG, _F.UNCLEAR, _ELSEWHERE),
)

#: What a code says about the number beside failing its message.
_FAULTS: Final = {
    21211: NumberFault.INVALID,
    21614: NumberFault.LANDLINE,
    21635: NumberFault.LANDLINE,
    30006: NumberFault.NO_CARRIER,
    30005: NumberFault.GONE,
    30003: NumberFault.SILENT,
    30008: NumberFault.SILENT,
    30004: NumberFault.BLOCKED,
}

#: Every code we know.
TABLE: Final[dict[int, CodeEntry]] = {
    code: CodeEntry(
        code=code,
        meaning=meaning,
        at_create=answer,
        in_callback=cause,
        seen=seen,
        fault=_FAULTS.get(code),
    )
    for code, meaning, answer, cause, seen in _ROWS
}

#: "No such resource": the only code that proves a message is unknown to Twilio.
NOT_FOUND: Final = 20404
#: "Too late to cancel".
TOO_LATE_TO_CANCEL: Final = 30409

_CONCURRENCY = 20429
_BLOCKED = 30004
#: A full queue holds ten hours of segments; asking again within minutes only feeds the refusals.
_QUEUE_FULL_DELAY = timedelta(minutes=10)
#: Twilio's own figure for its longest temporary block (30450).
_LATER_DELAY = timedelta(minutes=30)
#: With these statuses even an unknown code is about the account, not about this message.
_ACCOUNT_STATUSES = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND})
_STATUS_MEANINGS: Final[dict[str, ReceiptMeaning]] = {
    "sent": ReceiptMeaning.SENT,
    # Some parts reached the handset; for the person that is a text received.
    "partially_delivered": ReceiptMeaning.DELIVERED,
    "delivered": ReceiptMeaning.DELIVERED,
    "read": ReceiptMeaning.READ,
    "undelivered": ReceiptMeaning.UNDELIVERED,
    "failed": ReceiptMeaning.FAILED,
    "canceled": ReceiptMeaning.CANCELED,
}
_FAILURES = frozenset({ReceiptMeaning.UNDELIVERED, ReceiptMeaning.FAILED})
#: North American toll-free area codes (NANPA).
_TOLL_FREE = tuple(f"+1{area}" for area in (800, 833, 844, 855, 866, 877, 888))
_E164_LENGTH_NANP = 12


def create_outcome(*, status: int, code: int | None, retry_after: timedelta | None) -> Outcome:
    """The outcome of a create request that was answered without a message; total.

    Args:
        status: the HTTP status.
        code: Twilio's code from the body; ``None`` when the body carried none, as with an error
            page of something between us and Twilio.
        retry_after: what the header of that name asked for.
    """
    answer = _answer(status, code)
    known = status if code is None else code
    match answer:
        case Answer.OPTED_OUT:
            return OptedOut(code=known)
        case Answer.THROTTLED:
            return Throttled(code=known, retry_after=retry_after)
        case Answer.LATER:
            delay = _at_least(_LATER_DELAY, retry_after)
            return Throttled(code=known, retry_after=delay, of_account=False)
        case Answer.QUEUE_FULL:
            return QueueFull(code=known, retry_after=_at_least(_QUEUE_FULL_DELAY, retry_after))
        case Answer.AMBIGUOUS:
            return Ambiguous(why=f"http_{status}", code=known)
        case (
            Answer.BAD_NUMBER
            | Answer.CONTENT
            | Answer.UNROUTABLE
            | Answer.HALT
            | Answer.ACCOUNT
            | Answer.BUG
        ) as kind:
            return Refused(kind=RefusalKind(kind.value), code=known, fault=_FAULTS.get(known))
        case _:
            assert_never(answer)


def refuses_account(status: int, code: int | None) -> bool:
    """Whether Twilio's answer to a question says that it does not let the account in."""
    return _answer(status, code) is Answer.ACCOUNT


def _answer(status: int, code: int | None) -> Answer:
    if status < HTTPStatus.BAD_REQUEST:
        return Answer.AMBIGUOUS
    entry = None if code is None else TABLE.get(code)
    # Believed whatever the status: it ends the message and protects the person.
    if entry is not None and entry.at_create is Answer.OPTED_OUT:
        return Answer.OPTED_OUT
    if status == HTTPStatus.TOO_MANY_REQUESTS or code == _CONCURRENCY:
        return _throttle(entry)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or code is None:
        return Answer.AMBIGUOUS
    if entry is not None:
        return entry.at_create
    # Unknown to us, but Twilio refused: final for this message. Where the status speaks of the
    # account, going on would burn the whole campaign one message at a time.
    return Answer.ACCOUNT if status in _ACCOUNT_STATUSES else Answer.BUG


def _throttle(entry: CodeEntry | None) -> Answer:
    waits = (Answer.QUEUE_FULL, Answer.LATER)
    return entry.at_create if entry and entry.at_create in waits else Answer.THROTTLED


def _at_least(floor: timedelta, asked: timedelta | None) -> timedelta:
    return floor if asked is None else max(floor, asked)


def callback_verdict(status: str, code: int | None, *, toll_free: bool) -> CallbackVerdict:
    """What a status callback means; total, unknown statuses are progress.

    An opt-out code counts whatever the status: believing it can only spare a person a text.

    Args:
        status: Twilio's ``MessageStatus``.
        code: Twilio's ``ErrorCode``, if any.
        toll_free: whether the sender is a North American toll-free number. There STOP is handled
            below Twilio and surfaces as 30004 instead of 21610.
    """
    cause = _cause(code, toll_free=toll_free)
    if cause is FailureCause.OPTED_OUT:
        return CallbackVerdict(meaning=ReceiptMeaning.OPTED_OUT, cause=cause)
    meaning = _STATUS_MEANINGS.get(status, ReceiptMeaning.PROGRESS)
    if meaning not in _FAILURES:
        return CallbackVerdict(meaning=meaning, cause=None)
    fault = None if code is None else _FAULTS.get(code)
    return CallbackVerdict(meaning=meaning, cause=cause, fault=fault)


def _cause(code: int | None, *, toll_free: bool) -> FailureCause:
    if code == _BLOCKED and toll_free:
        return FailureCause.OPTED_OUT
    entry = None if code is None else TABLE.get(code)
    return FailureCause.UNCLEAR if entry is None else entry.in_callback


def is_toll_free(sender: str | None) -> bool:
    """Whether a From, as Twilio writes it, is a North American toll-free number."""
    return sender is not None and len(sender) == _E164_LENGTH_NANP and sender.startswith(_TOLL_FREE)
