"""What makes a benchmark's round count for nothing, and its run fail."""

from collections.abc import Mapping
from typing import Any

import pytest

from benchmarks import people
from benchmarks.figures import FIGURES, Round, missed
from benchmarks.history import History
from benchmarks.measured import Case, Measured, wire_faults

CLEAN: Mapping[str, Any] = {
    "asked": 95,
    "answered": 95,
    "doubles": 0,
    "leaks": 0,
    "first_at": 1000.0,
    "last_answered_at": 1010.0,
    "cpu_seconds": 2.0,
}


def measured(case: Case, seconds: float, *void: str) -> Measured:
    """One case that took so long for a hundred messages."""
    return Measured(
        case=case, messages=100, seconds=seconds, cpu={"sender": 1.0}, void=void, provider={}
    )


def fifty(bare: float, full: float, *void: str) -> Round:
    """A round of the point that floors are judged at."""
    cases = [measured(Case.BARE, bare), measured(Case.FULL, full, *void)]
    return Round(point="50 ms", number=1, measured=cases)


def test_a_clean_history_lets_a_round_count() -> None:
    """All that was to be sent was accepted once, by a provider that was not busy."""
    assert wire_faults(CLEAN, expected=95) == []


@pytest.mark.parametrize(
    "fault",
    [{"leaks": 1}, {"doubles": 1}, {"answered": 94}, {"asked": 96}, {"cpu_seconds": 7.1}],
)
def test_whatever_speaks_against_a_round_makes_it_void(fault: Mapping[str, Any]) -> None:
    """A leak, a message sent twice, one missing or one too many, a provider at its limit."""
    assert len(wire_faults({**CLEAN, **fault}, expected=95)) == 1


def test_a_history_tells_doubles_and_leaks() -> None:
    """The same body to a recipient twice is a double; another body is another message."""
    history = History()
    for recipient, body in ((1, b"a"), (1, b"b"), (2, b"a"), (1, b"a")):
        history.add(recipient, body)
    assert (history.doubles, history.to({2, 3})) == (1, 1)


def test_a_history_survives_the_way_to_another_process() -> None:
    """What is packed is unpacked as it was."""
    history = History()
    history.add(12122000000, b"hello")
    assert History.from_packed(history.packed()) == history


def test_every_audience_hits_the_list_alike() -> None:
    """One recipient in twenty is suppressed, wherever a run of them begins."""
    listed = set(people.suppressed(50))
    for first, size in ((0, 100), (7, 100), (20, 33)):
        hits = sum(people.number(index) in listed for index in range(first, first + size))
        assert hits == people.suppressed_among(first, size)
        assert hits == size - len(people.unsuppressed(first, size))


def test_a_median_below_its_floor_fails_the_run() -> None:
    """One slow round of three does not; two do."""
    good, bad = fifty(10, 10.1), fifty(10, 12)
    assert missed([good, bad, good]) == []
    assert [figure.name for figure in missed([good, bad, bad])] == ["full ÷ bare"]


def test_a_void_round_counts_for_nothing() -> None:
    """Neither for nor against; where none is left, the floor is missed."""
    good, void = fifty(10, 10.1), fifty(10, 5, "leaked")
    figure = FIGURES[0]
    assert figure.spread([good, void]) == figure.spread([good])
    assert figure in missed([void])
