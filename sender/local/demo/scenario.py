"""Who does what in a demo, planned before it starts: the same seed gives the same plan.

It draws from the audience's recipients, each for at most one part, so that no part spoils
another. What then really happened is for the account to find out.
"""

import random
from bisect import bisect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, cycle, islice
from typing import Any

from sender.domain.slicing import cut
from sender.local.example_numbers import mobiles
from sender.simulator.behaviour import FaultKind
from sender.simulator.script import FollowUp, Rule, When

#: Everything a demo expects to be read as STOP; the provider itself knows only some of them.
STOPS = ("STOP", "stop", "Stop.", "opt out", "STOPALL", "revoke", "Unsubscribe", "QUIT!", " end ")
STARTS = ("START", "unstop", "Yes")
HELPS = ("HELP", "info")
CHATTER = ("Thanks!", "I'll stop by later", "STOP 12345", "who is this?", "ok 👍", "no")

#: A START this long after its STOP is later by the provider's clock of whole seconds, too.
START_AFTER_MS = 2_600.0
#: Far longer than the webhook app needs for a STOP: a STOP that did not wait for this request
#: would be enforced long before the request arrives.
ON_THE_WAY_MS = 500.0
DURING_MS = 80.0
#: After the answer, and after our own settlement of it.
AFTER_MS = 200.0

SENT_AFTER_MS, DELIVERED_AFTER_MS = 1_500.0, 300.0

#: Slices are worked on side by side from their first rows on. Rows that are early in the first
#: slices are sent before half of the campaign is, rows that are late not in its first tenth.
_FIRST, _EARLY, _LATE, _LAST = 0.1, 0.35, 0.55, 0.85
_FIRST_SLICES = 10
_PART_MAY_TAKE = 25  # at most one in 25 recipients


@dataclass(frozen=True, kw_only=True)
class PlannedText:
    """A person texts in while the campaign runs."""

    #: When this share of the recipients was handed off (0: at once; 1: when it is over).
    at_share: float
    recipient: int
    body: str
    #: What the same person texts `START_AFTER_MS` later, if anything.
    then: str | None = None


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """The plan of one run. Recipients are E.164 digits."""

    #: Opted out with us before the campaign.
    opted_out: tuple[int, ...]
    #: Of those, missing from the Redis set when it starts, as after a restored snapshot.
    lost_from_redis: tuple[int, ...]
    #: Opted out at the provider, and we were never told.
    blocked: tuple[int, ...]
    #: STOPs before the campaign exists, by its recipients and by strangers.
    texts_before: tuple[PlannedText, ...]
    #: Texts while it runs, by the share at which they are due.
    texts: tuple[PlannedText, ...]
    #: What happens inside and after single requests.
    rules: tuple[Rule, ...]


def behaviour(*, provider_block: bool) -> Mapping[str, Any]:
    """The provider's general behaviour: its speed, and what it does to some by chance."""
    return {
        "provider_block": provider_block,
        "latency_ms": 30.0,
        "latency_jitter_ms": 30.0,
        # Long after the answer to create, as at the real provider. A message whose answer got
        # lost is in doubt until then, and a careless system has the time to send it again.
        "sent_after_ms": SENT_AFTER_MS,
        "delivered_after_ms": DELIVERED_AFTER_MS,
        "async_failures": {30003: 0.01, 30005: 0.005, 30410: 0.005},
        "no_receipt_rate": 0.03,
        "duplicate_rate": 0.05,
        "reorder_rate": 0.05,
        "lost_callback_rate": 0.02,
    }


def plan(recipients: Sequence[int], *, seed: int, provider_block: bool) -> Scenario:
    """Draw a scenario for an audience.

    Args:
        recipients: the audience in the order of its file, as E.164 digits.
        seed: of all random choices.
        provider_block: whether the provider refuses whom it knows as opted out.
    """
    drawing = _Drawing(recipients, seed)
    kept = drawing.part(0.015, least=20)
    lost = drawing.part(0.015, least=24)
    blocked = drawing.part(0.015, least=20)
    before = [*drawing.part(0.008, least=16), *_strangers(recipients, 14)]
    return Scenario(
        opted_out=(*kept, *lost),
        lost_from_redis=tuple(lost),
        blocked=tuple(blocked),
        texts_before=tuple(_texts(before, at=0.0, bodies=STOPS)),
        texts=tuple(sorted(_texts_while_running(drawing), key=lambda text: text.at_share)),
        rules=tuple(
            chain(
                _stops_around_requests(drawing),
                _faults(drawing),
                _blocks_told_late(drawing) if provider_block else (),
            )
        ),
    )


def _texts_while_running(drawing: "_Drawing") -> Iterator[PlannedText]:
    late = drawing.part(0.02, least=40, of=drawing.late)
    for share, people in _in_steps(late, (0.0, 0.04, 0.08)):
        yield from _texts(people, at=share, bodies=STOPS, then=cycle((*STARTS, *[None] * 6)))
    early = drawing.part(0.01, least=16, of=drawing.early)
    for share, people in _in_steps(early, (0.55, 0.75, 1.0)):
        yield from _texts(people, at=share, bodies=STOPS, then=cycle((None, None, *STARTS)))
    yield from _texts(drawing.part(0.004, least=6), at=0.3, bodies=HELPS)
    # An unclear reply holds what that person was not sent yet until somebody has read it, and here
    # nobody does: the campaign would not end.
    yield from _texts(drawing.part(0.006, least=12), at=1.0, bodies=CHATTER)


