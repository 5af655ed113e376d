"""Once in a while: for lines and alarms that a caller could otherwise have us write without end."""

import time
from collections.abc import Callable, Hashable
from datetime import timedelta


class Seldom:
    """Says of each key, at most once in a period, that it is time again.

    The keys are few and ours, never a caller's: they are kept for good.
    """

    def __init__(self, every: timedelta, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = every.total_seconds()
        self._clock = clock
        self._due: dict[Hashable, float] = {}

    def is_time(self, key: Hashable) -> bool:
        """Whether the key's last time was a period ago; then this is its next one."""
        now = self._clock()
        if now < self._due.get(key, now):
            return False
        self._due[key] = now + self._seconds
        return True
