"""What is to happen in a storm; the same seed draws the same."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from random import Random
from typing import Any

from sender.local.demo import Substitutes
from sender.local.example_numbers import mobiles
from sender.simulator.behaviour import FaultKind
from sender.simulator.script import Rule, When

#: Shares of the people that say STOP before the campaign exists, and around their own request.
STOPPED_BEFORE, STOPPED_AROUND = 0.03, 0.06
#: Of the first window's people, every so manieth said STOP before, and the Redis set has lost it:
#: nothing but the guard stands between them and a text.
FIRST, LOST_EVERY = 30, 3
#: The last people's requests are accepted and not answered: a slice that has come to its end looks
#: at once for what it may have to send again.
LAST = 12
#: The share whose row stands in the audience twice, in another spelling.
DUPLICATES = 0.05

#: A STOP that came while the request was on its way, or its answer, is held this long.
ON_THE_WAY_MS, DURING_MS, AFTER_MS = 500.0, 80.0, 150.0

#: What the provider does to create requests by chance: answers that tell nothing, above all.
FAULTS = {
    FaultKind.ACCEPT_AND_DROP: 0.012,
    FaultKind.ERROR_500_AFTER_ACCEPT: 0.008,
    FaultKind.DROP_BEFORE_ACCEPT: 0.006,
    FaultKind.ERROR_503: 0.006,
    FaultKind.THROTTLE_429: 0.01,
    FaultKind.HANG: 0.002,
}


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """One storm before it breaks."""

    seed: int
    people: int = 2_100
    #: Worker processes that must have died before the campaign may end.
    kills: int = 20
    #: Whether servers and other processes suffer too.
    disasters: bool = True
    #: Whether all is waited for that still comes once the campaign is over. What was broken by then
    #: is seen without it, but not every row is explained.
    to_the_end: bool = True
    #: What takes the place of ours, for the controls.
    substitutes: Substitutes = field(default_factory=Substitutes)

    @cached_property
    def chance(self) -> Random:
        """Of everything that is drawn while the storm lasts."""
        return Random(f"{self.seed} while it lasts")

    @cached_property
    def recipients(self) -> Sequence[int]:
        """The audience, in the order in which it is sent to."""
        return [number.digits for number in islice(mobiles("US"), self.people)]

    @cached_property
    def rows(self) -> Sequence[str]:
        """The audience as it is typed, duplicates included."""
        twice = Random(self.seed).sample(self.recipients, round(self.people * DUPLICATES))
        return [f"+{one}" for one in self.recipients] + [_otherwise(one) for one in twice]

    @cached_property
    def _drawn(self) -> Iterator[int]:
        others = self.recipients[FIRST:-LAST]
        return iter(Random(f"{self.seed} people").sample(others, len(others)))

    @cached_property
    def stopped_before(self) -> Sequence[int]:
        """Who says STOP before the campaign exists."""
        drawn = islice(self._drawn, round(self.people * STOPPED_BEFORE))
        return [*self.lost_from_redis, *drawn]

    @property
    def lost_from_redis(self) -> Sequence[int]:
        """Those of them whom the Redis set has forgotten when it starts."""
        return self.recipients[:FIRST:LOST_EVERY]

    @cached_property
    def rules(self) -> Sequence[Rule]:
        """STOPs at every moment of somebody's own request, and answers that get lost at the end."""
        return [*self._rules()]

    def _rules(self) -> Iterator[Rule]:
        each = max(12, round(self.people * STOPPED_AROUND / 4))
        for who in islice(self._drawn, each):
            yield _stop(who, When.ON_THE_WAY, hold_ms=ON_THE_WAY_MS)
        for who in islice(self._drawn, each):
            yield _stop(who, When.BEFORE_ANSWER, hold_ms=DURING_MS)
        for who in islice(self._drawn, each):
            yield _stop(who, When.DURING, hold_ms=DURING_MS)
        for who in islice(self._drawn, each):
            yield _stop(who, When.AFTER, delay_ms=AFTER_MS)
        for who in self.recipients[-LAST:]:
            yield Rule(to=f"+{who}", fault=FaultKind.ACCEPT_AND_DROP)

    @property
    def behaviour(self) -> dict[str, Any]:
        """How the provider behaves; its own block is off."""
        return {
            "provider_block": False,
            "latency_ms": 60.0,
            "latency_jitter_ms": 120.0,
            "faults": FAULTS if self.disasters else {**FAULTS, FaultKind.HANG: 0.0},
            "hang_seconds": 12.0,
            # Time enough for a careless system to send again what a callback would settle.
            "sent_after_ms": 1_500.0 if self.to_the_end else 10_000.0,
            "delivered_after_ms": 300.0,
            "async_failures": {30003: 0.01, 30005: 0.005},
            "no_receipt_rate": 0.03,
            "duplicate_rate": 0.05,
            "reorder_rate": 0.05,
            "lost_callback_rate": 0.02,
            "webhook_retry_ms": 2_000.0,
        }


def _stop(who: int, when: When, **how: Any) -> Rule:
    return Rule(to=f"+{who}", when=when, inbound="STOP", **how)


def _otherwise(recipient: int) -> str:
    """Another spelling of a number of the United States."""
    digits = str(recipient)
    return f"({digits[1:4]}) {digits[4:7]}-{digits[7:]}"
