"""When 21610s call for a person."""

import pytest

from sender.domain.block_rate import ALERT_LEAST, HOLD_LEAST, BlockLimits


@pytest.mark.parametrize(
    ("blocks", "answers", "alarming"),
    [(20, 2_000, True), (20, 2_001, False), (19, 19, False), (2_000, 200_000, True)],
)
def test_an_alert(blocks: int, answers: int, *, alarming: bool) -> None:
    """One in a hundred is told of, and fewer than twenty never are."""
    assert ALERT_LEAST == 20
    assert BlockLimits().is_alarming(blocks=blocks, answers=answers) is alarming


@pytest.mark.parametrize("blocks", [20, 33, 1_000])
def test_counting_may_end_where_the_verdict_is_clear(blocks: int) -> None:
    """From ``enough`` answers on there is no alert, and one fewer makes one."""
    limits = BlockLimits()
    assert not limits.is_alarming(blocks=blocks, answers=limits.enough(blocks))
    assert limits.is_alarming(blocks=blocks, answers=limits.enough(blocks) - 1)


def test_the_window_of_a_jump() -> None:
    """The share of the latest answers says how few of them may have as many 21610s."""
    assert BlockLimits().window == 5 * HOLD_LEAST
    assert BlockLimits(hold_share=1).window == HOLD_LEAST


def test_never() -> None:
    """A share of nothing switches either off."""
    off = BlockLimits(alert_share=0, hold_share=0)
    assert (off.alert_from, off.window) == (None, 0)
    assert not off.is_alarming(blocks=1_000, answers=1_000)
