"""Outcome → way: the one place where the provider's answer becomes a state."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import get_args
from uuid import UUID

import pytest

from sender.domain.message import TRANSITIONS, Guarded, State
from sender.domain.outcome import (
    Accepted,
    Ambiguous,
    NotBegun,
    OptedOut,
    Outcome,
    QueueFull,
    RefusalKind,
    Refused,
    Throttled,
)
from sender.enforcement import Enforcement
from sender.settlement import CONNECT_REST, THROTTLE_REST, Settlement
from sender.storage.enforcement import EnforcementTable
from sender.storage.messages import MessageTable
from sender.storage.settling import Way

LICENCE = Guarded(message_id=UUID(int=5), gen=3, guarded_at=datetime(2025, 6, 1, tzinfo=UTC))
SOON = timedelta(seconds=9)
#: They say nothing of the message.
HALTING = {RefusalKind.HALT, RefusalKind.ACCOUNT}
OUTCOMES: list[Outcome] = [
    Accepted(sid="SM1", provider_status="queued"),
    OptedOut(code=21610),
    *(Refused(kind=kind, code=21211) for kind in RefusalKind),
    Throttled(code=20429, retry_after=None),
    Throttled(code=20429, retry_after=SOON),
    QueueFull(code=21611, retry_after=SOON),
    NotBegun(why="connect_refused"),
    Ambiguous(why="read_timeout"),
    Ambiguous(why="http_500", code=500),
]


class _NoCache:
    """Settling decides without it."""

    async def add(self, entries: object) -> None:
        """Nothing."""


def _decide(outcome: Outcome, licence: Guarded = LICENCE) -> Way:
    settlement = Settlement(
        messages=MessageTable(),
        enforcement=Enforcement(table=EnforcementTable(), horizon=timedelta(seconds=120)),
        cache=_NoCache(),
    )
    return settlement.decide(licence, outcome)


def test_the_list_is_whole() -> None:
    """Every kind of outcome, and every kind of refusal, is in the list that follows."""
    assert {type(outcome) for outcome in OUTCOMES} == set(get_args(Outcome))
    assert {one.kind for one in OUTCOMES if isinstance(one, Refused)} == set(RefusalKind)


@pytest.mark.parametrize("outcome", OUTCOMES, ids=repr)
class TestEveryOutcome:
    """Rules for all of them."""

    def test_it_has_one_way_with_a_reason(self, outcome: Outcome) -> None:
        """A row goes one way after an outcome, with a reason that is stored."""
        way = _decide(outcome)
        assert way.reason
        assert way.state in TRANSITIONS[State.SENDING]

    def test_only_what_did_nothing_may_go_again(self, outcome: Outcome) -> None:
        """Back to pending goes what was throttled, not begun, or refused as its sender's."""
        proven = isinstance(outcome, Throttled | QueueFull | NotBegun) or (
            isinstance(outcome, Refused) and outcome.kind in HALTING
        )
        assert (_decide(outcome).state is State.PENDING) is proven

    def test_only_what_goes_again_rests(self, outcome: Outcome) -> None:
        """A row that does not go again has no rest."""
        way = _decide(outcome)
        assert way.state is State.PENDING or way.rest == timedelta()

    def test_the_provider_code_is_kept(self, outcome: Outcome) -> None:
        """The provider's own code stands beside our state."""
        assert _decide(outcome).provider_code == getattr(outcome, "code", None)


def test_accepted() -> None:
    """An accepted message keeps the provider's status."""
    way = _decide(OUTCOMES[0])
    assert (way.state, way.provider_status) == (State.SENT, "queued")


def test_opted_out() -> None:
    """A 21610 is a suppression, never a failure."""
    way = _decide(OptedOut(code=21610))
    assert (way.state, way.reason) == (State.SUPPRESSED, "provider_block")


@pytest.mark.parametrize("kind", sorted(set(RefusalKind) - HALTING))
def test_refused(kind: RefusalKind) -> None:
    """A refusal of the message is final, and its kind is the reason."""
    way = _decide(Refused(kind=kind, code=21211))
    assert (way.state, way.reason) == (State.FAILED, kind.value)


def test_ambiguous() -> None:
    """What may have been accepted is in doubt."""
    way = _decide(Ambiguous(why="reset"))
    assert (way.state, way.reason) == (State.IN_DOUBT, "reset")


def test_rests() -> None:
    """A throttled row rests longer than the provider asked; otherwise our own figures hold."""
    first = replace(LICENCE, gen=1)
    asked = _decide(Throttled(code=20429, retry_after=SOON), first).rest
    assert SOON + THROTTLE_REST <= asked <= SOON + 2 * THROTTLE_REST
    for outcome, least in (
        (Throttled(code=20429, retry_after=None), THROTTLE_REST),
        (NotBegun(why="dns"), CONNECT_REST),
    ):
        assert least <= _decide(outcome, first).rest <= 2 * least


@pytest.mark.parametrize(
    "outcome", [Throttled(code=20429, retry_after=None), NotBegun(why="dns")], ids=repr
)
def test_rests_grow_and_are_spread(outcome: Outcome) -> None:
    """A row that comes back again rests longer, and rows refused together come back apart."""
    rests = [_decide(outcome, replace(LICENCE, gen=gen)).rest for gen in (1, 3, 5, 7, 999)]
    assert [rest / rests[0] for rest in rests] == pytest.approx([1, 2, 4, 8, 8])
    together = [replace(LICENCE, message_id=UUID(int=400 * number)) for number in range(100)]
    assert len({_decide(outcome, row).rest for row in together}) == 100


def test_a_full_queue() -> None:
    """A row whose sender's queue is full waits with a reason of its own, as long as was found."""
    way = _decide(QueueFull(code=21611, retry_after=SOON))
    assert (way.state, way.reason, way.rest) == (State.PENDING, "queue_full", SOON)
