"""How a campaign is cut into slices."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sender.domain.slicing import LARGEST, SHARE, SMALLEST, cut

_recipients = st.integers(1, 300_000)


def _sizes(recipients: int) -> list[int]:
    return [last - first + 1 for first, last in cut(recipients)]


@given(_recipients)
def test_every_recipient_is_in_one_slice(recipients: int) -> None:
    """Slices begin at the first recipient, end at the last, and leave nobody between them."""
    spans = list(cut(recipients))
    assert (spans[0][0], spans[-1][1]) == (1, recipients)
    assert all(first <= last for first, last in spans)
    assert all(before[1] + 1 == after[0] for before, after in pairwise(spans))


@given(_recipients)
def test_they_shrink(recipients: int) -> None:
    """No slice is larger than the one before it, nor than its bounds; only the last is smaller."""
    sizes = _sizes(recipients)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] <= LARGEST
    assert all(size >= SMALLEST for size in sizes[:-1])


@given(_recipients)
def test_none_is_more_than_its_share(recipients: int) -> None:
    """Whatever was cut before, a slice that is not a smallest one is a share of what remains."""
    for first, last in cut(recipients):
        left, size = recipients - first + 1, last - first + 1
        assert size <= SMALLEST or size < left / SHARE + 1


def test_nobody() -> None:
    """Without recipients there is no slice."""
    assert list(cut(0)) == []


@pytest.mark.parametrize("recipients", [1, SMALLEST])
def test_a_small_campaign(recipients: int) -> None:
    """A small campaign is one slice."""
    assert list(cut(recipients)) == [(1, recipients)]


@pytest.mark.parametrize(("recipients", "most"), [(30_000, 60), (1_000_000, 600)])
def test_a_large_campaign(recipients: int, most: int) -> None:
    """A large campaign has few slices, for each has its price."""
    assert len(_sizes(recipients)) <= most
