"""The table of Twilio's codes is total: every answer has exactly one outcome."""

from datetime import timedelta

import pytest

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
from sender.domain.receipt import FailureCause, ReceiptMeaning
from sender.gateway.codes import _ROWS, TABLE, callback_verdict, create_outcome, is_toll_free

UNKNOWN = 99999
STATUSES = (200, 201, 204, 301, 307, 400, 401, 403, 404, 408, 409, 422, 429, 500, 502, 503, 504)
CODES = (None, UNKNOWN, *TABLE)
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
        (20003, RefusalKind.HALT),
        (21606, RefusalKind.HALT),
        (21703, RefusalKind.HALT),
        (30034, RefusalKind.HALT),
    ],
)
def test_refusals_have_their_kind(code: int, kind: RefusalKind) -> None:
    """What a refusal means decides whether the number, the text or the sender is at fault."""
    assert outcome(400, code) == Refused(kind=kind, code=code)


def test_an_unknown_code_is_final_for_its_message() -> None:
    """A code we do not know is a refusal; where the status speaks of the account, a halt."""
    assert outcome(400, UNKNOWN) == Refused(kind=RefusalKind.BUG, code=UNKNOWN)
    assert outcome(403, UNKNOWN) == Refused(kind=RefusalKind.HALT, code=UNKNOWN)


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
