"""Every way in which the Redis set can be wrong, on real processes: the guard has the last word.

The provider's own block is off: nothing but us stands between a suppressed person and a text.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from random import Random

import pytest
from redis import Redis

from sender.domain.phone import mask
from sender.errors import SenderError
from sender.storage.database import DatabaseError
from sender.suppression.scripts import run
from tests.acceptance.rig import System, fictional, running_system, until

PEOPLE = 120
POINTER = "{1}:suppressed:0"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """One system for all faults: each test leaves it as healthy as it found it."""
    with running_system(tmp_path_factory.mktemp("lists")) as running:
        running.simulator.ask("PATCH", "config", {"provider_block": False, "latency_ms": 50})
        yield running


@pytest.fixture
def redis(system: System) -> Iterator[Redis]:
    """The server with the sets."""
    with Redis.from_url(system.servers.redis.url) as client:
        yield client


def _sets(redis: Redis) -> list[bytes]:
    return list(redis.scan_iter("*suppressed*"))


def _flush(_: System, redis: Redis) -> None:
    """FLUSHALL."""
    redis.flushall()


def _evict(_: System, redis: Redis) -> None:
    """Half of the keys are evicted, pointers among them."""
    keys = sorted(_sets(redis))
    redis.delete(*Random(3).sample(keys, len(keys) // 2))


def _forget(system: System, redis: Redis) -> None:
    """The server restarts, and has persisted nothing."""
    redis.flushall()
    system.servers.redis.kill()
    system.servers.redis.restart()


def _die_rebuilding(_: System, redis: Redis) -> None:
    """A rebuild began, its process died, and the set in force lost a bucket."""
    run(redis, "rebuild_begin", [POINTER], [7, 0, 5_000])
    redis.delete(*redis.scan_iter(f"{POINTER}:*"))


def _swap(_: System, redis: Redis) -> None:
    """The sets are in another database than the one that is asked."""
    redis.execute_command("SWAPDB", 0, 9)


FAULTS = (_flush, _evict, _forget, _die_rebuilding, _swap)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__.strip("_"))
def test_a_lost_set_costs_speed_only(
    system: System, redis: Redis, fault: Callable[[System, Redis], None]
) -> None:
    """Nobody on the list is texted, and everybody else is, without a hand."""
    people = fictional(FAULTS.index(fault) * PEOPLE, PEOPLE)
    opted_out = _suppress(system, people[::4])
    before = _known(redis, opted_out)
    fault(system, redis)
    assert _known(redis, opted_out) < before, "the fault did nothing"
    _campaign_spares(system, people, opted_out, f"Through {fault.__name__}")
    until(lambda: _known(redis, opted_out) == len(opted_out), "the set to be whole again")


def test_a_restored_snapshot(system: System, redis: Redis) -> None:
    """A set that came back older than it was is believed where it says no, and nowhere else."""
    people = fictional(5 * PEOPLE, PEOPLE)
    lifted = _suppress(system, people[1:3])
    snapshot = {key: redis.dump(key) for key in _sets(redis)}
    opted_out = _suppress(system, people[::4])
    _lift(system, lifted)
    redis.delete(*_sets(redis))
    for key, content in snapshot.items():
        redis.restore(key, 0, content)
    assert (_known(redis, opted_out), _known(redis, lifted)) == (0, 2), "no old snapshot"
    _campaign_spares(system, people, opted_out, "Through a snapshot")


def test_redis_away(system: System, redis: Redis) -> None:
    """While Redis is away nothing is sent; when it is back, everybody but the list is."""
    people = fictional(6 * PEOPLE, PEOPLE)
    opted_out = _suppress(system, people[::4])
    system.servers.redis.kill()
    body = "Through an absence"
    campaign = system.campaign(people, body=body)
    assert campaign.progress().states == {"pending": PEOPLE}
    system.servers.redis.restart()
    _ends_well(system, campaign.id, people, opted_out, body)


def _suppress(system: System, people: list[int]) -> list[int]:
    """Put people on the list, and wait until the set knows them."""
    suppression = system.client.suppression
    rows = [{"number": f"+{person}"} for person in people]
    assert suppression.import_list(suppression.open(rows), author="test").enforced
    with Redis.from_url(system.servers.redis.url) as redis:
        until(lambda: _known(redis, people) == len(people), "the set to know them")
    return people


def _lift(system: System, people: list[int]) -> None:
    """Take people off the list again, and wait until the set knows."""
    batch = system.client.suppression.batches()[-2].id
    system.client.suppression.undo_import(batch, author="test", reason="test")
    with Redis.from_url(system.servers.redis.url) as redis:
        until(lambda: _known(redis, people) == 0, "the set to forget them")


def _known(redis: Redis, people: list[int]) -> int:
    """How many of these people the set in force would say are suppressed."""
    pointer = redis.hgetall(POINTER)
    if b"generation" not in pointer:
        return 0
    generation, buckets = int(pointer[b"generation"]), int(pointer[b"buckets"])
    keys = [(f"{POINTER}:{generation}:{who % buckets}", who // buckets) for who in people]
    return sum(bool(redis.sismember(key, str(member))) for key, member in keys)


def _campaign_spares(system: System, people: list[int], opted_out: list[int], body: str) -> None:
    campaign = system.campaign(people, body=body)
    _ends_well(system, campaign.id, people, opted_out, body)


def _ends_well(
    system: System, campaign_id: int, people: list[int], opted_out: list[int], body: str
) -> None:
    campaign = system.client.campaign(campaign_id)

    def ended() -> bool:
        try:
            return str(campaign.progress().state) == "COMPLETED"
        except (DatabaseError, SenderError):
            return False

    until(ended, "the end", seconds=60)
    asked = Counter(
        int(entry["to"][1:]) for entry in system.simulator.log("create") if entry["body"] == body
    )
    leaked = [mask(who) for who in opted_out if asked[who]]
    assert leaked == []
    assert set(asked) == set(people) - set(opted_out)
    assert campaign.progress().states.get("suppressed") == len(opted_out)
