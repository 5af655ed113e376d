"""The unit of time of the pacing scripts."""

from typing import Final

from sender.domain.admission import Pace

#: Redis's clock, and so the unit of every time in the pacing scripts.
MICROSECONDS_A_SECOND: Final = 1_000_000


def interval(pace: Pace) -> float:
    """Microseconds one segment takes at this pace."""
    return MICROSECONDS_A_SECOND / pace.rate
