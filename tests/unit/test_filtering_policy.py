"""When so many filtered messages hold a campaign."""

import pytest

from sender.domain.filtering import LEAST, enough, is_filtered


@pytest.mark.parametrize(
    ("filtered", "accepted", "expected"),
    [
        (0, 0, False),
        (LEAST - 1, LEAST - 1, False),
        (LEAST, LEAST, True),
        (LEAST, 20 * LEAST, True),
        (LEAST, 20 * LEAST + 1, False),
        (10_000, 1_000_000, False),
        (50_000, 1_000_000, True),
    ],
)
def test_both_number_and_share(filtered: int, accepted: int, *, expected: bool) -> None:
    """A few prove nothing, and many in a large campaign are ordinary."""
    assert is_filtered(filtered=filtered, accepted=accepted) is expected


@pytest.mark.parametrize("filtered", range(LEAST, 300, 7))
def test_counting_may_end_early(filtered: int) -> None:
    """Where counting the accepted ones ends, the answer is settled."""
    assert not is_filtered(filtered=filtered, accepted=enough(filtered))
    assert is_filtered(filtered=filtered, accepted=enough(filtered) - 1)
