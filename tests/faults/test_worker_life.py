"""Worker processes that are told to end, on real processes: nothing is in doubt, nobody waits.

The provider's own block is off: nothing but us stands in the way.
"""

import signal
from collections.abc import Iterator

import pytest

from tests.acceptance.rig import fictional
from tests.faults.worker_rig import Tended, tended_system, until

WORKER = "worker-1"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tended]:
    """One system for all tests, with one worker, which is replaced when it ends."""
    with tended_system(tmp_path_factory.mktemp("life")) as running:
        yield running


def _end(system: Tended, how: signal.Signals) -> int | None:
    """Have the worker end while it sends, and be replaced; its exit code."""
    owner = _sending_worker(system)
    restarts = system.stack.restarts(WORKER)
    system.stack.send(WORKER, how)
    until(lambda: system.stack.restarts(WORKER) > restarts, "the worker's end")
    assert {row.state for row in _owned(system, owner)} <= {"sent", "delivered"}
    return system.stack.last_exit_code(WORKER)


def _sending_worker(system: Tended) -> int:
    """Wait until the worker has requests under way; its id."""
    found = "SELECT owner FROM message WHERE state = 'sending' LIMIT 1"
    until(lambda: system.rows(found), "a request under way")
    worker = system.worker(system.stack.worker_pids()[WORKER])
    assert worker
    return worker.id


def _owned(system: Tended, owner: int) -> list:
    return system.rows("SELECT DISTINCT state FROM message WHERE owner = :id", id=owner)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGQUIT], ids=["warm", "cold"])
def test_in_flight_is_settled(system: Tended, how: signal.Signals) -> None:
    """A worker that is told to end waits even for slow answers, exits with 0, and is followed."""
    system.simulator.ask("PATCH", "config", {"latency_ms": 5_000})
    sent = system.campaign(fictional(0, 400))
    assert _end(system, how) == 0
    system.simulator.ask("PATCH", "config", {"latency_ms": 50})
    until(sent.is_completed, "the campaign's end")
    until(sent.all_sent_once, "everybody's text, once")


def test_five_restarts_in_a_campaign(system: Tended) -> None:
    """Deployments in mid-campaign cost nothing: no doubt, and everybody is sent it once."""
    system.simulator.ask("PATCH", "config", {"latency_ms": 1_000})
    sent = system.campaign(fictional(0, 1_600))
    for _ in range(5):
        assert _end(system, signal.SIGTERM) == 0
    system.simulator.ask("PATCH", "config", {"latency_ms": 50})
    until(sent.is_completed, "the campaign's end")
    until(sent.all_sent_once, "everybody's text, once")
    assert not system.rows("SELECT FROM doubt")
