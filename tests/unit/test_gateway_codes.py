"""The table of Twilio's codes is total: every answer has exactly one outcome."""

from datetime import timedelta

import pytest

from sender.domain.message import TRANSITIONS, State
from sender.domain.number_health import PROOFS, NumberFault
from sender.domain.outcome import (
    Accepted,
    Ambiguous,
    NotBegun,
    OptedOut,
    Outcome,
    QueueFull,
    RefusalKind,
    Refused,
    Throttled,
)
from sender.domain.receipt import FailureCause, ReceiptMeaning, state_of
from sender.gateway.codes import (
    _ROWS,
    TABLE,
    Answer,
    callback_verdict,
    create_outcome,
    is_toll_free,
)

UNKNOWN = 99999
STATUSES = (200, 201, 204, 301, 307, 400, 401, 403, 404, 408, 409, 422, 429, 500, 502, 503, 504)
CODES = (None, UNKNOWN, *TABLE)
HALTS_AT_CREATE = {Answer.HALT: "sender", Answer.ACCOUNT: "tenant"}
HALTS_IN_CALLBACK = {FailureCause.HALT: "sender", FailureCause.ACCOUNT: "tenant"}
MESSAGE_STATUSES = (
    *("accepted", "scheduled", "queued", "sending", "sent", "delivered", "undelivered", "failed"),
    *("canceled", "read", "partially_delivered", "receiving", "received", "something-new"),
)


def outcome(status: int, code: int | None, retry_after: timedelta | None = None) -> Outcome:
    """Shorthand."""
    return create_outcome(status=status, code=code, retry_after=retry_after)


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_and_code_gives_one_outcome(status: int) -> None:
    """No answer raises, none claims that a message was accepted or that none was asked for."""
    for code in CODES:
        result = outcome(status, code)
        assert isinstance(result, OptedOut | Refused | Throttled | QueueFull | Ambiguous)
        assert not isinstance(result, Accepted | NotBegun)


@pytest.mark.parametrize("status", [s for s in STATUSES if s != 429])
def test_only_a_proven_refusal_is_not_ambiguous(status: int) -> None:
    """Without Twilio's code, or with a status outside 4xx, nobody knows what happened."""
    assert outcome(status, None) == Ambiguous(why=f"http_{status}", code=status)
    if not 400 <= status < 500:
        assert isinstance(outcome(status, UNKNOWN), Ambiguous)
        assert isinstance(outcome(status, 21211), Ambiguous)


@pytest.mark.parametrize("status", [s for s in STATUSES if s >= 400])
def test_21610_is_an_opt_out_whatever_the_status(status: int) -> None:
    """Believing 21610 ends one message; not believing it could text a person who said STOP."""
    assert outcome(status, 21610) == OptedOut(code=21610)


@pytest.mark.parametrize("code", [c for c in CODES if c is not None])
def test_429_was_never_processed(code: int) -> None:
    """A 429 may go again with any code but an opt-out's, and says how long to wait."""
    result = outcome(429, code, timedelta(seconds=3))
    assert isinstance(result, Throttled | QueueFull | OptedOut)


def test_a_full_queue_is_asked_again_much_later() -> None:
    """21611 is about the sender, with any status, and waits at least ten minutes."""
    assert outcome(400, 21611) == QueueFull(code=21611, retry_after=timedelta(minutes=10))
    short = outcome(429, 21611, timedelta(seconds=1))
    assert short == QueueFull(code=21611, retry_after=timedelta(minutes=10))
    hour = timedelta(hours=1)
    assert outcome(400, 21611, hour) == QueueFull(code=21611, retry_after=hour)


@pytest.mark.parametrize("code", [30450, 30610])
def test_a_block_that_passes_does_not_concern_the_sender(code: int) -> None:
    """Quiet hours and pumping protection rest one message, half an hour at least."""
    later = Throttled(code=code, retry_after=timedelta(minutes=30), of_account=False)
    assert outcome(400, code) == outcome(429, code, timedelta(seconds=1)) == later


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (21211, RefusalKind.BAD_NUMBER),
        (21614, RefusalKind.BAD_NUMBER),
        (21635, RefusalKind.BAD_NUMBER),
        (21612, RefusalKind.UNROUTABLE),
        (21408, RefusalKind.UNROUTABLE),
        (21617, RefusalKind.CONTENT),
        (21604, RefusalKind.BUG),
        (20003, RefusalKind.ACCOUNT),
        (21606, RefusalKind.HALT),
        (21703, RefusalKind.HALT),
        (30034, RefusalKind.HALT),
    ],
)
def test_refusals_have_their_kind(code: int, kind: RefusalKind) -> None:
    """What a refusal means decides whether the number, the text or the sender is at fault."""
    assert outcome(400, code) == Refused(kind=kind, code=code, fault=TABLE[code].fault)


def test_an_unknown_code_is_final_for_its_message() -> None:
    """A code we do not know is a refusal; where the status speaks of the account, a halt."""
    assert outcome(400, UNKNOWN) == Refused(kind=RefusalKind.BUG, code=UNKNOWN)
    assert outcome(403, UNKNOWN) == Refused(kind=RefusalKind.ACCOUNT, code=UNKNOWN)


