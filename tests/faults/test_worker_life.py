"""Worker processes that end, go deaf or freeze, and a broker that fails them, on real processes.

Nobody is texted twice, nobody waits for ever, and nobody has to do anything. The provider's own
block is off: nothing but us stands in the way.
"""

import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis import Redis

from sender.local.waiting import answers_http
from sender.runtime import Runtime
from tests.acceptance.rig import fictional
from tests.faults.worker_rig import WORKER, Sent, Tended, tended_system, until
from workers.app import create_app
from workers.tasks import Publisher

PROCESSES = ("webhooks", "consumer", "beat", "flower", WORKER)
#: Where hints wait in the broker.
SLICES = "sender:slices"
#: A hint of nothing.
NO_SLICE = 0
#: A hint is swallowed if a worker waits for one just then; one try of a few succeeds.
TRIES = 10


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tended]:
    """One system for all tests, with one worker, which is replaced when it ends."""
    with tended_system(tmp_path_factory.mktemp("life")) as running:
        yield running


@pytest.fixture
def system(lasting: Tended) -> Iterator[Tended]:
    """The system with a worker that is well; what a test started or froze ends with it."""
    lasting.simulator.ask("PATCH", "config", {"latency_ms": 20})
    until(lambda: lasting.verdict() == "well", "a worker that is well")
    yield lasting
    lasting.exits.close()
    for name in PROCESSES:
        lasting.signal(name, signal.SIGCONT)


@pytest.fixture
def broker(system: Tended) -> Iterator[Redis]:
    """The broker's server, past the line."""
    with Redis.from_url(system.broker.url) as client:
        yield client


def _finish(sent: Sent) -> None:
    """Wait until the campaign is done and we know of each text that was accepted, once."""
    until(sent.is_completed, "the campaign's end")
    until(sent.all_sent_once, "everybody's text, once")


def _end(system: Tended, how: signal.Signals) -> int | None:
    """Have the worker end while it sends, and be replaced; its exit code."""
    under_way = "SELECT FROM message WHERE state = 'sending' LIMIT 1"
    until(lambda: system.rows(under_way), "a request under way")
    worker, restarts = system.worker(), system.stack.restarts(WORKER)
    assert worker
    system.signal(WORKER, how)
    until(lambda: system.stack.restarts(WORKER) > restarts, "the worker's end")
    left = system.rows("SELECT DISTINCT state FROM message WHERE owner = :id", id=worker.id)
    assert {row.state for row in left} <= {"sent", "delivered"}
    return system.stack.last_exit_code(WORKER)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGQUIT], ids=["warm", "cold"])
def test_in_flight_is_settled(system: Tended, how: signal.Signals) -> None:
    """A worker that is told to end waits even for slow answers, exits with 0, and is followed."""
    system.simulator.ask("PATCH", "config", {"latency_ms": 3_000})
    sent = system.campaign(fictional(0, 200))
    assert _end(system, how) == 0
    system.simulator.ask("PATCH", "config", {"latency_ms": 20})
    _finish(sent)


def test_restarts_in_a_campaign(system: Tended) -> None:
    """Deployments in mid-campaign cost nothing: no doubt, and everybody is sent it once."""
    system.simulator.ask("PATCH", "config", {"latency_ms": 1_000})
    sent = system.campaign(fictional(0, 1_200))
    for _ in range(3):
        assert _end(system, signal.SIGTERM) == 0
    system.simulator.ask("PATCH", "config", {"latency_ms": 20})
    _finish(sent)
    assert not system.rows("SELECT FROM doubt")


def _cut_the_line(system: Tended) -> None:
    """The broker's connections break, and tell neither end."""
    system.line.black_hole()


def _consume_nothing(system: Tended) -> None:
    """The worker's consumer is lost while the process and its connections live."""
    worker = system.worker()
    assert worker
    remote = _celery(system)
    for queue in (f"pulse.{worker.id}", "slices", "transactional", "recovery"):
        there = [f"{WORKER}@{socket.gethostname()}"]
        assert remote.control.cancel_consumer(queue, destination=there, reply=True, timeout=10)


@pytest.mark.parametrize("deafen", [_cut_the_line, _consume_nothing])
def test_a_deaf_worker_is_replaced(system: Tended, deafen: Callable[[Tended], None]) -> None:
    """A worker that lives and hears nothing is found by its pulse, and another does its work."""
    restarts = system.stack.restarts(WORKER)
    deafen(system)
    until(lambda: system.verdict() == "deaf", "the verdict")
    sent = system.campaign(fictional(0, 100))
    until(lambda: _tend(system) > restarts, "a new worker")
    _finish(sent)


