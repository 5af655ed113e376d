"""How a campaign is cut into slices: large ones first, small ones towards its end.

A slice has a price (it is offered, published, leased and closed), so a large campaign is better cut
into few. But at the end, when no slice is left to take, one worker would idle while others still
have much of a large one before them. So each slice is a share of what remains: guided
self-scheduling (Polychronopoulos and Kuck, IEEE Transactions on Computers C-36(12), 1987).
"""

from collections.abc import Iterator

#: Each slice is this part of the rest: about one for each thread of two workers.
SHARE = 16
#: The smallest, but for the last one: four windows. Below it the price shows, and what is still
#: under way at the end is no shorter for it.
SMALLEST = 125
#: The largest: a second or two of one worker's work, and what a slow sender's run reads past that
#: goes on in a slice that is nearly done. It bounds what a statement over a few slices touches.
LARGEST = 2000


def cut(recipients: int) -> Iterator[tuple[int, int]]:
    """The first and last ordinal (1-based) of each slice of so many recipients, in order."""
    first = 1
    while first <= recipients:
        left = recipients - first + 1
        size = min(left, max(SMALLEST, min(LARGEST, -(-left // SHARE))))
        yield first, first + size - 1
        first += size
