"""Named places at which a process can be made to end or to freeze, for the fault tests.

Each is a moment between two commits at which losing the process tells a good design from a bad
one, and which a kill from outside would hit once in a thousand. ``SENDER_CRASH_AT`` names one:
``after_guard`` kills the process (SIGKILL) the first time it gets there, ``after_guard:3`` the
third time, and ``pause:after_guard`` freezes it (SIGSTOP) until somebody lets it go on.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from signal import Signals

from sender.errors import ConfigurationError


class CrashPoint(StrEnum):
    """Where a process can be made to end."""

    #: Slices are marked as offered, and no hint of it is published.
    AFTER_OFFER = "after_offer"
    #: The slice is leased, and nothing of it was begun.
    AFTER_LEASE = "after_lease"
    #: Redis has answered, and pacing tokens are taken.
    AFTER_LOOKUP = "after_lookup"
    #: Everything is ready for the guard.
    BEFORE_GUARD = "before_guard"
    #: The guard is committed, and no request of the window has begun.
    AFTER_GUARD = "after_guard"
    #: The provider has answered one request.
    AFTER_ANSWER = "after_answer"
    #: A batch of answers is about to be settled.
    BEFORE_SETTLE = "before_settle"
    #: The batch is settled.
    AFTER_SETTLE = "after_settle"
    #: The run is over, and its slice is not given back.
    BEFORE_CLOSE = "before_close"
    #: The slice is given back, and nothing was offered in its place.
    AFTER_CLOSE = "after_close"
    #: A STOP and its suppression are committed.
    AFTER_STORE = "after_store"
    #: The rows it covers are withdrawn, and nobody looked for those under way.
    AFTER_WITHDRAW = "after_withdraw"
    #: It is enforced, and its webhook is not answered.
    BEFORE_ACK = "before_ack"


#: Told of each place that is passed.
Passing = Callable[[CrashPoint], None]

_SPEC = re.compile(r"(?P<pause>pause:)?(?P<point>\w+)(:(?P<nth>[1-9]\d*))?")


def pass_by(_: CrashPoint) -> None:
    """Go on, as every process does that nobody tests."""


@dataclass(kw_only=True)
class Crash:
    """Ends or freezes this process when it gets to a place for the n-th time."""

    point: CrashPoint
    nth: int = 1
    signal: Signals = Signals.SIGKILL
    _passed: int = 0

    def __call__(self, point: CrashPoint) -> None:
        """Pass a place, or never get beyond it."""
        if point is not self.point:
            return
        self._passed += 1
        if self._passed == self.nth:
            os.kill(os.getpid(), self.signal)


def crash_at(spec: str, *, is_test: bool) -> Passing:
    """What a value of ``SENDER_CRASH_AT`` asks for; an empty one asks for nothing.

    Raises:
        ConfigurationError: it names no place, or this is no test: a stray variable alone must
            not be able to kill a process that sends.
    """
    if not spec:
        return pass_by
    if not is_test:
        raise ConfigurationError(
            "SENDER_CRASH_AT would end this process in the middle of its work: unset it "
            "(fault tests set SENDER_TEST_FAULTS=1 beside it)"
        )
    found = _SPEC.fullmatch(spec)
    if not found or found["point"] not in set(CrashPoint):
        raise ConfigurationError(
            f"SENDER_CRASH_AT={spec!r}: write a place, or pause:PLACE or PLACE:TIMES; the places "
            f"are {', '.join(CrashPoint)}"
        )
    return Crash(
        point=CrashPoint(found["point"]),
        nth=int(found["nth"] or 1),
        signal=Signals.SIGSTOP if found["pause"] else Signals.SIGKILL,
    )
