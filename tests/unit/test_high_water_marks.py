"""Comparing high-water marks: when a database is older than what is known of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from sender.domain.high_water import Finding, Look, Mark, highest, why_older

OURS, ANOTHER = UUID(int=1), UUID(int=2)
AT = datetime(2026, 11, 25, 12, tzinfo=UTC)


def mark(seq: int, *, era: int = 0, timeline: int | None = 1, identity: UUID = OURS) -> Mark:
    """A mark."""
    return Mark(identity=identity, era=era, seq=seq, timeline=timeline)


@pytest.mark.parametrize(
    ("found", "known"),
    [
        (mark(5), None),
        (mark(5), mark(5)),
        (mark(6), mark(5)),
        (mark(5, timeline=None), mark(5)),
        (mark(5), mark(5, timeline=None)),
        (mark(1, era=9), mark(5, era=8)),
        (mark(1, era=9, timeline=3), mark(5, era=8, timeline=2)),
        (mark(1, era=9, identity=ANOTHER), mark(5, era=8)),
    ],
    ids=["new", "same", "later", "not-told", "not-known", "recovered", "on-another", "as-another"],
)
def test_a_database_that_may_be_worked_with(found: Mark, known: Mark | None) -> None:
    """One that nothing is known of, that shows no less, or that was recovered since."""
    assert why_older(found, known) == ""


@pytest.mark.parametrize(
    ("found", "known", "why"),
    [
        (mark(4), mark(5), "an older database (its mark is 4, known is 5)"),
        (mark(9, era=0), mark(1, era=7), "an older database (its mark is 9, known is 7/1)"),
        (mark(9, timeline=2), mark(5), "another timeline (2, known is 1)"),
        (mark(5, timeline=1), mark(5, timeline=2), "another timeline (1, known is 2)"),
        (mark(9, identity=ANOTHER), mark(5), f"another database ({ANOTHER}, known is {OURS})"),
    ],
    ids=["lower", "before-a-recovery", "promoted", "demoted", "another"],
)
def test_a_database_that_is_older(found: Mark, known: Mark, why: str) -> None:
    """One that shows less, is on another timeline, or is not the one that was known."""
    assert why_older(found, known) == why


def test_the_highest_of_marks() -> None:
    """A recovery counts for more than any number of ticks; nothing known is no mark."""
    assert highest([]) is None
    assert highest([None, mark(3), mark(5), None]) == mark(5)
    assert highest([mark(99), mark(1, era=2)]) == mark(1, era=2)


@pytest.mark.parametrize("known", [None, mark(5), mark(1, era=2**60)])
def test_a_recovery_is_above_all_that_was_known(known: Mark | None) -> None:
    """Whoever knew a mark before, and whoever recovers later, agrees on which is the later one."""
    look = Look(mark=mark(4, timeline=None), ticked_at=AT, server=AT, at=AT)
    new = Finding(look=look, why="", known=known, timeline=3).next_mark
    assert why_older(new, known) == ""
    assert why_older(mark(10**9), new)
    assert (new.identity, new.seq, new.timeline) == (OURS, 5, 3)


def test_a_later_recovery_is_above_one_that_it_does_not_know() -> None:
    """Recoveries follow each other in time, even where every mark was lost."""
    first = Look(mark=mark(4), ticked_at=AT, server=AT, at=AT)
    later = replace(first, at=AT + timedelta(days=1))
    new = Finding(look=later, why="", known=None, timeline=4).next_mark
    assert new.era > Finding(look=first, why="", known=mark(9), timeline=3).next_mark.era
