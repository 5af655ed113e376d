"""The first trace of a 21610: from our records to a cause."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sender.domain.consent import ConsentEvent, Direction, ReasonClass
from sender.domain.incident import CROSSING, RACE_WINDOW, Cause, Trace, trace

BEGAN = datetime(2025, 6, 1, 12, tzinfo=UTC)
GUARDED = BEGAN - timedelta(milliseconds=3)
DAY = timedelta(days=1)


def _event(after: timedelta, **facts: Any) -> ConsentEvent:
    """A STOP that was received this long after the request began."""
    plain: dict[str, Any] = {
        "id": 1,
        "tenant_id": 1,
        "recipient": 14155552671,
        "scope": 0,
        "direction": Direction.OPT_OUT,
        "reason": ReasonClass.STOP,
        "source": "inbound",
        "source_id": "SM1",
        "provider_at": None,
        "received_at": BEGAN + after,
    }
    return ConsentEvent(**plain | facts)


def _trace(*events: ConsentEvent, texted_before: bool = True) -> Trace:
    return trace(events, began_at=BEGAN, guarded_at=GUARDED, texted_before=texted_before)


@pytest.mark.parametrize("after", [-CROSSING, timedelta(milliseconds=40), RACE_WINDOW])
def test_raced_stop(after: timedelta) -> None:
    """A STOP that crossed the request explains its 21610, and by how much they crossed."""
    found = _trace(_event(after))
    assert found == Trace(cause=Cause.RACED_STOP, raced_by=after)
    assert found.detail == {"raced_by_ms": after.total_seconds() * 1000}


def test_the_closest_stop_counts() -> None:
    """Of several STOPs the one that is closest to the request is the one that raced it."""
    found = _trace(_event(timedelta(seconds=9)), _event(timedelta(seconds=-1), id=2))
    assert found.raced_by == timedelta(seconds=-1)


def test_list_lost_data() -> None:
    """A STOP that we had long before the guard passed the row is an alarm, not a race."""
    for before in (DAY, timedelta(seconds=20)):
        assert _trace(_event(-before)).cause is Cause.LIST_LOST_DATA


def test_other_sender() -> None:
    """A STOP known for one sender only may have come by way of another."""
    assert _trace(_event(-DAY, scope=7)).cause is Cause.OTHER_SENDER


def test_lifted_by_hand() -> None:
    """Our suppression was lifted by somebody; the provider's block was not."""
    lifted = _event(-DAY, id=2, direction=Direction.OPT_IN, author="ann")
    assert _trace(_event(-2 * DAY), lifted).cause is Cause.LIFTED_BY_HAND


def test_imported_opted_out() -> None:
    """Somebody we know nothing of and never texted was opted out before they came to us."""
    assert _trace(texted_before=False).cause is Cause.IMPORTED_OPTED_OUT


def test_unknown() -> None:
    """What our records cannot show is not guessed."""
    assert _trace().cause is Cause.UNKNOWN
    started = _event(-DAY, direction=Direction.OPT_IN, reason=None)
    assert _trace(started).cause is Cause.UNKNOWN


def test_a_stop_long_after() -> None:
    """A STOP that came long after the request explains nothing."""
    assert _trace(_event(RACE_WINDOW + timedelta(seconds=1))).cause is Cause.UNKNOWN


def test_without_a_guard() -> None:
    """Where the time of the guard is not known, nothing is said about what it should have seen."""
    found = trace([_event(-DAY)], began_at=BEGAN, guarded_at=None, texted_before=True)
    assert found.cause is Cause.UNKNOWN


def test_no_race_has_no_detail() -> None:
    """Only a race has a figure."""
    assert _trace().detail == {}
