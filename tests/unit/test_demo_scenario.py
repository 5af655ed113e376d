"""The demo's plan: the same seed gives the same, and nobody has two parts."""

from collections import Counter

import pytest

from sender.local.demo.scenario import Scenario, plan

AUDIENCE = tuple(range(447400000000, 447400002000))


def people_of(scenario: Scenario) -> list[int]:
    """Everybody with a part, as often as they have one."""
    texting = [*scenario.texts_before, *scenario.texts]
    scripted = [int(rule.to) for rule in scenario.rules]
    return [
        *scenario.opted_out,
        *scenario.blocked,
        *(text.recipient for text in texting),
        *scripted,
    ]


@pytest.mark.parametrize("recipients", [50, 400, 2000])
def test_nobody_has_two_parts(recipients: int) -> None:
    """Each part is played by people of its own, however small the audience."""
    scenario = plan(AUDIENCE[:recipients], seed=7, provider_block=True)
    parts = Counter(people_of(scenario))
    assert max(parts.values()) == 1
    assert set(scenario.lost_from_redis) <= set(scenario.opted_out)


def test_the_same_seed_gives_the_same_plan() -> None:
    """A run can be repeated; another seed is another run."""
    plans = [plan(AUDIENCE, seed=seed, provider_block=True) for seed in (7, 7, 8)]
    assert plans[0] == plans[1] != plans[2]


def test_without_the_providers_block_nobody_is_blocked_late() -> None:
    """No 21610 is scripted where the provider blocks nobody."""
    scenario = plan(AUDIENCE, seed=7, provider_block=False)
    assert all(rule.async_failure is None for rule in scenario.rules)


def test_strangers_are_not_in_the_audience() -> None:
    """Some STOPs come from people the campaign never meant."""
    scenario = plan(AUDIENCE, seed=7, provider_block=True)
    texting = {text.recipient for text in scenario.texts_before}
    assert len(texting - set(AUDIENCE)) >= 10
