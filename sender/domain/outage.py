"""How gently a provider that takes nothing is asked: a pure policy over one sender's outcomes."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from sender.domain.outcome import Ambiguous, NotBegun, Outcome, Throttled

#: Failures in a row that make an outage: chance does not make them (at one failure in ten, once
#: in a hundred million requests), and they are fewer than one window.
LONG_ENOUGH = 8
#: The first rest: a proxy that restarts needs no longer. It doubles with every failed attempt.
FIRST_REST = timedelta(seconds=2)
#: The longest: what an outage costs after its end, at most.
LONGEST_REST = timedelta(seconds=30)
_FAILURES = (NotBegun, Ambiguous)
_NO_REST = timedelta()


@dataclass(frozen=True, kw_only=True)
class Streak:
    """One sender's failures since the provider last gave a proper answer.

    A connection that failed counts, for it puts a row back to be sent again at once by the next in
    line; so does an ambiguous answer, of which an outage would make a campaign full. A full queue
    is a proper answer: the provider is there, and it is this sender that must wait. A 429 neither
    counts nor ends it: how much may be asked is `sender.domain.concurrency`'s subject. Nor does
    what we found too late to be begun: a busy process would take itself for an outage.
    """

    failures: int = 0
    #: Rests it has led to.
    rests: int = 0
    #: When the last of them ends, by the clock that `after` is given.
    until: float = float("-inf")

    @property
    def is_outage(self) -> bool:
        """Whether the provider is asked with one message only, and its answer waited for."""
        return self.failures >= LONG_ENOUGH

    def after(self, outcome: Outcome, *, at: float) -> Self:
        """The streak with one more outcome.

        What was under way when a rest began fails within it, and does not lengthen it.

        Args:
            outcome: what the provider said.
            at: seconds by a monotonic clock.
        """
        if not isinstance(outcome, _FAILURES):
            ends = self.failures > 0 and not isinstance(outcome, Throttled)
            return type(self)() if ends else self
        if isinstance(outcome, NotBegun) and outcome.is_ours:
            return self
        failures = self.failures + 1
        if failures < LONG_ENOUGH or at < self.until:
            return type(self)(failures=failures, rests=self.rests, until=self.until)
        until = at + _length(self.rests).total_seconds()
        return type(self)(failures=failures, rests=self.rests + 1, until=until)

    def rest(self, *, at: float) -> timedelta:
        """How long the sender must rest from then on; zero when it may go on."""
        return timedelta(seconds=max(0.0, self.until - at)) if self.is_outage else _NO_REST


def _length(rests_before: int) -> timedelta:
    """Doubled each time; the exponent is bounded because a timedelta is."""
    return min(LONGEST_REST, FIRST_REST * (1 << min(rests_before, 8)))
