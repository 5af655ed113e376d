"""The limits of one exchange: nothing is begun too late, and no limit means no wait at all."""

from datetime import UTC, datetime

import pytest

from sender.gateway.transport import Exchange
from sender.send_clock import send_clock


def limits(*, connect: float, total: float) -> Exchange:
    """An exchange with so many seconds left to begin, and in all."""
    now = send_clock()
    return Exchange(connect_by=now + connect, deadline=now + total)


def test_a_connection_that_comes_too_late_is_not_used() -> None:
    """A busy loop may deliver a connection after connect_by; the request is then not begun."""
    late = limits(connect=-0.001, total=60)
    with pytest.raises(TimeoutError):
        late.begin()
    assert late.begun_at is None


def test_a_host_that_slept_begins_nothing() -> None:
    """A connection that was waited for through the host's sleep is not used."""
    now = 100.0
    current = Exchange(connect_by=102.0, deadline=110.0, clock=lambda: now)
    assert current.left_to_begin() == 2
    now += 3600
    with pytest.raises(TimeoutError):
        current.begin()
    with pytest.raises(TimeoutError):
        current.left_to_begin()


def test_a_connection_in_time_marks_the_beginning() -> None:
    """From this mark on, every error leaves the message in doubt."""
    before = datetime.now(UTC)
    current = limits(connect=60, total=60)
    current.begin()
    assert current.begun_at is not None
    assert before <= current.begun_at <= datetime.now(UTC)


@pytest.mark.parametrize(("connect", "total"), [(-1, 60), (60, -1), (0, 0)])
def test_nothing_left_is_not_no_limit(connect: float, total: float) -> None:
    """A time-out of zero or less means that the time is over, not that there is none."""
    with pytest.raises(TimeoutError):
        limits(connect=connect, total=total).left_to_begin()
