"""The transition table of a message."""

import ast
import inspect

import pytest

from sender.domain import message
from sender.domain.message import AT_PROVIDER, OPEN, TRANSITIONS, State, sources_of

_FINAL = frozenset(state for state, targets in TRANSITIONS.items() if not targets)


def test_every_state_has_its_moves() -> None:
    """The table names every state, and moves to nothing else."""
    assert set(TRANSITIONS) == set(State)
    assert frozenset().union(*TRANSITIONS.values()) <= set(State)


def test_what_may_be_sent_again() -> None:
    """Only a row whose request is under way may come back to pending: never one in doubt."""
    assert sources_of(State.PENDING) == {State.SENDING}


@pytest.mark.parametrize("start", [State.SENT, State.IN_DOUBT, State.UNKNOWN, *sorted(_FINAL)])
def test_no_way_back(start: State) -> None:
    """No chain of moves leads from what may have been accepted to another request."""
    seen: frozenset[State] = frozenset()
    frontier = frozenset({start})
    while frontier:
        seen |= frontier
        frontier = frozenset().union(*(TRANSITIONS[state] for state in frontier)) - seen
    assert not seen & OPEN


def test_only_the_guard_leads_to_sending() -> None:
    """A row is sending only from pending."""
    assert sources_of(State.SENDING) == {State.PENDING}


def test_nothing_waits_for_ever() -> None:
    """Every state but those that end has a way out, and ends are what they are called."""
    assert {
        State.DELIVERED,
        State.SUPPRESSED,
        State.FAILED,
        State.EXPIRED,
        State.CANCELED,
    } == _FINAL


@pytest.mark.parametrize("state", [State.IN_DOUBT, State.UNKNOWN, State.SENDING])
def test_definite_evidence_ends_a_doubt(state: State) -> None:
    """Whatever the provider may tell later is taken from a row whose outcome is not known."""
    told = {
        State.SENT,
        State.DELIVERED,
        State.UNDELIVERED,
        State.FAILED,
        State.SUPPRESSED,
        State.CANCELED,
    }
    assert told <= TRANSITIONS[state]


def test_no_state_leads_to_itself() -> None:
    """A repeated word of the provider is no move."""
    assert all(state not in targets for state, targets in TRANSITIONS.items())


def test_sources_are_the_table_read_backwards() -> None:
    """A state may be moved to exactly from where the table says."""
    for target in State:
        for source in State:
            assert (source in sources_of(target)) is (target in TRANSITIONS[source])


def test_open_and_at_provider() -> None:
    """Open rows may still be sent; what the provider may hold is under way, sent or in doubt."""
    assert {State.PENDING, State.SENDING} == OPEN
    assert {State.SENDING, State.SENT, State.IN_DOUBT} == AT_PROVIDER


def test_every_state_is_documented() -> None:
    """Each member has a sentence of its own above it."""
    source = inspect.getsource(message).splitlines()
    (states,) = [
        node
        for node in ast.parse("\n".join(source)).body
        if isinstance(node, ast.ClassDef) and node.name == "State"
    ]
    members = [node for node in states.body if isinstance(node, ast.Assign)]
    assert len(members) == len(State)
    for member in members:
        assert source[member.lineno - 2].strip().startswith("#: ")
