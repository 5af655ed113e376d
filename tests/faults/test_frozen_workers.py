"""Workers that stand still and then go on as if nothing had been, or that live in another hour."""

import signal
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

import sender
from sender.crashing import CrashPoint
from sender.domain.concurrency import FIRST
from sender.local.child import Child
from sender.local.ports import LOOPBACK
from sender.recovery import Sweeper
from tests.acceptance.rig import NUMBER, fictional
from tests.faults.rig import FaultySystem, crashing, faulty_system, until
from workers.app import create_app

#: Longer than a request may wait to begin (2 s), and than a STOP's webhook is held (3 s).
STANDSTILL = 3.5
#: One window of a worker that knows nothing of the account yet (`sender.domain.concurrency`).
PEOPLE = FIRST


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultySystem]:
    """A system without workers: each test starts its own."""
    with faulty_system(tmp_path_factory.mktemp("frozen")) as running:
        url = f"http://{LOOPBACK}:{running.proxies.door.port}/twilio/inbound"
        running.simulator.ask("PATCH", "config", {"inbound_url": f"{url}#rc=0"})
        yield running


def _freeze_after_the_guard(system: FaultySystem, people: list[int]) -> tuple[Child, int]:
    """A worker that stands still with its rows guarded and none of them begun; its campaign."""
    worker = system.worker(**crashing(CrashPoint.AFTER_GUARD, pause=True))
    until(lambda: system.is_up(worker), "the worker", seconds=60)
    campaign = system.campaign(people)
    until(lambda: system.is_frozen(worker), "the standstill")
    assert system.states(campaign) == {"sending": PEOPLE}
    return worker, campaign.id


def _campaign(system: FaultySystem, campaign_id: int) -> sender.Campaign:
    return system.client.campaign(campaign_id)


def _stand_still() -> None:
    since = time.monotonic()
    until(lambda: time.monotonic() - since > STANDSTILL, "the standstill's end")


def _end_its_transactions(system: FaultySystem) -> None:
    """Take from a frozen worker what it had open, as Postgres does after half a minute.

    It may have had the turn to sweep (see ../integration/test_slices.py).
    """
    system.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE state = 'idle in transaction' AND xact_start < now() - interval '2 seconds'"
    )


def test_frozen_between_the_guard_and_the_request(system: FaultySystem) -> None:
    """A STOP waits for a frozen worker; when that goes on, it begins nothing it has guarded."""
    people = fictional(0, PEOPLE)
    worker, campaign_id = _freeze_after_the_guard(system, people)
    assert system.simulator.text_in(people[0], "STOP") == [503]
    _stand_still()
    assert system.simulator.log("create") == []
    worker.send(signal.SIGCONT)
    campaign = _campaign(system, campaign_id)
    until(lambda: system.states(campaign) == {"delivered": PEOPLE - 1, "suppressed": 1}, "the end")
    assert system.simulator.text_in(people[0], "STOP") == [200]
    assert system.simulator.creates(people[0]) == []
    assert [len(system.simulator.creates(person)) for person in people[1:]] == [1] * (PEOPLE - 1)
    worker.kill()


def test_frozen_beyond_the_lease(system: FaultySystem) -> None:
    """Rows whose lease ran out are in doubt; their owner comes back and neither sends nor moves."""
    people = fictional(100, PEOPLE)
    worker, campaign_id = _freeze_after_the_guard(system, people)
    campaign = _campaign(system, campaign_id)
    _stand_still()
    system.rows("UPDATE message SET lease_until = now() WHERE campaign_id = :id", id=campaign_id)
    sweeper = Sweeper(db=system.db)
    _end_its_transactions(system)
    until(lambda: sweeper.sweep().in_doubt == PEOPLE, "the sweep", seconds=90)
    worker.send(signal.SIGCONT)
    until(lambda: campaign.progress().state == "COMPLETED", "the end")
    found = system.rows(
        "SELECT DISTINCT state, reason FROM message WHERE campaign_id = :id", id=campaign_id
    )
    assert [(row.state, row.reason) for row in found] == [("in_doubt", "lease_ran_out")]
    assert all(system.simulator.creates(person) == [] for person in people)
    worker.kill()