def _tend(system: Tended) -> int:
    """Do what `sender up` does each second; how often the worker was replaced."""
    system.stack.tend()
    return system.stack.restarts(WORKER)


def test_a_frozen_worker_is_replaced(system: Tended) -> None:
    """A worker that does not even try is found stuck, and killed when asking does not help."""
    restarts = system.stack.restarts(WORKER)
    system.signal(WORKER, signal.SIGSTOP)
    until(lambda: system.verdict() == "stuck", "the verdict")
    until(lambda: _tend(system) > restarts, "a new worker")
    assert system.stack.last_exit_code(WORKER) == -signal.SIGKILL


def test_a_hint_that_a_worker_took_to_its_grave(system: Tended, broker: Redis) -> None:
    """A hint that is lost between the broker and a worker is offered again."""
    sent = next(lost for _ in range(TRIES) if (lost := _swallow(system, broker)))
    system.signal(WORKER, signal.SIGKILL)
    system.signal("beat", signal.SIGCONT)
    _finish(sent)


def _swallow(system: Tended, broker: Redis) -> Sent | None:
    """Have a frozen worker take the only hint of a campaign; the campaign, if it did."""
    system.signal("beat", signal.SIGSTOP)
    publish = _publisher(system)
    kicker = Runtime(settings=system.stack.plan.settings).kicker(publish, publish)
    kicker.kick()
    publish(NO_SLICE)  # now both have their connections
    idle = ("sender:recovery", SLICES)
    until(lambda: not any(map(broker.llen, idle)), "the worker to wait for hints")
    sent = system.campaign(fictional(0, 20))
    system.signal(WORKER, signal.SIGSTOP)
    offered = kicker.kick()
    kicker.db.close()
    if offered == 1 and not broker.llen(SLICES):
        return sent
    for name in ("beat", WORKER):
        system.signal(name, signal.SIGCONT)
    _finish(sent)
    return None


def _publisher(system: Tended) -> Publisher:
    return Publisher(_celery(system).tasks["workers.send_slice"])


def _celery(system: Tended) -> Any:
    return create_app(settings=lambda: system.stack.plan.settings)


def test_a_full_broker(system: Tended, broker: Redis) -> None:
    """Where the broker takes nothing nobody is replaced for it; when it does again, all is done."""
    system.simulator.ask("PATCH", "config", {"latency_ms": 200})
    restarts = system.stack.restarts(WORKER)
    sent = system.campaign(fictional(0, 800))
    until(sent.not_pending, "the start")
    broker.config_set("maxmemory", "1mb")
    until(lambda: system.verdict() == "broker_away", "the verdict")
    broker.config_set("maxmemory", "0")
    until(lambda: system.verdict() == "well", "the verdict")
    _finish(sent)
    assert _tend(system) == restarts


def test_connections_that_break_again_and_again(system: Tended) -> None:
    """Connections to the broker that are reset are replaced, by the worker itself."""
    restarts = system.stack.restarts(WORKER)
    sent = system.campaign(fictional(0, 400))
    for share in (0.2, 0.5, 0.8):
        until(lambda share=share: sent.not_pending() >= share * 400, "progress")
        system.line.reset()
    _finish(sent)
    until(lambda: system.verdict() == "well", "the verdict")
    assert system.stack.restarts(WORKER) == restarts


def test_no_beat_and_then_two(system: Tended) -> None:
    """Without a beat work waits; two of them do nothing twice."""
    system.signal("beat", signal.SIGSTOP)
    sent = system.campaign(fictional(0, 200))
    app = system.stack.plan.programs.celery_app
    system.start("celery", "-A", app, "beat", "--loglevel=warning")
    system.signal("beat", signal.SIGCONT)
    _finish(sent)


def test_flower_hangs(system: Tended) -> None:
    """Flower is a viewer: nothing waits for it."""
    system.signal("flower", signal.SIGSTOP)
    _finish(system.campaign(fictional(0, 100)))
    system.signal("flower", signal.SIGCONT)


def test_whatever_ends_is_started_again(system: Tended) -> None:
    """Each process that dies is replaced by another of its kind."""
    restarts = {name: system.stack.restarts(name) for name in PROCESSES}
    for name in PROCESSES:
        system.signal(name, signal.SIGKILL)
    for name in PROCESSES:
        until(lambda name=name: system.stack.restarts(name) > restarts[name], f"another {name}")
    until(lambda: answers_http(f"{system.stack.plan.webhook_url}/readyz"), "the webhook app")
    _finish(system.campaign(fictional(0, 20)))
