"""Random draws that do not depend on the order in which requests happen to arrive."""

from collections import Counter
from collections.abc import Mapping
from hashlib import blake2b
from typing import TypeVar

Event = TypeVar("Event")


class Chance:
    """Draws a number per (subject, key, how often it was drawn), from the seed alone."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._drawn: Counter[tuple[str, str]] = Counter()

    def draw(self, subject: str, key: str) -> float:
        """A number from 0 to below 1; the next one for the same subject and key differs."""
        nth = self._drawn[subject, key]
        self._drawn[subject, key] = nth + 1
        digest = blake2b(f"{self._seed}|{subject}|{key}|{nth}".encode(), digest_size=8).digest()
        return int.from_bytes(digest) / 2**64

    def happens(self, rate: float, subject: str, key: str) -> bool:
        """Whether an event of this rate happens now; nothing is drawn when it cannot."""
        return rate > 0 and self.draw(subject, key) < rate

    def choose(self, rates: Mapping[Event, float], subject: str, key: str) -> Event | None:
        """At most one of several exclusive events."""
        if not rates:
            return None
        point = self.draw(subject, key)
        for event, rate in rates.items():
            if point < rate:
                return event
            point -= rate
        return None
