"""When a campaign's text is being filtered: a pure policy over two counts."""

from typing import Final

#: Fewer prove nothing: a carrier filters single texts of any campaign, by its own mood.
LEAST: Final = 20
#: Ordinary traffic loses well under one in a hundred to filters. At one in twenty it is this text
#: that is filtered, and going on teaches the carriers to filter its sender.
SHARE: Final = 0.05


def is_filtered(*, filtered: int, accepted: int) -> bool:
    """Whether so many filtered messages, of so many accepted, call for a person."""
    return filtered >= LEAST and filtered >= SHARE * accepted


def enough(filtered: int) -> int:
    """From so many accepted messages on, that many filtered ones are no reason to hold."""
    return int(filtered / SHARE) + 1
