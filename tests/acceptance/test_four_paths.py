"""The four paths of the design, walked on real processes, and what Flower shows of them."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from sender import State
from tests.acceptance.rig import (
    NUMBER,
    SERVICE,
    SERVICE_NUMBER,
    System,
    fictional,
    running_system,
    until,
)

SHORT = timedelta(seconds=45)
#: A number of this module's recipients, and not some digits of a task's run time.
RECIPIENT = re.compile(r"(?<![\d.])\+?1\d{3}5550\d{3}(?!\d)")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """One running system for this module; every test uses recipients of its own."""
    with running_system(tmp_path_factory.mktemp("system"), flower=True) as running:
        yield running


def test_a_message_is_sent_once_and_reported_delivered(system: System) -> None:
    """A message: created, offered, guarded, POSTed once, settled, and delivered by callback."""
    people = fictional(0, 60)
    campaign = system.campaign(people, body="Once only")
    progress = campaign.wait(timeout=SHORT)
    assert progress.recipients == 60
    until(lambda: campaign.progress().states == {"delivered": 60}, "delivery receipts")
    assert [len(system.simulator.creates(person)) for person in people] == [1] * 60


def test_a_stop_is_acknowledged_only_once_it_is_enforced(system: System) -> None:
    """A STOP: stored, withdrawn, waited for, then 200; whoever said it is never texted again."""
    person = fictional(100, 1)[0]
    assert system.simulator.text_in(person, "Stop.") == [200]
    assert [one.reason for one in system.client.suppression.check(f"+{person}")] == ["stop"]
    campaign = system.campaign([person, *fictional(101, 5)])
    progress = campaign.wait(timeout=SHORT)
    assert progress.reasons[State.SUPPRESSED, "stop"] == 1
    assert system.simulator.creates(person) == []


def test_a_stop_during_the_request_waits_for_it(system: System) -> None:
    """A STOP that arrives while its message is being POSTed is acknowledged after that answer."""
    person = fictional(110, 1)[0]
    rule = {"to": f"+{person}", "when": "during", "inbound": "STOP", "hold_ms": 400}
    system.simulator.ask("POST", "script", [rule])
    # A status callback would prove the acceptance earlier than the answer does.
    system.simulator.ask("PATCH", "config", {"sent_after_ms": 2000})
    system.campaign([person]).wait(timeout=SHORT)
    until(lambda: system.simulator.acknowledged_at(person) is not None, "the acknowledgement")
    system.simulator.ask("PATCH", "config", {"sent_after_ms": 20})
    acknowledged = system.simulator.acknowledged_at(person)
    assert acknowledged is not None
    assert acknowledged > system.simulator.creates(person)[0]["answered_at"]
    again = system.campaign([person]).wait(timeout=SHORT)
    assert again.states == {"suppressed": 1}


def test_a_start_lifts_what_the_stop_closed(system: System) -> None:
    """A START counts once the provider's times are known; then the person is texted again."""
    person = fictional(120, 1)[0]
    assert system.simulator.text_in(person, "STOP") == [200]
    # Provider times have whole seconds and a STOP wins ties: the START must be a second later.
    stopped = system.client.suppression.history(f"+{person}")[0].received_at
    until(lambda: _seconds_since(stopped) > 1.5, "a later second")
    assert system.simulator.text_in(person, "START") == [200]
    until(lambda: not system.client.suppression.check(f"+{person}"), "the lift")
    campaign = system.campaign([person])
    campaign.wait(timeout=SHORT)
    assert len(system.simulator.creates(person)) == 1


def _seconds_since(when: datetime) -> float:
    return (datetime.now(UTC) - when).total_seconds()


def test_a_21610_on_create_suppresses_and_is_traced(system: System) -> None:
    """A synchronous 21610: suppressed, never retried, one incident with its first cause."""
    person = fictional(130, 1)[0]
    system.simulator.ask("POST", "opt-outs", {"sender": NUMBER, "recipients": [f"+{person}"]})
    progress = system.campaign([person]).wait(timeout=SHORT)
    assert progress.reasons == {("suppressed", "provider_block"): 1}
    reasons = {one.reason for one in system.client.suppression.check(f"+{person}")}
    assert reasons == {"provider_block"}
    assert [one["code"] for one in system.simulator.creates(person)] == [21610]
    traced = system.client.trace(f"+{person}")
    assert [one.causes[0].cause for one in traced.incidents] == ["imported_opted_out"]
    assert [one.why[:25] for one in traced.messages] == ["Not sent: Twilio refused "]
    again = system.campaign([person]).wait(timeout=SHORT)
    assert again.states == {"suppressed": 1}
    assert len(system.simulator.creates(person)) == 1


