"""The whole machine dies in mid-campaign; `sender up` in the same folder finishes it.

One real `sender up` with its embedded servers, killed as a power cut would: all processes at
once, Postgres among them. The simulated provider lives on, as Twilio would.
"""

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

import sender
from sender.config import Settings
from sender.local.ports import free_port
from sender.local.processes import Supervisor
from sender.local.stack import Ports
from sender.local.waiting import wait_until
from tests.acceptance.rig import (
    ACCOUNT,
    NUMBER,
    TOKEN,
    Simulator,
    fictional,
    start_simulator,
    until,
)

PEOPLE = 500
WORKERS = 2
#: No more than these can be under way at once.
IN_FLIGHT = WORKERS * 64
START = timedelta(seconds=120)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where `sender up` is started, again and again."""

    folder: Path
    ports: Ports
    simulator: Simulator

    @contextmanager
    def running(self) -> Iterator["Running"]:
        """`sender up`, until it is killed or the block ends."""
        said = self.folder / "said"
        words = [
            *(sys.executable, "-m", "sender.cli", "up", "--folder", str(self.folder / "data")),
            *("--workers", str(WORKERS), "--webhook-port", str(self.ports.webhooks)),
            *("--flower-port", str(self.ports.flower)),
        ]
        with said.open("w") as output:
            up = subprocess.Popen(words, env=self._environment(), stdout=output, stderr=output)
        running = Running(up=psutil.Process(up.pid), said=said, environment=self._environment())
        try:
            wait_until(lambda: "Ctrl-C" in said.read_text(), START, "sender up")
            yield running
        finally:
            running.kill()
            up.wait(timeout=30)

    def _environment(self) -> dict[str, str]:
        ours = {
            "TWILIO_ACCOUNT_SID": ACCOUNT,
            "TWILIO_AUTH_TOKEN": TOKEN,
            "TWILIO_API_BASE_URL": self.simulator.url,
            "SENDER_DOUBT_HORIZON_SECONDS": "15",
            "SENDER_LOG_LEVEL": "WARNING",
        }
        servers = {"DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "PUBLIC_BASE_URL"}
        return {name: value for name, value in os.environ.items() if name not in servers} | ours


@dataclass(frozen=True, kw_only=True)
class Running:
    """One life of the machine."""

    up: psutil.Process
    said: Path
    environment: dict[str, str]

    @contextmanager
    def client(self) -> Iterator[sender.Client]:
        """A client of its database."""
        found = dict(re.findall(r"^(database|redis) +(\S+)$", self.said.read_text(), re.MULTILINE))
        servers = {"DATABASE_URL": found["database"], "REDIS_URL": found["redis"]}
        client = sender.connect(Settings.from_variables({**self.environment, **servers}))
        try:
            yield client
        finally:
            client.close()

    def kill(self) -> None:
        """Freeze everything, so that nobody sees anybody die; then kill it all."""
        with suppress(psutil.NoSuchProcess):
            everything = [self.up, *self.up.children(recursive=True)]
            for process in everything:
                with suppress(psutil.NoSuchProcess):
                    process.suspend()
            for process in everything:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(everything, timeout=30)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine beside a provider that blocks nobody by itself."""
    ports, port = Ports(), free_port()
    with Supervisor(tmp_path / "provider") as outer:
        start_simulator(outer, port, ports)
        outer.wait_ready()
        simulator = Simulator(f"http://127.0.0.1:{port}")
        slow = {"provider_block": False, "latency_ms": 150}
        simulator.ask("PATCH", "config", slow)
        yield Machine(folder=tmp_path, ports=ports, simulator=simulator)


def test_the_campaign_is_finished_after_a_crash(machine: Machine) -> None:
    """All killed at once: the campaign completes, nobody twice, STOPs kept, few doubts."""
    people, simulator = fictional(0, PEOPLE), machine.simulator
    stopped = people[-3:]
    with machine.running() as before, before.client() as client:
        client.set_pace(NUMBER, 40)
        campaign = client.create_campaign(
            name="crash", sender=NUMBER, body="Hello", audience=_audience(people)
        ).enqueue()
        until(lambda: campaign.progress().states.get("pending", PEOPLE) < PEOPLE * 0.8, "a start")
        for person in stopped:
            assert simulator.text_in(person, "STOP") == [200]
        before.kill()
        assert not before.up.is_running()
    accepted_before = _accepted(simulator)
    assert 0 < sum(accepted_before.values()) < PEOPLE
    with machine.running() as after, after.client() as client:
        again = client.campaign(campaign.id)
        client.set_pace(NUMBER, 1000)  # the crash was the subject of the slow one
        until(lambda: again.progress().state == "COMPLETED", "the end", seconds=120)
        until(lambda: _resolved(simulator, again), "the doubts", seconds=120)
        progress, doubts = again.progress(), client.doubts.waiting()
    accepted = _accepted(simulator)
    assert max(accepted.values()) == 1
    assert all(_spared(simulator, person) for person in stopped)
    spared = progress.reasons["suppressed", "stop"]
    assert 0 < spared <= len(stopped)
    assert sum(progress.states.values()) == PEOPLE
    assert set(progress.states) <= {"sent", "delivered", "suppressed", "in_doubt"}
    assert len(doubts) == progress.states.get("in_doubt", 0) <= IN_FLIGHT
    # What is in doubt for good never reached the provider: everybody else has it once.
    assert len(accepted) == PEOPLE - spared - len(doubts)


def _audience(people: list[int]) -> sender.Audience:
    return sender.from_iterable([f"+{person}" for person in people])


def _accepted(simulator: Simulator) -> Counter[str]:
    return Counter(entry["to"] for entry in simulator.log("create") if entry["accepted"])


def _spared(simulator: Simulator, person: int) -> bool:
    """Whether nothing was begun to them after their STOP was acknowledged."""
    acknowledged = simulator.acknowledged_at(person)
    assert acknowledged is not None
    return all(entry["arrived_at"] < acknowledged for entry in simulator.creates(person))


def _resolved(simulator: Simulator, campaign: sender.Campaign) -> bool:
    """Whether nobody is in doubt any more whose message the provider has."""
    accepted = _accepted(simulator)
    doubted = campaign.results(state="in_doubt")
    return not any(accepted[f"+{one.recipient}"] for one in doubted)