@pytest.mark.parametrize("toll_free", [True, False])
def test_every_callback_has_one_meaning(*, toll_free: bool) -> None:
    """Status and code together never raise; a cause stands beside failures and opt-outs only."""
    failures = {ReceiptMeaning.FAILED, ReceiptMeaning.UNDELIVERED, ReceiptMeaning.OPTED_OUT}
    for status in MESSAGE_STATUSES:
        for code in CODES:
            verdict = callback_verdict(status, code, toll_free=toll_free)
            assert (verdict.cause is not None) == (verdict.meaning in failures)


@pytest.mark.parametrize("status", MESSAGE_STATUSES)
def test_an_opt_out_code_is_always_an_opt_out(status: str) -> None:
    """21610 counts in any callback, 30004 only where STOP surfaces as 30004: toll-free."""
    opted_out = ReceiptMeaning.OPTED_OUT
    assert callback_verdict(status, 21610, toll_free=False).meaning is opted_out
    assert callback_verdict(status, 30004, toll_free=True).meaning is opted_out
    assert callback_verdict(status, 30004, toll_free=False).meaning is not opted_out


def _reachable(state: State) -> set[State]:
    """The states a row in this one can come to, and itself."""
    found, new = {state}, {state}
    while new := {target for one in new for target in TRANSITIONS[one]} - found:
        found |= new
    return found


@pytest.mark.parametrize("code", CODES)
def test_an_asynchronous_failure_is_final(code: int | None) -> None:
    """Whatever the code advises, a message that failed after acceptance is never sent again."""
    for status in ("failed", "undelivered"):
        state, reason = state_of(callback_verdict(status, code, toll_free=False))
        assert reason
        assert not _reachable(state) & {State.PENDING, State.SENDING}


def test_a_code_halts_alike_at_both_doors() -> None:
    """Whom a code holds does not depend on the door it came through."""
    for entry in TABLE.values():
        at_create = HALTS_AT_CREATE.get(entry.at_create)
        assert at_create == HALTS_IN_CALLBACK.get(entry.in_callback), entry


@pytest.mark.parametrize(
    ("code", "whom"),
    [
        *((code, "tenant") for code in (20003, 20005, 20008, 20403, 20404, 90010, 30002)),
        *((code, "sender") for code in (30032, 30033, 30034, 30035, 21703, 21606)),
    ],
)
def test_whom_a_code_holds(code: int, whom: str) -> None:
    """Account codes hold the tenant, the sender's own hold the sender."""
    assert HALTS_AT_CREATE[TABLE[code].at_create] == whom


def test_a_bad_number_has_its_fault() -> None:
    """A code that condemns a number says how, and only such codes and strikes do."""
    for entry in TABLE.values():
        cause = entry.in_callback
        condemns = cause in {FailureCause.BAD_NUMBER, FailureCause.UNREACHABLE}
        assert (entry.fault is not None) == (condemns or cause is FailureCause.BLOCKED), entry
        if cause is FailureCause.BAD_NUMBER:
            assert entry.fault in PROOFS


def test_a_fault_is_told_of_failures_only() -> None:
    """A code beside a status that is no failure says nothing of the number."""
    for status in MESSAGE_STATUSES:
        verdict = callback_verdict(status, 30006, toll_free=False)
        failed = verdict.meaning in {ReceiptMeaning.FAILED, ReceiptMeaning.UNDELIVERED}
        assert (verdict.fault is NumberFault.NO_CARRIER) == failed


@pytest.mark.parametrize(
    ("status", "code", "meaning", "cause"),
    [
        ("queued", None, ReceiptMeaning.PROGRESS, None),
        ("sent", None, ReceiptMeaning.SENT, None),
        ("delivered", None, ReceiptMeaning.DELIVERED, None),
        ("read", None, ReceiptMeaning.READ, None),
        ("canceled", None, ReceiptMeaning.CANCELED, None),
        ("failed", None, ReceiptMeaning.FAILED, FailureCause.UNCLEAR),
        ("failed", 30034, ReceiptMeaning.FAILED, FailureCause.HALT),
        ("undelivered", 30003, ReceiptMeaning.UNDELIVERED, FailureCause.UNREACHABLE),
        ("failed", 30002, ReceiptMeaning.FAILED, FailureCause.ACCOUNT),
        ("undelivered", 30007, ReceiptMeaning.UNDELIVERED, FailureCause.FILTERED),
        ("undelivered", 30006, ReceiptMeaning.UNDELIVERED, FailureCause.BAD_NUMBER),
        ("undelivered", UNKNOWN, ReceiptMeaning.UNDELIVERED, FailureCause.UNCLEAR),
    ],
)
def test_callbacks_say_what_happened_and_why(
    status: str, code: int | None, meaning: ReceiptMeaning, cause: FailureCause | None
) -> None:
    """The status tells what happened to the message, the code whom else it concerns."""
    verdict = callback_verdict(status, code, toll_free=False)
    assert (verdict.meaning, verdict.cause) == (meaning, cause)


@pytest.mark.parametrize(
    ("sender", "expected"),
    [
        ("+18005550100", True),
        ("+18885550100", True),
        ("+18105550100", False),
        ("+448005550100", False),
        ("80055", False),
        (None, False),
    ],
)
def test_toll_free_is_north_american(sender: str | None, *, expected: bool) -> None:
    """Only +1 and a toll-free area code count; foreign freephone numbers send no SMS."""
    assert is_toll_free(sender) is expected


def test_no_code_is_in_the_table_twice() -> None:
    """Two rows for one code would hide one of them."""
    assert len(_ROWS) == len(TABLE)
