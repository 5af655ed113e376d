"""How many requests of one account may be in flight: a pure policy over what it answers."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Self, TypeGuard

from sender.domain.outcome import Accepted, OptedOut, Outcome, Refused, Throttled

#: In flight before anything is known of the account: Twilio publishes no limit, and this many are
#: known to go (10 to 20 are advised). Answers double it within a second or two.
FIRST = 16
#: How long an account is left alone that does not say how long: its answers take well under a
#: second, so whatever occupied it is over by then.
PAUSE = timedelta(seconds=2)
#: The longest that one answer stops everybody: if it was not enough, the next one says so again.
LONGEST_PAUSE = timedelta(minutes=1)
#: What the provider says to a request that it had room for.
_ANSWERS = (Accepted, Refused, OptedOut)


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """How many requests of an account one process may have in flight.

    Twilio refuses what is too much with a 429, and does not say what is too much; nor do processes
    know of each other. So each adapts on its own, as TCP does (slow start, additive increase and
    multiplicative decrease; RFC 5681): it adds one a round and halves when it is refused. Flows
    that do so share a link's capacity evenly without a word between them, and processes share an
    account's limit in the same way, together with whatever else uses the account.

    A *round* is the time in which all that is in flight is answered.
    """

    #: The most there may be: what the process has connections for.
    bound: int
    #: The allowance with the fraction that answers have added so far.
    size: float
    #: Nothing was refused yet: each answer adds one, which doubles the allowance every round.
    is_first_rise: bool = True
    #: When it was last cut, by the clock that `after` is given.
    cut_at: float = float("-inf")
    #: It was cut, and nothing that began since then was let through.
    is_cut_unproven: bool = False

    @classmethod
    def first(cls, bound: int) -> Self:
        """Before the first answer."""
        return cls(bound=bound, size=min(FIRST, bound))

    @property
    def limit(self) -> int:
        """How many requests may be in flight: at least one, or nothing would ever be learnt."""
        return int(self.size)

    def after(self, outcome: Outcome, *, begun: float, at: float, in_flight: int) -> Self:
        """The allowance with one more answer.

        A refusal halves it once a round: what had begun before the last cut says only again what
        led to that. An answer raises it only while at least half is in flight, for a limit that
        nobody comes near teaches nothing; permits are taken in batches of up to half.

        Args:
            outcome: what the provider said.
            begun: when the request began.
            at: when it was answered, by the same clock in seconds.
            in_flight: how many there were, this one included, when it was answered.
        """
        if isinstance(outcome, _ANSWERS):
            # This stands first, and makes nothing new at the bound, because it is every answer's.
            unproven = self.is_cut_unproven and begun <= self.cut_at
            may_grow = self.size < self.bound and 2 * in_flight >= self.limit
            size = self._grown() if may_grow else self.size
            if size == self.size and unproven == self.is_cut_unproven:
                return self
            return replace(self, size=size, is_cut_unproven=unproven)
        if _is_too_much(outcome) and begun > self.cut_at:
            return replace(
                self,
                size=max(1.0, self.size / 2),
                is_first_rise=False,
                cut_at=at,
                is_cut_unproven=True,
            )
        return self  # an outage, a full queue, one person's hours: nothing about concurrency

    def _grown(self) -> float:
        more = 1.0 if self.is_first_rise else 1.0 / self.size
        return min(float(self.bound), self.size + more)

    def pause(self, outcome: Outcome, *, begun: float, chance: float) -> timedelta:
        """How long nothing of the account may be begun, by anybody, after this answer; mostly zero.

        What is refused now and then only says that there was a little too much, and the cut (and
        the message's own rest) puts that right: a pause of everybody would cost far more. It takes
        a refusal after a cut that let nothing through, or with nothing left to cut. Then it is as
        long as the provider asked.

        Args:
            outcome: what the provider said.
            begun: when the request began.
            chance: from 0 to 1; lengthens our own pause, where it did not say, by up to its half.
        """
        if not _is_too_much(outcome) or begun <= self.cut_at:
            return timedelta()
        if not self.is_cut_unproven and self.limit > 1:
            return timedelta()
        asked = outcome.retry_after or PAUSE * (1 + chance / 2)
        return min(asked, LONGEST_PAUSE)


def _is_too_much(outcome: Outcome) -> TypeGuard[Throttled]:
    return isinstance(outcome, Throttled) and outcome.of_account
