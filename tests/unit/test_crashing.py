"""The places at which fault tests end a process: named, counted, and closed to production."""

import signal
from types import FrameType

import pytest

from sender.crashing import Crash, CrashPoint, crash_at, pass_by
from sender.errors import ConfigurationError


def test_nothing_is_asked_for() -> None:
    """Without the variable every place is passed."""
    assert crash_at("", is_test=False) is pass_by


@pytest.mark.parametrize("point", CrashPoint)
def test_a_stray_variable_kills_nobody(point: CrashPoint) -> None:
    """Outside of a fault test a place is refused, and what to do is said."""
    with pytest.raises(ConfigurationError, match="SENDER_TEST_FAULTS"):
        crash_at(point, is_test=False)


@pytest.mark.parametrize(
    ("spec", "crash"),
    [
        ("after_guard", Crash(point=CrashPoint.AFTER_GUARD)),
        ("after_guard:3", Crash(point=CrashPoint.AFTER_GUARD, nth=3)),
        ("pause:before_ack", Crash(point=CrashPoint.BEFORE_ACK, signal=signal.SIGSTOP)),
        (
            "pause:before_ack:2",
            Crash(point=CrashPoint.BEFORE_ACK, nth=2, signal=signal.SIGSTOP),
        ),
    ],
)
def test_a_place(spec: str, crash: Crash) -> None:
    """A place may have a count, and a pause instead of an end."""
    found = crash_at(spec, is_test=True)
    assert isinstance(found, Crash)
    assert (found.point, found.nth, found.signal) == (crash.point, crash.nth, crash.signal)


@pytest.mark.parametrize("spec", ["after_lunch", "after_guard:0", "after_guard:", "stop:after_ack"])
def test_an_unknown_place(spec: str) -> None:
    """What is no place is refused with the list of them."""
    with pytest.raises(ConfigurationError, match="before_guard, after_guard"):
        crash_at(spec, is_test=True)


def test_the_third_time() -> None:
    """Only the named place counts, and only the n-th time ends the process."""
    told: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        told.append(number)

    before = signal.signal(signal.SIGUSR1, note)
    try:
        crash = Crash(point=CrashPoint.AFTER_GUARD, nth=2, signal=signal.SIGUSR1)
        for point in (CrashPoint.AFTER_GUARD, CrashPoint.AFTER_LEASE, CrashPoint.BEFORE_GUARD):
            crash(point)
        assert told == []
        crash(CrashPoint.AFTER_GUARD)
        crash(CrashPoint.AFTER_GUARD)
        assert told == [signal.SIGUSR1]
    finally:
        signal.signal(signal.SIGUSR1, before)
