"""Servers that are slow, full, locked or away, and a provider in trouble, one fault at a time.

Real processes, one system for all: each test leaves it as healthy as it found it. The provider's
own block is off.
"""

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

import sender
from sender.assembly import TEXTS_AT_ONCE
from sender.config import BEGIN_WITHIN
from sender.local.servers import LocalRedis
from sender.simulator.behaviour import FaultKind
from tests.acceptance.rig import NUMBER, fictional
from tests.faults.dripping import DRIPPERS, status_of
from tests.faults.rig import REPEATS, FaultySystem, faulty_system, until
from workers.app import create_app
from workers.bodies import READ_SECONDS

EACH = 90


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultySystem]:
    """One system for all troubles."""
    with faulty_system(tmp_path_factory.mktemp("troubles"), workers=2) as running:
        running.simulator.ask("PATCH", "config", {"latency_ms": 50})
        yield running


@pytest.fixture
def people(request: pytest.FixtureRequest) -> list[int]:
    """Recipients of this test alone."""
    tests = [item.name for item in request.session.items if item.path == request.path]
    return fictional(tests.index(request.node.name) * EACH, EACH)


def _all_get(system: FaultySystem, campaign: sender.Campaign, *states: str) -> None:
    """The campaign ends, its doubts too, and everybody is in one of these states."""
    until(lambda: campaign.progress().state == "COMPLETED", "the end", seconds=60)
    until(lambda: system.states(campaign).keys() <= set(states), f"{states}", seconds=30)
    requests = Counter(one["to"] for one in _accepted(system, campaign))
    assert [to for to, times in requests.items() if times > 1] == []


def _accepted(system: FaultySystem, campaign: sender.Campaign) -> list[dict[str, object]]:
    found = system.rows("SELECT id FROM message WHERE campaign_id = :id", id=campaign.id)
    ids = {str(row.id) for row in found}
    creates = [one for one in system.simulator.log("create") if one["accepted"]]
    return [one for one in creates if _message_id(one["status_callback"]) in ids]


def _message_id(callback: str) -> str:
    return callback.partition("#")[0].rpartition("/")[2]


def _is_under_way(system: FaultySystem, campaign: sender.Campaign) -> bool:
    return system.states(campaign).get("pending", 0) < EACH


def test_redis_is_slow(system: FaultySystem, people: list[int]) -> None:
    """Two seconds a command: nothing is sent, a STOP is enforced all the same; then all goes on."""
    system.proxies.redis.delay(2)
    campaign = system.campaign(people)
    assert system.simulator.text_in(people[0], "STOP")[-1] == 200
    assert system.states(campaign) == {"pending": EACH - 1, "suppressed": 1}
    system.proxies.redis.delay(0)
    _all_get(system, campaign, "delivered", "suppressed")
    assert system.simulator.creates(people[0]) == []


def test_redis_fails_over_to_an_empty_one(
    system: FaultySystem, people: list[int], tmp_path: Path
) -> None:
    """Another server takes over with nothing in it: whoever said STOP is not texted."""
    stopped = people[::15]
    for person in stopped:
        assert system.simulator.text_in(person, "STOP") == [200]
    with LocalRedis.start(tmp_path) as other:
        before = system.proxies.redis.upstream
        system.proxies.redis.lead_to(make_url(other.url).port or 0)
        try:
            campaign = system.campaign(people)
            _all_get(system, campaign, "delivered", "suppressed")
        finally:
            system.proxies.redis.lead_to(before)
    assert system.states(campaign)["suppressed"] == len(stopped)
    assert all(system.simulator.creates(person) == [] for person in stopped)


