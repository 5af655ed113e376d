"""What may be a member of a suppression set."""

import pytest

from sender.suppression.keys import LARGEST_NUMBER, require_number, split


@pytest.mark.parametrize("number", [1, 14155552001, LARGEST_NUMBER])
def test_digits_of_a_number(number: int) -> None:
    """Up to 15 digits are taken as they are."""
    assert require_number(number) == number


@pytest.mark.parametrize("number", [0, -14155552001, LARGEST_NUMBER + 1, 14155552001_14155552001])
def test_what_is_none_is_not_quoted(number: int) -> None:
    """What cannot be a number is refused, without repeating it: it may be two in one."""
    with pytest.raises(ValueError, match="not the digits") as refusal:
        split(number, 7)
    assert str(abs(number)) not in str(refusal.value) or number == 0
