"""The STOP / send race as a model: every order of every step, with and without each safeguard."""

import pytest

from tests.model.__main__ import show
from tests.model.design import Design, Scenario
from tests.model.search import explore
from tests.model.variants import (
    LONG_SCENARIOS,
    ONE_STOP,
    OURS,
    SCENARIOS,
    SPARE,
    VARIANTS,
    WINDOWS,
    Variant,
)


def _name(one: Scenario | Variant) -> str:
    return one.name


def _taken_away(design: Design) -> str:
    return " ".join(name for name, kept in vars(design).items() if kept != vars(OURS)[name])


@pytest.mark.parametrize("scenario", SCENARIOS, ids=_name)
def test_our_design_keeps_every_promise(scenario: Scenario) -> None:
    """No order of steps and faults breaks a promise, and an end is in reach from everywhere."""
    found = explore(scenario, OURS)
    assert found.broken == {}
    assert found.states > 200


@pytest.mark.soak
@pytest.mark.parametrize("scenario", LONG_SCENARIOS, ids=_name)
def test_our_design_keeps_every_promise_at_length(scenario: Scenario) -> None:
    """Neither does any in the scenarios whose states take seconds to count."""
    assert explore(scenario, OURS).broken == {}


@pytest.mark.parametrize("variant", VARIANTS, ids=_name)
def test_each_safeguard_is_needed(variant: Variant) -> None:
    """Without it there is an order of steps that breaks the promise it stands for."""
    assert variant.breaks in variant.explore().broken


@pytest.mark.parametrize("design", SPARE, ids=_taken_away)
def test_second_lines(design: Design) -> None:
    """Some safeguards are one of two: with the other in place, either alone may go."""
    assert explore(ONE_STOP, design).broken == {}


@pytest.mark.parametrize("window", WINDOWS, ids=_name)
def test_the_windows_we_know_of(window: Variant) -> None:
    """What our design cannot close breaks a promise in the model too, so the model can tell."""
    assert window.breaks in window.explore().broken


def test_a_counterexample_is_told_step_by_step(capsys: pytest.CaptureFixture[str]) -> None:
    """What breaks a promise is told as a numbered list of what happened."""
    at_once = next(one for one in VARIANTS if one.name == "a STOP is acknowledged at once")
    assert show(at_once)
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].strip() == "a request is begun after the STOP:"
    assert lines[-2].strip() == "8. STOP 1 is acknowledged"
    assert lines[-1].strip() == "9. run 1 writes its request"