def test_postgres_is_away(system: FaultySystem, people: list[int]) -> None:
    """While Postgres is down no request begins and a STOP is answered 503; then all goes on."""
    system.client.set_pace(NUMBER, 20)
    campaign = system.campaign(people)
    until(lambda: _is_under_way(system, campaign), "the start", seconds=90)
    system.servers.postgres.stop()
    away_at = time.time()
    assert set(system.simulator.text_in(people[-1], "STOP")) == {503}
    silent_at = away_at + BEGIN_WITHIN.total_seconds()
    until(lambda: time.time() > silent_at + 2, "two quiet seconds")
    back_at = time.time()
    system.servers.postgres.restart()
    until(lambda: bool(system.tried("SELECT 1")), "the database")
    assert [
        one for one in system.simulator.log("create") if silent_at < one["arrived_at"] < back_at
    ] == []
    until(lambda: system.simulator.text_in(people[-1], "STOP")[-1] == 200, "the STOP")
    system.client.set_pace(NUMBER, 1000)
    # Of those texted just before, no status came through.
    _all_get(system, campaign, "delivered", "sent", "suppressed")


@contextmanager
def _full_disk(system: FaultySystem) -> Iterator[None]:
    """Whatever is written is refused with the code that a full disk has."""
    tables = ("message", "inbound", "consent_event", "enforcement", "suppression")
    system.rows(
        "CREATE FUNCTION no_space() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION 'could not extend file: No space left on device' "
        "USING ERRCODE = 'disk_full'; END $$"
    )
    for table in tables:
        system.rows(
            f"CREATE TRIGGER no_space BEFORE INSERT OR UPDATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION no_space()"
        )
    try:
        yield
    finally:
        system.rows("DROP FUNCTION no_space CASCADE")


def test_the_disk_is_full(system: FaultySystem, people: list[int]) -> None:
    """Nothing can be written: sending stops, a STOP is answered 503; with room all goes on."""
    campaign = system.campaign(people[:-1])
    until(lambda: _is_under_way(system, campaign), "the start", seconds=90)
    with _full_disk(system):
        assert set(system.simulator.text_in(people[-1], "STOP")) == {503}
        sent = len(system.simulator.log("create"))
        assert system.simulator.text_in(people[-1], "STOP")[-1] == 503
        assert len(system.simulator.log("create")) == sent
    assert system.simulator.text_in(people[-1], "STOP") == [200]
    _all_get(system, campaign, "delivered")


def test_a_transaction_that_does_not_end(system: FaultySystem, people: list[int]) -> None:
    """Beside a transaction that has written and stays open, all is sent and every STOP counts."""
    with system.db.transaction() as tx:
        tx.execute(text("CREATE TABLE of_somebody_else (id integer)"))
        assert system.simulator.text_in(people[0], "STOP") == [200]
        campaign = system.campaign(people)
        _all_get(system, campaign, "delivered", "suppressed")
        assert system.states(campaign)["suppressed"] == 1
        tx.rollback()


def test_every_place_in_the_webhook_app_is_taken(system: FaultySystem, people: list[int]) -> None:
    """A STOP that cannot be stored is answered 503; Twilio's next attempt is answered 200."""
    url = f"http://127.0.0.1:{system.proxies.door.port}/twilio/inbound"
    system.simulator.ask("PATCH", "config", {"inbound_url": f"{url}#rc=0"})
    blocker, other = people[:2]
    with ThreadPoolExecutor(16) as callers:
        with system.db.transaction() as tx:
            tx.execute(text("LOCK TABLE enforcement IN ACCESS EXCLUSIVE MODE"))
            waiting = []
            for taken in range(1, TEXTS_AT_ONCE + 1):
                waiting.append(callers.submit(system.simulator.text_in, blocker, "STOP"))
                until(partial(_are_waiting_for_locks, system, taken), "another place to be taken")
            assert system.simulator.text_in(other, "STOP") == [503]
        answers = [one.result(timeout=60) for one in waiting]
    system.simulator.ask("PATCH", "config", {"inbound_url": f"{url}{REPEATS}"})
    assert {status for (status,) in answers} <= {200, 503}
    assert system.simulator.text_in(other, "STOP") == [200]


def test_callers_that_drip(system: FaultySystem, people: list[int]) -> None:
    """Who sends no whole request is cut off in time, and keeps no STOP from its answer."""
    port, within = system.stack.plan.ports.webhooks, timedelta(seconds=3 * READ_SECONDS)
    with ThreadPoolExecutor(len(DRIPPERS)) as callers:
        answers = {
            name: callers.submit(dripper.cut_off, port, within=within)
            for name, (dripper, _) in DRIPPERS.items()
        }
        assert system.simulator.text_in(people[0], "STOP") == [200]
    statuses = {name: status_of(answer.result()) for name, answer in answers.items()}
    wrong = {name: got for name, got in statuses.items() if got not in DRIPPERS[name][1]}
    assert not wrong


