"""Whom the benches text, and who of them is on the suppression list: plain arithmetic.

Recipients are numbered from 0; each is a valid American number, told apart by `number`. Every
`HIT_EVERY`-th is suppressed, so that any run of recipients hits the list that often, and a round
takes the next run: nobody is texted in two rounds.
"""

from array import array
from collections.abc import Iterable

#: One recipient in twenty is suppressed: 5 % of any audience.
HIT_EVERY = 20
_LINES = 10_000
_AREAS = (212, 213, 312, 415, 617, 305, 404, 512, 702, 206)
#: No exchange ends like these, 211 to 911.
_SERVICE_CODE = 11
_EXCHANGES = tuple(one for one in range(200, 1000) if one % 100 != _SERVICE_CODE)
#: How many recipients there are.
MOST = len(_AREAS) * len(_EXCHANGES) * _LINES


def number(index: int) -> int:
    """The E.164 digits of a recipient."""
    block, line = divmod(index, _LINES)
    area, exchange = divmod(block, len(_EXCHANGES))
    return int(f"1{_AREAS[area]}{_EXCHANGES[exchange]}{line:04}")


def numbers(indices: Iterable[int]) -> list[str]:
    """Recipients as an audience names them."""
    return [f"+{number(index)}" for index in indices]


def suppressed(count: int) -> "array[int]":
    """The first so many suppressed recipients, as 64-bit integers."""
    return array("Q", (number(index) for index in range(0, count * HIT_EVERY, HIT_EVERY)))


def suppressed_among(first: int, size: int) -> int:
    """How many of a run of recipients are on a list that is long enough."""
    return -(-(first + size) // HIT_EVERY) - -(-first // HIT_EVERY)


def unsuppressed(first: int, size: int) -> list[int]:
    """Who of a run of recipients is on no list."""
    return [index for index in range(first, first + size) if index % HIT_EVERY]
