"""Once in a while: lines and alarms that cannot be had without end."""

from datetime import timedelta

from sender.seldom import Seldom


def test_once_a_period() -> None:
    """A key's time comes at once, and then not before the period is over."""
    now = 100.0
    seldom = Seldom(timedelta(seconds=60), clock=lambda: now)
    assert seldom.is_time("a")
    now = 159.9
    assert not seldom.is_time("a")
    now = 160.0
    assert seldom.is_time("a")
    assert not seldom.is_time("a")


def test_keys_do_not_share() -> None:
    """One key's time does not take another's."""
    seldom = Seldom(timedelta(seconds=60), clock=lambda: 0.0)
    assert seldom.is_time("a")
    assert seldom.is_time("b")
