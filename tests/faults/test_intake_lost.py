"""The webhook app is gone while a campaign runs, and STOPs with it: Twilio's log has them."""

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.acceptance.rig import NUMBER, fictional
from tests.faults.rig import FaultySystem, faulty_system, until

PEOPLE = 200


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultySystem]:
    """A system that notices a silence after 5 s; its provider posts a webhook once."""
    folder = tmp_path_factory.mktemp("intake")
    with faulty_system(folder, workers=1, SENDER_INTAKE_SILENCE_SECONDS="5") as running:
        door = running.stack.plan.settings.public_base_url
        running.simulator.ask("PATCH", "config", {"inbound_url": f"{door}/twilio/inbound"})
        running.client.set_pace(NUMBER, 10)
        yield running


def test_stops_that_no_webhook_brought_count(system: FaultySystem) -> None:
    """Nobody who said STOP to a dead webhook app is texted, and everyone else is, once."""
    people = fictional(0, PEOPLE)
    campaign = system.campaign(people, body="Nobody hears you")
    until(lambda: system.states(campaign).get("pending", PEOPLE) < PEOPLE - 20, "the middle")
    system.stack.kill("webhooks")
    stopped = people[-20:]
    assert all(_is_lost(system, person) for person in stopped[:10])
    until(lambda: campaign.progress().holds == ("intake_gap",), "the hold")
    until(lambda: "sending" not in system.states(campaign), "what is under way")
    system.client.set_pace(NUMBER, 1000)
    sent = _sent(system)
    assert all(_is_lost(system, person) for person in stopped[10:])
    assert _sent(system) == sent

    system.node(system.stack.plan.ports.webhooks)
    until(lambda: campaign.progress().state == "COMPLETED", "the end", seconds=60)
    everyone_else = {f"+{person}" for person in people[:-20]}
    assert _sent(system) == Counter(everyone_else)
    assert campaign.progress().reasons["suppressed", "stop"] == 20


def _is_lost(system: FaultySystem, person: int) -> bool:
    """A STOP whose webhook nobody answers."""
    return set(system.simulator.text_in(person, "STOP")) == {None}


def _sent(system: FaultySystem) -> Counter[str]:
    return Counter(entry["to"] for entry in system.simulator.log("create"))
