"""The ids of a campaign's messages."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sender.domain.campaign import MAX_RECIPIENTS, MessageIds

IDS = MessageIds(created_at=datetime(2025, 6, 1, 12, 0, 0, 250_000, tzinfo=UTC), campaign_id=17)

_ordinals = st.integers(1, MAX_RECIPIENTS)
_random = st.integers(0, 2**30 - 1)


@given(_ordinals, _random)
def test_they_are_uuids_of_version_7(ordinal: int, random: int) -> None:
    """An id is a UUID of version 7 (RFC 9562) with the campaign's creation as its time."""
    made = IDS.of(ordinal, random)
    assert made.version == 7
    assert made.variant == "specified in RFC 4122"
    assert made.int >> 80 == int(IDS.created_at.timestamp() * 1000)


@given(_ordinals, _ordinals, _random, _random)
def test_they_sort_by_ordinal(one: int, two: int, random: int, other: int) -> None:
    """Ids are in audience order, whatever their random parts."""
    if one != two:
        assert (IDS.of(one, random) < IDS.of(two, other)) is (one < two)


@given(_ordinals, _ordinals, _random)
def test_a_span_holds_its_ordinals_only(first: int, last: int, random: int) -> None:
    """A span has every id its ordinals can have, and none of their neighbours'."""
    first, last = sorted((first, last))
    lowest, highest = IDS.span(first, last)
    assert lowest <= IDS.of(first, random) <= IDS.of(last, random) <= highest
    if first > 1:
        assert IDS.of(first - 1, random) < lowest
    if last < MAX_RECIPIENTS:
        assert highest < IDS.of(last + 1, random)


@given(st.integers(1, 10**9), st.integers(0, 10**6))
def test_campaigns_do_not_overlap(campaign: int, later: int) -> None:
    """The spans of two campaigns are disjoint: by their time, or by their number."""
    one = MessageIds(created_at=IDS.created_at, campaign_id=campaign)
    two = MessageIds(
        created_at=IDS.created_at + timedelta(milliseconds=later), campaign_id=campaign + 1
    )
    mine, theirs = one.span(1, MAX_RECIPIENTS), two.span(1, MAX_RECIPIENTS)
    assert mine[1] < theirs[0] or theirs[1] < mine[0]


@pytest.mark.parametrize("ordinal", [0, -1, MAX_RECIPIENTS + 1])
def test_ordinals_have_bounds(ordinal: int) -> None:
    """An ordinal that does not fit would be another campaign's id: it is refused."""
    with pytest.raises(ValueError, match="ordinal"):
        IDS.of(ordinal, 0)


def test_the_random_part_changes_nothing_else() -> None:
    """However large the random number, only its place in the id is touched."""
    assert IDS.of(5, 2**64 - 1) == IDS.of(5, 2**30 - 1)
    assert len({IDS.of(5, random) for random in range(100)}) == 100