def _are_waiting_for_locks(system: FaultySystem, many: int) -> bool:
    count = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    return int(system.value(count)) >= many


def test_answers_that_tell_nothing(system: FaultySystem, people: list[int]) -> None:
    """Accepted and never heard, or perhaps not accepted: in doubt, never sent again."""
    kinds = (
        FaultKind.ACCEPT_AND_DROP,
        FaultKind.ERROR_500_AFTER_ACCEPT,
        FaultKind.DROP_BEFORE_ACCEPT,
        FaultKind.ERROR_503,
        FaultKind.HANG,
    )
    rules = [
        {"to": f"+{person}", "fault": kind} for person, kind in zip(people, kinds, strict=False)
    ]
    system.simulator.ask("PATCH", "config", {"hang_seconds": 12, "sent_after_ms": 2_000})
    system.simulator.ask("POST", "script", rules)
    campaign = system.campaign(people)
    until(lambda: system.states(campaign).get("in_doubt", 0) >= 4, "the doubts")
    system.simulator.ask("PATCH", "config", {"sent_after_ms": 20})
    _all_get(system, campaign, "delivered", "in_doubt")
    assert system.states(campaign)["in_doubt"] == 2
    requests = [len(system.simulator.creates(person)) for person in people[: len(kinds)]]
    assert requests == [1] * len(kinds)


def test_a_storm_of_429(system: FaultySystem, people: list[int]) -> None:
    """What is refused with 429 was not sent: it goes again, and nothing is in doubt."""
    system.simulator.ask("PATCH", "config", {"faults": {"throttle_429": 1.0}})
    campaign = system.campaign(people)
    until(lambda: _throttled(system, campaign) >= 8, "an outage")
    system.simulator.ask("PATCH", "config", {"faults": {}})
    _all_get(system, campaign, "delivered")
    assert len(_accepted(system, campaign)) == EACH


def _throttled(system: FaultySystem, campaign: sender.Campaign) -> int:
    count = "SELECT count(*) FROM message WHERE campaign_id = :id AND reason = 'throttled'"
    return int(system.value(count, id=campaign.id))


def test_hints_that_come_ten_times(system: FaultySystem, people: list[int]) -> None:
    """Ten messages for each slice: every recipient is asked for once."""
    campaign = system.campaign(people)
    hints = create_app(settings=lambda: system.stack.plan.settings)
    slices = system.rows("SELECT id FROM slice WHERE campaign_id = :id", id=campaign.id)
    for slice_id in [row.id for row in slices] * 10:
        hints.send_task("workers.send_slice", (slice_id,), queue="slices")
    hints.close()
    _all_get(system, campaign, "delivered")
    assert [len(system.simulator.creates(person)) for person in people] == [1] * EACH


def test_a_newer_schema_under_running_processes(system: FaultySystem, people: list[int]) -> None:
    """The next release's additive migration disturbs nobody who runs; nobody older starts on it."""
    campaign = system.campaign(people)
    until(lambda: _is_under_way(system, campaign), "the start", seconds=90)
    system.rows(
        "ALTER TABLE message ADD COLUMN of_the_next_release text NOT NULL DEFAULT 'nothing'"
    )
    known = system.value("UPDATE alembic_version SET version_num = 'next' RETURNING 'next'")
    assert known == "next"
    assert system.simulator.text_in(people[-1], "STOP") == [200]
    _all_get(system, campaign, "delivered", "suppressed")
    again = system.campaign(people)
    _all_get(system, again, "delivered", "suppressed")
    assert system.states(again) == {"delivered": EACH - 1, "suppressed": 1}
    assert system.http(f"{system.stack.plan.webhook_url}/readyz")[0] == 200
    late = system.worker()
    until(lambda: not late.is_running, "the end of a worker that came too late", seconds=60)
    assert "newer" in late.program.log.read_text()
