"""What Twilio put off by itself is canceled there, on real processes and over real HTTP."""

from collections.abc import Iterator

import pytest

from tests.acceptance.rig import System, fictional, running_system, until


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """One running system, whose provider puts off everything it takes, as in quiet hours."""
    with running_system(tmp_path_factory.mktemp("put-off")) as running:
        running.simulator.ask("PATCH", "config", {"put_off_rate": 1})
        yield running


def _put_off(system: System, people: list[int]) -> bool:
    """Whether the provider has told of each that it put it off."""
    told = {one["to"] for one in system.simulator.log("status") if one["status"] == "scheduled"}
    return {f"+{person}" for person in people} <= told


def _canceled(system: System) -> set[str]:
    return {one["to"] for one in system.simulator.log("status") if one["status"] == "canceled"}


def test_a_cancel_reaches_what_twilio_put_off(system: System) -> None:
    """Cancel a campaign whose texts wait at Twilio for the morning: all are canceled there."""
    people = fictional(0, 40)
    campaign = system.campaign(people)
    until(lambda: _put_off(system, people), "everything to be put off")
    until(lambda: campaign.progress().states == {"sent": 40}, "their settlement")
    campaign.cancel(why="wrong text")
    until(
        lambda: campaign.progress().reasons == {("canceled", "canceled_at_provider"): 40},
        "the recall",
        seconds=60,
    )
    assert {f"+{person}" for person in people} <= _canceled(system)
    assert all(len(system.simulator.creates(person)) == 1 for person in people)


def test_a_stop_reaches_what_twilio_put_off(system: System) -> None:
    """A STOP takes back the person's own texts that wait at Twilio, and nobody else's."""
    person, other = people = fictional(40, 2)
    campaign = system.campaign(people)
    until(lambda: _put_off(system, people), "everything to be put off")
    assert system.simulator.text_in(person, "STOP") == [200]
    until(lambda: campaign.progress().states == {"canceled": 1, "sent": 1}, "the recall")
    assert f"+{person}" in _canceled(system)
    assert f"+{other}" not in _canceled(system)
