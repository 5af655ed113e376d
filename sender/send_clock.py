"""The clock that a window's limits go by: from before its guard to the last answer.

``time.monotonic`` stands still while the host is suspended. A worker that slept with a row guarded
would find its two seconds untouched, and begin the request: after its row became ``in_doubt``, the
STOP's wait for it ended, and the STOP was answered. So the limits go by a clock that counts the
sleep. Nothing may compare its times with another clock's.
"""

import time

#: macOS has no ``CLOCK_BOOTTIME``; its ``CLOCK_MONOTONIC`` counts sleep.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def send_clock() -> float:
    """Seconds that have passed since some moment, the host's sleep included; never set back."""
    return time.clock_gettime(_CLOCK)