def _stops_around_requests(drawing: "_Drawing") -> Iterator[Rule]:
    bodies, later = cycle(STOPS), cycle((None, None, *STARTS))
    for recipient in drawing.part(0.008, least=16):
        yield _stop(recipient, When.ON_THE_WAY, next(bodies), hold_ms=ON_THE_WAY_MS)
    for recipient in drawing.part(0.006, least=10):
        yield _stop(recipient, When.BEFORE_ANSWER, next(bodies), hold_ms=DURING_MS)
    for recipient in drawing.part(0.01, least=20):
        yield _stop(recipient, When.DURING, next(bodies), hold_ms=DURING_MS, then=next(later))
    for recipient in drawing.part(0.01, least=20):
        yield _stop(recipient, When.AFTER, next(bodies), delay_ms=AFTER_MS, then=next(later))


def _faults(drawing: "_Drawing") -> Iterator[Rule]:
    """Answers that get lost or say nothing: in the first half, so that none prolongs the run."""
    shares = {
        FaultKind.ACCEPT_AND_DROP: 0.008,
        FaultKind.ERROR_500_AFTER_ACCEPT: 0.006,
        FaultKind.THROTTLE_429: 0.006,
        FaultKind.DROP_BEFORE_ACCEPT: 0.002,
        FaultKind.ERROR_503: 0.003,
    }
    for fault, share in shares.items():
        for recipient in drawing.part(share, least=6, of=drawing.early):
            yield Rule(to=f"+{recipient}", fault=fault)
    # A slice that has come to its end looks at once for what it may have to send again.
    for recipient in drawing.part(0.006, least=12, of=drawing.last):
        yield Rule(to=f"+{recipient}", fault=FaultKind.ACCEPT_AND_DROP)
    # And a few who say STOP while nobody knows whether they were texted: they wait longest.
    for recipient in drawing.part(0.001, least=3, of=drawing.first):
        yield _stop(recipient, When.AFTER, "STOP", delay_ms=AFTER_MS, fault=FaultKind.ERROR_503)


def _blocks_told_late(drawing: "_Drawing") -> Iterator[Rule]:
    """Accepted, then failed with 21610: how a Messaging Service tells of a block."""
    for recipient in drawing.part(0.006, least=10):
        yield Rule(to=f"+{recipient}", async_failure=21610)


def _stop(
    recipient: int,
    when: When,
    body: str,
    *,
    then: str | None = None,
    **how: Any,
) -> Rule:
    follow_ups = (FollowUp(after_ms=START_AFTER_MS, inbound=then),) if then else ()
    return Rule(to=f"+{recipient}", when=when, inbound=body, then=follow_ups, **how)


def _texts(
    people: Iterable[int],
    *,
    at: float,
    bodies: Sequence[str],
    then: Iterable[str | None] = cycle((None,)),
) -> Iterator[PlannedText]:
    for recipient, body, answer in zip(people, cycle(bodies), then, strict=False):
        yield PlannedText(at_share=at, recipient=recipient, body=body, then=answer)


def _in_steps(
    people: Sequence[int], shares: Sequence[float]
) -> Iterator[tuple[float, Sequence[int]]]:
    for step, share in enumerate(shares):
        yield share, people[step :: len(shares)]


def _strangers(recipients: Iterable[int], count: int) -> list[int]:
    """People who are not in the audience."""
    known = set(recipients)
    others = (number.digits for number in mobiles("GB") if number.digits not in known)
    return list(islice(others, count))


class _Drawing:
    """Recipients in random order; who was drawn is gone."""

    def __init__(self, recipients: Sequence[int], seed: int) -> None:
        self._count = len(recipients)
        #: The position at which each slice ends and the next one begins.
        self._edges = [0, *(last for _, last in cut(self._count))]
        self._free = list(enumerate(recipients))
        random.Random(seed).shuffle(self._free)

    def part(self, share: float, *, least: int, of: Any = None) -> list[int]:
        """Draw `share` of all recipients, at least `least`, but never a large part of few.

        Args:
            share: of all recipients.
            least: for a small audience.
            of: only recipients whose position in the file fits; all by default.
        """
        wanted = min(max(round(self._count * share), least), self._count // _PART_MAY_TAKE)
        drawn = list(islice((one for one in self._free if of is None or of(one[0])), wanted))
        taken = set(drawn)
        self._free = [one for one in self._free if one not in taken]
        return [recipient for _, recipient in drawn]

    def first(self, position: int) -> bool:
        """Whether a recipient is among the first that are sent to."""
        number, share = self._place(position)
        return number < _FIRST_SLICES and share < _FIRST

    def early(self, position: int) -> bool:
        """Whether a recipient is sent to before half of the campaign is."""
        number, share = self._place(position)
        return number < _FIRST_SLICES and share < _EARLY

    def late(self, position: int) -> bool:
        """Whether a recipient is not sent to in the first tenth."""
        _, share = self._place(position)
        return share >= _LATE

    def last(self, position: int) -> bool:
        """Whether a recipient is among the last of its slice."""
        _, share = self._place(position)
        return share >= _LAST

    def _place(self, position: int) -> tuple[int, float]:
        """The slice that a recipient is in, and what share of it comes before them."""
        number = bisect(self._edges, position) - 1
        begin, end = self._edges[number : number + 2]
        return number, (position - begin) / (end - begin)
