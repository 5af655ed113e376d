"""Scripted recipients: what happens when a create request for one of them arrives."""

from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field, with_config

from sender.simulator.behaviour import FaultKind, Milliseconds


class When(StrEnum):
    """The moment at which a scripted person texts in, relative to a create request for them."""

    #: While the request is still on the network: it arrives ``hold_ms`` after the text was sent.
    ON_THE_WAY = "on_the_way"
    #: Before the request is judged: where blocks are on, it meets the block they just made.
    BEFORE_ANSWER = "before_answer"
    #: After the request was judged, while its answer is held back.
    DURING = "during"
    #: Once the answer has been given.
    AFTER = "after"


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, kw_only=True)
class FollowUp:
    """Another text from the same person."""

    #: After their first text.
    after_ms: Milliseconds
    inbound: str


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, kw_only=True)
class Rule:
    """Applies to the next create request for ``to``, then is used up."""

    to: str
    when: When = When.DURING
    #: What the person texts; ``None``: nothing.
    inbound: str | None = None
    #: Between that moment and their text.
    delay_ms: Milliseconds = 0.0
    #: How long the answer is held back after a text ``before_answer`` or ``during``, or the
    #: request after a text ``on_the_way``.
    hold_ms: Milliseconds = 60.0
    then: tuple[FollowUp, ...] = ()
    #: A fault aimed at this request.
    fault: FaultKind | None = None
    #: The error code with which the accepted message fails later.
    async_failure: Annotated[int, Field(gt=0)] | None = None

    @property
    def held_ms(self) -> float:
        """How long the answer waits because of this rule."""
        holds_answer = self.when in (When.BEFORE_ANSWER, When.DURING)
        return self.hold_ms if self.inbound and holds_answer else 0.0


class Script:
    """The rules not yet used, by recipient, in the order in which they were added."""

    def __init__(self) -> None:
        self._rules: defaultdict[str, deque[Rule]] = defaultdict(deque)

    def __len__(self) -> int:
        return sum(map(len, self._rules.values()))

    def add(self, rules: Iterable[Rule]) -> None:
        """Append rules."""
        for rule in rules:
            self._rules[rule.to].append(rule)

    def next_for(self, to: str) -> Rule | None:
        """The rule `take` would use up."""
        rules = self._rules.get(to)
        return rules[0] if rules else None

    def take(self, to: str) -> Rule | None:
        """The next rule for this recipient, which is thereby used up."""
        rules = self._rules.get(to)
        return rules.popleft() if rules else None
