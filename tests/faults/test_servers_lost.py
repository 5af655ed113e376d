"""Servers that die in mid-campaign, on real processes: nobody is texted twice or after a STOP.

The provider's own block is off: nothing but us stands in the way.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
import redis

from sender.errors import SenderError
from sender.local.servers import StopMode
from sender.storage.database import DatabaseError
from tests.acceptance.rig import System, fictional, running_system, until

PEOPLE = 500
STOPS = 20


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """One system for all faults: each test leaves it as healthy as it found it."""
    with running_system(tmp_path_factory.mktemp("faults")) as running:
        running.simulator.ask("PATCH", "config", {"provider_block": False, "latency_ms": 100})
        yield running


def _restart_postgres(system: System) -> None:
    for _ in range(2):
        system.servers.postgres.restart(StopMode.IMMEDIATE)
        until(lambda: _answers(system), "the database")


def _answers(system: System) -> bool:
    try:
        return system.client.suppression.check("+12015550100") is not None
    except DatabaseError:
        return False


def _flush_redis(system: System) -> None:
    with redis.Redis.from_url(system.servers.redis.url) as client:
        client.flushall()


def _kill_redis(system: System) -> None:
    system.servers.redis.kill()
    time.sleep(1)  # down for a while: the fault itself, not a wait for luck
    system.servers.redis.restart()


@pytest.mark.parametrize(
    ("fault", "first"),
    [(_restart_postgres, 0), (_flush_redis, 500), (_kill_redis, 1000)],
    ids=["postgres-immediate-restart", "redis-flushall", "redis-kill"],
)
def test_a_campaign_survives(system: System, fault: Callable[[System], None], first: int) -> None:
    """A server lost in mid-campaign costs time: all are sent once, those who said STOP not."""
    people = fictional(first, PEOPLE)
    campaign = system.campaign(people, body=f"Through {fault.__name__}")
    until(lambda: campaign.progress().states.get("pending", 0) < PEOPLE * 0.9, "the start")
    late = people[-STOPS:]
    fault(system)
    acknowledged = {person: _stop(system, person) for person in late}
    until(lambda: _ended(campaign.progress), "the end", seconds=90)
    until(lambda: "in_doubt" not in campaign.progress().states, "the doubts", seconds=30)
    creates = [
        entry
        for entry in system.simulator.log("create")
        if entry["body"] == f"Through {fault.__name__}"
    ]
    twice = [to for to, n in Counter(e["to"] for e in creates if e["accepted"]).items() if n > 1]
    assert twice == []
    leaks = [
        entry["to"]
        for entry in creates
        if (at := acknowledged.get(int(entry["to"][1:]))) and entry["arrived_at"] > at
    ]
    assert leaks == []
    states = campaign.progress().states
    assert sum(states.values()) == PEOPLE
    assert set(states) <= {"sent", "delivered", "suppressed"}
    assert states.get("suppressed", 0) > 0


def _stop(system: System, person: int) -> float | None:
    """Say STOP until it is acknowledged, as a person (or Twilio's retries) would."""
    for _ in range(10):
        system.simulator.text_in(person, "STOP")
        if found := system.simulator.acknowledged_at(person):
            return found
        time.sleep(0.5)  # between two texts
    return None


def _ended(progress: Callable[[], object]) -> bool:
    try:
        return str(getattr(progress(), "state", "")) == "COMPLETED"
    except (DatabaseError, SenderError):
        return False