def test_frozen_while_a_request_is_out(system: FaultySystem) -> None:
    """A STOP waits until the frozen worker goes on and settles what it had under way."""
    people = fictional(200, PEOPLE)
    worker = system.worker()
    until(lambda: system.is_up(worker), "the worker", seconds=60)
    system.simulator.ask("PATCH", "config", {"latency_ms": 800, "sent_after_ms": 60_000})
    campaign = system.campaign(people)
    until(lambda: len(system.simulator.creates(people[0])) == 1, "the request")
    worker.send(signal.SIGSTOP)
    system.simulator.ask("PATCH", "config", {"latency_ms": 20, "sent_after_ms": 20})
    assert system.states(campaign)["sending"] > 0
    held = system.rows(
        "SELECT recipient FROM message WHERE campaign_id = :id AND state = 'sending'",
        id=campaign.id,
    )[0].recipient
    assert system.simulator.text_in(held, "STOP") == [503]
    worker.send(signal.SIGCONT)
    until(lambda: campaign.progress().state == "COMPLETED", "the end")
    until(lambda: system.simulator.text_in(held, "STOP") == [200], "the STOP's answer")
    assert [len(system.simulator.creates(person)) for person in people] == [1] * PEOPLE
    worker.kill()


@pytest.mark.parametrize(("hours", "first"), [(1, 400), (-1, 500)], ids=["ahead", "behind"])
def test_a_clock_that_is_an_hour_wrong(system: FaultySystem, hours: int, first: int) -> None:
    """A fleet whose clock is wrong by an hour texts everybody once, and nobody after their STOP."""
    people, wrong_by = fictional(first, 30), timedelta(hours=hours)
    worker = system.worker_with_clock(wrong_by)
    until(lambda: system.is_up(worker), "the worker", seconds=60)
    shown = worker.program.log.read_text().partition("It is ")[2].split()[0]
    off = datetime.fromisoformat(shown) - datetime.now(UTC)
    assert abs(off - wrong_by) < timedelta(minutes=30)
    system.client.set_pace(NUMBER, 5)
    campaign = system.campaign(people)
    until(lambda: system.states(campaign)["pending"] < len(people), "the start")
    last = system.rows(
        "SELECT recipient FROM message WHERE campaign_id = :id ORDER BY id DESC LIMIT 1",
        id=campaign.id,
    )[0].recipient
    until(lambda: system.simulator.text_in(last, "STOP") == [200], "the STOP's answer")
    system.client.set_pace(NUMBER, 1000)
    until(lambda: system.states(campaign) == {"delivered": 29, "suppressed": 1}, "the end")
    until(lambda: campaign.progress().state == "COMPLETED", "the sweep")
    assert system.simulator.creates(last) == []
    texted = [len(system.simulator.creates(person)) for person in people if person != last]
    assert texted == [1] * 29
    worker.kill()


def test_a_hint_that_comes_again_while_it_is_followed(system: FaultySystem) -> None:
    """A running slice's hint is there once more, for either worker: nobody is asked for twice."""
    people = fictional(300, 40)
    system.simulator.ask("PATCH", "config", {"latency_ms": 1_500})
    workers = [
        system.worker(app="tests.faults.processes.telling_hints", SENDER_CONCURRENCY="8")
        for _ in range(2)
    ]
    for worker in workers:
        until(lambda worker=worker: system.is_up(worker), "the workers", seconds=60)
    campaign = system.campaign(people)
    followed = "SELECT id FROM slice WHERE campaign_id = :id AND owner IS NOT NULL"
    until(lambda: system.rows(followed, id=campaign.id), "a lease")
    slices = [row.id for row in system.rows(followed, id=campaign.id)]
    with closing(create_app(settings=lambda: system.stack.plan.settings)) as hints:
        for slice_id in slices * 6:
            hints.send_task("workers.send_slice", (slice_id,), queue="slices")
    for worker in workers:
        log, told = worker.program.log, f"hint workers.send_slice [{slices[0]}]"
        until(lambda log=log, told=told: told in log.read_text(), "a hint for each")
    assert campaign.progress().state == "RUNNING"
    until(lambda: campaign.progress().state == "COMPLETED", "the end", seconds=90)
    assert [len(system.simulator.creates(person)) for person in people] == [1] * 40
