"""What failures say about a number, and for how long."""

from datetime import UTC, datetime, timedelta

import pytest

from sender.domain.number_health import (
    PATIENCE,
    PROOFS,
    STRIKES_FADE,
    Health,
    NumberFault,
    after_failure,
)

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
NEW = Health(strikes=0, first_strike_at=None, bad_until=None, changed_at=START)


def _failed(fault: NumberFault, *days: float, health: Health = NEW) -> Health:
    """The health after failures on these days."""
    for day in days:
        health = after_failure(health, fault, at=START + day * DAY, short_code=False)
    return health


def test_every_fault_is_a_proof_or_a_strike() -> None:
    """No fault is without a rule, and none has two."""
    assert PROOFS.keys() | PATIENCE.keys() == set(NumberFault)
    assert not PROOFS.keys() & PATIENCE.keys()


@pytest.mark.parametrize("fault", PROOFS)
def test_a_proof_marks_at_once(fault: NumberFault) -> None:
    """One failure that proves it is enough, for as long as it is believed."""
    assert _failed(fault, 0).bad_until == START + PROOFS[fault]


@pytest.mark.parametrize("fault", PATIENCE)
def test_strikes_must_be_enough_and_spread(fault: NumberFault) -> None:
    """Neither many strikes in a day nor few over months mark a number; both together do."""
    rule = PATIENCE[fault]
    over = rule.over / DAY
    assert _failed(fault, *[0.1] * 20).bad_until is None
    few = _failed(fault, *[0.0] * (rule.strikes - 1))
    assert few.bad_until is None
    assert _failed(fault, over, health=few).bad_until == START + rule.over + rule.bad_for


def test_old_strikes_fade() -> None:
    """Strikes of another season are not added to today's."""
    later = STRIKES_FADE / DAY + 30
    health = _failed(NumberFault.SILENT, 0, 10, later)
    assert (health.strikes, health.first_strike_at) == (1, START + later * DAY)
    assert health.bad_until is None


def test_a_mark_that_ran_out_comes_back_at_the_next_strike() -> None:
    """A number that was tried again in vain need not collect all its strikes anew."""
    marked = _failed(NumberFault.SILENT, 0, 4, 8)
    assert marked.bad_until is not None
    assert marked.bad_until < START + 25 * DAY
    assert _failed(NumberFault.SILENT, 25, health=marked).bad_until == START + 39 * DAY


def test_a_mark_is_never_shortened() -> None:
    """A landline that was also silent stays marked as a landline."""
    landline = _failed(NumberFault.LANDLINE, 0)
    assert _failed(NumberFault.SILENT, 0, 4, 8, health=landline).bad_until == landline.bad_until
    assert _failed(NumberFault.INVALID, 1, health=landline).bad_until == landline.bad_until


def test_a_short_code_proves_no_landline() -> None:
    """Seen from a short code 30006 is a strike, from other senders a proof."""
    fault, at = NumberFault.NO_CARRIER, START
    from_short_code = after_failure(NEW, fault, at=at, short_code=True)
    assert (from_short_code.strikes, from_short_code.bad_until) == (1, None)
    assert after_failure(NEW, fault, at=at, short_code=False).bad_until
