"""How a campaign is cut into slices: large ones first, small ones towards its end.

A slice has a price (it is offered, published, leased and closed), so a large campaign is better cut
into few. But at the end, when no slice is left to take, one worker would idle while others still
have much of a large one before them. So each slice is a share of what remains: guided
self-scheduling (Polychronopoulos and Kuck, IEEE Transactions on Computers C-36(12), 1987).
"""

from collections.abc import Iterator
from math import ceil

#: Each slice is this part of the rest. With a larger one the last slices take too long; with a
#: smaller one campaigns of some ten thousand fall into too many.
SHARE = 16
#: The smallest, but for the last one: four windows. Below it slices cost more time than an earlier
#: end saves.
SMALLEST = 256
#: The largest: what a frozen worker keeps from the others for a lease, what is read again where a
#: run made way, what a statement over a few slices locks.
LARGEST = 2000


def cut(recipients: int) -> Iterator[tuple[int, int]]:
    """The first and last ordinal (1-based) of each slice of so many recipients, in order."""
    first = 1
    while first <= recipients:
        left = recipients - first + 1
        size = min(left, LARGEST, max(SMALLEST, ceil(left / SHARE)))
        yield first, first + size - 1
        first += size
