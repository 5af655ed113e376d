"""How gently a provider that takes nothing is asked."""

from datetime import timedelta

import pytest

from sender.domain.outage import FIRST_REST, LONG_ENOUGH, LONGEST_REST, Streak
from sender.domain.outcome import (
    TOO_LATE,
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

REFUSED = NotBegun(why="connect_refused")
NOTHING = timedelta()


def _failed(times: int, *, at: float = 0.0, streak: Streak | None = None) -> Streak:
    found = streak or Streak()
    for _ in range(times):
        found = found.after(REFUSED, at=at)
    return found


def test_a_few_failures_are_no_outage() -> None:
    """Single failures, however many in all, rest nobody."""
    streak = _failed(LONG_ENOUGH - 1)
    assert not streak.is_outage
    assert streak.rest(at=0.0) == NOTHING


@pytest.mark.parametrize(
    "failure",
    [REFUSED, Ambiguous(why="http_503", code=503)],
)
def test_enough_in_a_row_are(failure: Outcome) -> None:
    """So many failures in a row, of any kind, rest the sender."""
    streak = _failed(LONG_ENOUGH - 1).after(failure, at=0.0)
    assert streak.is_outage
    assert streak.rest(at=0.0) == FIRST_REST


@pytest.mark.parametrize("failures", [0, 1, LONG_ENOUGH])
def test_a_429_changes_nothing(failures: int) -> None:
    """A provider that limits requests is there, and need not be well."""
    streak = _failed(failures)
    assert streak.after(Throttled(code=20429, retry_after=None), at=0.0) == streak


@pytest.mark.parametrize("failures", [0, 1, LONG_ENOUGH])
def test_our_own_lateness_changes_nothing(failures: int) -> None:
    """What was too late before it was begun says nothing about the provider, good or bad."""
    streak = _failed(failures)
    for _ in range(2 * LONG_ENOUGH):
        streak = streak.after(NotBegun(why=TOO_LATE), at=0.0)
    assert streak == _failed(failures)


@pytest.mark.parametrize(
    "answer",
    [
        Accepted(sid="SM1", provider_status="queued"),
        OptedOut(code=21610),
        Refused(kind=RefusalKind.BAD_NUMBER, code=21211),
        QueueFull(code=21611, retry_after=timedelta(minutes=10)),
    ],
)
def test_any_proper_answer_ends_it(answer: Outcome) -> None:
    """A provider that says yes or no is there."""
    assert _failed(3 * LONG_ENOUGH).after(answer, at=0.0) == Streak()


def test_a_rest_ends_by_itself() -> None:
    """When the time is over the sender may go on, with one message."""
    streak = _failed(LONG_ENOUGH)
    after = FIRST_REST.total_seconds()
    assert streak.rest(at=after / 2) == FIRST_REST / 2
    assert streak.rest(at=after) == NOTHING
    assert streak.is_outage


def test_what_was_under_way_does_not_lengthen_it() -> None:
    """A window that fails together is one failure to rest for."""
    assert _failed(100).rest(at=0.0) == FIRST_REST


def test_it_grows_to_a_bound() -> None:
    """Each failed attempt doubles the rest, up to the longest and for ever after."""
    streak, at, rests = _failed(LONG_ENOUGH - 1), 0.0, []
    for _ in range(300):
        streak = streak.after(REFUSED, at=at)
        rests.append(streak.rest(at=at))
        at = streak.until
    assert rests[:4] == [FIRST_REST, 2 * FIRST_REST, 4 * FIRST_REST, 8 * FIRST_REST]
    assert rests[4:] == [LONGEST_REST] * 296
