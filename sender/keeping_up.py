"""How many rows a process may have under way without falling behind.

An event loop that cannot follow gains nothing from more requests in flight: their answers wait in
our own sockets, and so does every window between its lookup and its requests. What shows it is the
time that the loop takes to come round. So each window looks how long that is, and the process's
permits follow: a few more while it is short, fewer while it is long. Slots stay as they are: with
fewer rows than slots, none that is looked up and guarded waits for one.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from sender.permits import Permits
from sender.send_clock import send_clock

#: Rows that no process goes below: what keeps one core busy while a window of them is guarded.
LEAST = 192
#: Seconds that the loop may take to come round in any case. A window waits for four to six rounds
#: between its lookup and its requests.
LONG = 0.011
#: The same as a part of what an answer takes: where that is long, requests wait for the provider
#: and not for us, and fewer of them would only be slower.
SHARE = 0.06
#: Of what the loop may take, what shows that it could do more.
_SHORT = 0.5
#: Of each round's time, how much of it enters the mean.
_NEWEST = 0.2
#: What is left of a bound that is too high.
_CUT = 0.95


@dataclass(frozen=True, kw_only=True)
class Bound:
    """The most rows under way: a pure policy over how long the loop's rounds take."""

    #: As many as the process has permits for.
    most: int
    size: float
    #: Of the latest rounds, in seconds.
    mean: float = 0.0

    @classmethod
    def first(cls, most: int) -> "Bound":
        """Before the first round."""
        return cls(most=most, size=most)

    @property
    def limit(self) -> int:
        """How many there may be."""
        return int(self.size)

    def after(self, seconds: float, *, answer: float = 0.0) -> "Bound":
        """The bound with one more round.

        Args:
            seconds: how long it took.
            answer: how long an answer takes, in seconds.
        """
        mean, size = self.mean + _NEWEST * (seconds - self.mean), self.size
        long = max(LONG, SHARE * answer)
        if mean > long:
            size = max(size * _CUT, min(LEAST, self.most))
        elif mean < _SHORT * long:
            size = min(size + 1, self.most)
        return replace(self, mean=mean, size=size)


class KeepingUp:
    """Has a process's permits follow its event loop; for one loop."""

    def __init__(self, permits: Permits, *, clock: Callable[[], float] = send_clock) -> None:
        self._permits = permits
        self._clock = clock
        self._bound = Bound.first(permits.rows)
        self._is_looking = False

    def look(self, *, answer: float) -> None:
        """See how long the loop takes to come round, unless that is being looked at.

        Args:
            answer: how long an answer takes, in seconds.
        """
        if not self._is_looking:
            self._is_looking = True
            asyncio.get_running_loop().call_soon(self._see, self._clock(), answer)

    def _see(self, since: float, answer: float) -> None:
        self._is_looking = False
        before = self._bound
        self._bound = before.after(self._clock() - since, answer=answer)
        if self._bound.limit != before.limit:
            self._permits.bound(self._bound.limit)
