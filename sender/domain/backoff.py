"""How long a row rests before it is tried again: a pure policy."""

from datetime import timedelta

#: A rest is doubled this often at most: who waits longer waits for no better reason.
MOST_DOUBLINGS = 3


def backoff(first: timedelta, *, attempts: int, chance: float) -> timedelta:
    """A rest that doubles with each attempt, and is spread.

    Rows that were refused together, in one window, would otherwise come back together and be
    refused together again.

    Args:
        first: the shortest rest after the first attempt.
        attempts: how many there were before that.
        chance: from 0 to 1, different for each row; lengthens the rest by up to as much again.
    """
    return first * (1 << min(attempts, MOST_DOUBLINGS)) * (1 + chance)
