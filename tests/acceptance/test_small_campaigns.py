"""Small campaigns beside a large one on slow senders, with real worker processes."""

from collections.abc import Iterable, Iterator
from datetime import timedelta

import pytest

import sender
from tests.acceptance.rig import System, running_system, until

SHORT = timedelta(seconds=60)
#: At a message a second each, and many times more than the two workers have threads.
SLOW = [f"+1415557{n:04}" for n in range(60)]
FAST, FAST_TOO = "+14155580001", "+14155580002"
#: Hundreds of times what is sent of them meanwhile.
LARGE, EACH = 20_000, 200
SMALL = 10


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A running system whose every bulk thread is wanted by several slow senders."""
    numbers = [*SLOW, FAST, FAST_TOO]
    with running_system(tmp_path_factory.mktemp("system"), numbers=numbers) as running:
        for address in (FAST, FAST_TOO):
            running.client.set_pace(address, 100)
        _campaign(running, SLOW[0], "large", LARGE)
        for address in SLOW[1:]:
            _campaign(running, address, "large", EACH)
        until(lambda: len(set(_senders(_creates(running)))) == len(SLOW), "all slow senders")
        yield running


def _campaign(
    system: System, address: str, body: str, size: int, *, transactional: bool = False
) -> sender.Campaign:
    people = (f"+{12_122_000_000 + n}" for n in range(size))
    return system.client.create_campaign(
        name=body,
        sender=address,
        body=body,
        audience=sender.from_iterable(people),
        transactional=transactional,
    ).enqueue()


def _creates(system: System) -> list[dict[str, object]]:
    return system.simulator.log("create")


def _senders(creates: Iterable[dict[str, object]]) -> list[object]:
    return [entry["from"] for entry in creates]


def _beside(system: System, address: str, body: str, *, transactional: bool) -> list[object]:
    """Send a small campaign; the sender of each large one's message until its last one."""
    before = len(_creates(system))
    campaign = _campaign(system, address, body, SMALL, transactional=transactional)
    campaign.wait(timeout=SHORT)
    since = _creates(system)[before:]
    last = max(n for n, entry in enumerate(since) if entry["body"] == body)
    assert sum(entry["body"] == body for entry in since) == SMALL
    return _senders(entry for entry in since[:last] if entry["body"] == "large")


@pytest.mark.parametrize("address", [FAST, FAST_TOO], ids=["bulk", "transactional"])
def test_at_another_sender(system: System, address: str) -> None:
    """A small campaign is through before any slow sender has sent ten messages more."""
    others = _beside(system, address, f"small {address}", transactional=address == FAST_TOO)
    assert max((others.count(slow) for slow in SLOW), default=0) < SMALL


def test_a_code_at_the_same_sender(system: System) -> None:
    """A transactional campaign has the sender nearly to itself until it is through."""
    others = _beside(system, SLOW[0], "code", transactional=True)
    assert others.count(SLOW[0]) < SMALL / 2