def test_a_21610_in_a_callback_goes_the_same_way(system: System) -> None:
    """An asynchronous 21610 (Messaging Service) ends in the same state, list and incident."""
    person = fictional(140, 1)[0]
    system.simulator.ask("POST", "opt-outs", {"sender": SERVICE, "recipients": [f"+{person}"]})
    campaign = system.campaign([person], sender_=SERVICE)
    until(
        lambda: campaign.progress().reasons == {("suppressed", "provider_block"): 1},
        "the callback",
    )
    assert system.client.suppression.check(f"+{person}")
    again = system.campaign([person], sender_=SERVICE).wait(timeout=SHORT)
    assert again.states == {"suppressed": 1}


def test_a_stop_to_a_pool_number_covers_the_service(system: System) -> None:
    """A STOP to a number of a Messaging Service suppresses for the tenant, service included."""
    person = fictional(150, 1)[0]
    assert system.simulator.text_in(person, "REVOKE", to=SERVICE_NUMBER) == [200]
    progress = system.campaign([person], sender_=SERVICE).wait(timeout=SHORT)
    assert progress.states == {"suppressed": 1}


def test_a_killed_worker_leaves_doubts_not_repeats(system: System) -> None:
    """A recovery: kill -9 in mid-campaign; the rest is sent by others, nobody twice."""
    people = fictional(200, 800)
    system.simulator.ask("PATCH", "config", {"latency_ms": 150})
    campaign = system.campaign(people, body="Killed in the middle")
    until(lambda: campaign.progress().states.get("pending", 800) < 600, "the middle")
    system.stack.kill("worker-1")
    system.stack.add_worker()
    progress = campaign.wait(timeout=SHORT)
    system.simulator.ask("PATCH", "config", {"latency_ms": 20})
    assert sum(progress.states.values()) == 800
    assert {"pending", "sending"}.isdisjoint(progress.states)
    accepted = [
        entry["to"]
        for entry in system.simulator.log("create")
        if entry["accepted"] and entry["body"] == "Killed in the middle"
    ]
    assert len(accepted) == len(set(accepted))
    until(
        lambda: 800 - campaign.progress().states.get("in_doubt", 0) >= len(accepted),
        "callbacks that resolve the doubts",
    )


def test_flower_shows_slices_and_workers_and_nobody_s_number(system: System) -> None:
    """Flower: workers and slice tasks are seen; no number and no body in anything it serves."""
    status, workers = system.flower("/api/workers?refresh=1")
    assert status == 200
    assert any(name.startswith("worker-") for name in json.loads(workers))
    status, tasks = system.flower("/api/tasks?limit=10000")
    assert status == 200
    names = {task["name"] for task in json.loads(tasks).values()}
    assert "workers.send_slice" in names
    pages = tasks + workers + system.flower("/tasks")[1] + system.flower("/workers")[1]
    assert not RECIPIENT.search(pages)
    assert "Once only" not in pages


def test_flower_is_closed_and_read_only(system: System) -> None:
    """Flower: 401 without the generated login, 403 for whatever would change something."""
    url = system.stack.plan.flower_url
    assert system.http(f"{url}/api/workers")[0] == 401
    assert system.flower("/api/task/send-task/workers.kick", method="POST")[0] == 403
    assert system.flower("/api/worker/shutdown/worker-2", method="POST")[0] == 403


def test_metrics_and_health_answer(system: System) -> None:
    """The webhook app: healthz, readyz and metrics answer, an unsigned webhook is refused."""
    url = system.stack.plan.webhook_url
    assert system.http(f"{url}/healthz")[0] == 200
    assert system.http(f"{url}/readyz")[0] == 200
    assert system.http(f"{url}/metrics")[0] == 200
    assert system.http(f"{url}/twilio/inbound", "POST")[0] == 403


def test_logs_hold_no_number_and_no_body(system: System) -> None:
    """Logs: no recipient's number and no text of a message in any process's log."""
    for log in system.stack.log("webhooks").parent.iterdir():
        text = log.read_text()
        assert not RECIPIENT.search(text), log.name
        assert "Once only" not in text, log.name
