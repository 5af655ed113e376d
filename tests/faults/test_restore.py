"""Yesterday's backup in today's place, on real processes: nothing is sent before it is recovered.

The provider's own block is off: nothing but us stands in the way.
"""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import text

import sender
from sender.errors import SenderError
from sender.local.servers import StopMode
from sender.storage import workers
from sender.storage.database import Database, DatabaseError
from tests.acceptance.rig import NUMBER, System, fictional, running_system, until

PEOPLE = 300
BODY, LOST_BODY = "Of yesterday", "Of a lost campaign"
#: How long it is watched that nothing is sent: several rounds of everything that could begin it.
WATCHED = 6.0


@dataclass
class Yesterday:
    """A system with a backup of its database."""

    system: System
    backup: Path
    #: When each STOP was answered 200.
    acknowledged: dict[int, float] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        """What PostgreSQL works on."""
        return self.backup.parent / "postgres" / "data"

    def back_up(self) -> None:
        """Copy the data, as it is in a server that was ended cleanly."""
        postgres = self.system.servers.postgres
        postgres.stop()
        _copy(self.data, self.backup)
        postgres.restart()
        until(self.answers, "the database")

    def put_in_place(self, meanwhile: Callable[[], object]) -> None:
        """Lose the database, and start on the backup."""
        postgres = self.system.servers.postgres
        postgres.stop(StopMode.IMMEDIATE)
        self.data.rename(self.data.with_name("lost"))
        _copy(self.backup, self.data)
        meanwhile()
        postgres.restart()
        until(self.answers, "the database")

    def answers(self) -> bool:
        """Whether the database can be asked."""
        try:
            self.value("SELECT 1")
        except DatabaseError:
            return False
        return True

    def value(self, sql: str) -> Any:
        """The one value a query finds."""
        db = Database.connect(self.system.stack.plan.database_url)
        try:
            with db.transaction() as tx:
                return tx.execute(text(sql)).scalar_one()
        finally:
            db.close()

    def is_held(self) -> bool:
        """Whether everything is held because the database is older than known."""
        return bool(
            self.value(
                "SELECT count(*) FROM hold WHERE reason = 'database_older' AND released_at IS NULL"
            )
        )

    def live(self) -> int:
        """How many workers hold their locks."""
        db = Database.connect(self.system.stack.plan.database_url)
        try:
            return db.run(workers.count_live)
        finally:
            db.close()

    def stop(self, person: int) -> None:
        """Have a person say STOP until it is acknowledged, as Twilio's retries would."""
        for _ in range(30):
            self.system.simulator.text_in(person, "STOP")
            if found := self.system.simulator.acknowledged_at(person):
                self.acknowledged[person] = found
                return
            time.sleep(0.5)  # between two texts
        pytest.fail("a STOP was never acknowledged")

    def accepted(self, body: str) -> list[int]:
        """Whom the provider took this text for, once for each time."""
        creates = self.system.simulator.log("create")
        return [int(e["to"][1:]) for e in creates if e["body"] == body and e["accepted"]]

    def recover(self, *options: str) -> Any:
        """Run `sender recover` as an operator would; its answer."""
        command = [sys.executable, "-m", "sender.cli", "recover", "--json", *options]
        environment = {**os.environ, **self.system.stack.plan.variables}
        ran = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=120
        )
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)


@pytest.fixture
def yesterday(tmp_path: Path) -> Iterator[Yesterday]:
    """A system of its own: what is done to it is not put right again."""
    # A restore can take longer than the intake may be silent: that is another subject.
    with running_system(tmp_path, SENDER_INTAKE_SILENCE_SECONDS="300") as system:
        system.simulator.ask("PATCH", "config", {"provider_block": False, "latency_ms": 50})
        yield Yesterday(system, tmp_path / "backup")


def _live_through(_: Yesterday) -> None:
    """The workers are not restarted: they know by themselves what they have seen."""


def _start_anew_with_empty_redis(yesterday: Yesterday) -> None:
    """The workers end and Redis is emptied: the disk alone knows."""
    for name in ("worker-1", "worker-2"):
        yesterday.system.stack.kill(name)
    with redis.Redis.from_url(yesterday.system.servers.redis.url) as client:
        client.flushall()


def _start_anew_on_another_disk(yesterday: Yesterday) -> None:
    """The workers and their disk are gone: Redis alone knows."""
    for name in ("worker-1", "worker-2"):
        yesterday.system.stack.kill(name)
    for file in (yesterday.backup.parent / "state").glob("*.json"):
        file.unlink()


@pytest.mark.parametrize(
    "meanwhile",
    [
        _start_anew_with_empty_redis,
        # Who else knows is held by ../integration/test_high_water.py; these two take minutes.
        pytest.param(_live_through, marks=pytest.mark.soak),
        pytest.param(_start_anew_on_another_disk, marks=pytest.mark.soak),
    ],
)
def test_a_restored_backup(yesterday: Yesterday, meanwhile: Callable[[Yesterday], None]) -> None:
    """Held until it is recovered; then nobody was texted twice, or after their STOP."""
    system, people = yesterday.system, fictional(0, PEOPLE)
    others, lost = fictional(PEOPLE, 40), fictional(PEOPLE + 40, 40)
    before = system.campaign(others, body="Before")
    before.wait()
    campaign = _draft(system, people)
    yesterday.back_up()

    campaign.enqueue()
    until(lambda: len(yesterday.accepted(BODY)) >= PEOPLE // 4, "a part to be sent")
    campaign.pause()
    until(lambda: "sending" not in campaign.progress().states, "what is under way")
    texted = yesterday.accepted(BODY)
    untexted = sorted(set(people) - set(texted))
    for person in (texted[0], texted[1], untexted[0], untexted[1]):
        yesterday.stop(person)
    system.campaign(lost, body=LOST_BODY).wait()

    yesterday.put_in_place(lambda: meanwhile(yesterday))
    if meanwhile is not _live_through:
        name = system.stack.add_worker()
        until(lambda: "database_older" in system.stack.log(name).read_text(), "the worker's look")
    until(yesterday.is_held, "the hold")
    assert campaign.progress().states == {"pending": PEOPLE}
    _retry(campaign.enqueue)  # as if nothing had happened
    yesterday.stop(untexted[2])
    sent = yesterday.accepted(BODY)
    _watch(lambda: yesterday.accepted(BODY) == sent)
    assert campaign.progress().states == {"pending": PEOPLE - 1, "suppressed": 1}

    plan = yesterday.recover()
    assert [(one["id"], one["messages"]) for one in plan["campaigns"]] == [
        (campaign.id, PEOPLE - 1)
    ]
    assert yesterday.is_held()
    report = yesterday.recover("--yes", "--author", "test")
    assert not yesterday.is_held()
    assert report["opt_outs"] >= 4
    assert report["unexplained"] == len(lost)

    until(lambda: _ended(campaign), "the end")
    _audit(yesterday, campaign, people)
    workers_left = 2 if meanwhile is _live_through else 1
    until(lambda: yesterday.live() == workers_left, "the workers")
    _goes_on(yesterday, people)


def _draft(system: System, people: list[int]) -> sender.Campaign:
    audience = sender.from_iterable([f"+{number}" for number in people])
    made: sender.Campaign = system.client.create_campaign(
        name="Yesterday", sender=NUMBER, body=BODY, audience=audience
    )
    system.client.set_pace(NUMBER, 100)
    return made


def _audit(yesterday: Yesterday, campaign: sender.Campaign, people: list[int]) -> None:
    """Every promise, by the provider's own log."""
    for body in (BODY, LOST_BODY, "Before"):
        twice = [who for who, n in Counter(yesterday.accepted(body)).items() if n > 1]
        assert twice == []
    creates = yesterday.system.simulator.log("create")
    leaks = [
        entry["to"]
        for entry in creates
        if (at := yesterday.acknowledged.get(int(entry["to"][1:]))) and entry["arrived_at"] > at
    ]
    assert leaks == []
    texted = set(yesterday.accepted(BODY))
    until(lambda: texted <= _known_as_sent(campaign), "what is in doubt to be asked about")
    results = {one.recipient: one for one in campaign.results()}
    assert set(results) == set(people)
    assert texted == set(yesterday.accepted(BODY))
    left = {(str(results[who].state), results[who].reason) for who in set(people) - texted}
    assert left == {("in_doubt", "restored"), ("suppressed", "stop")}


def _known_as_sent(campaign: sender.Campaign) -> set[int]:
    return {one.recipient for one in campaign.results() if one.state in {"sent", "delivered"}}


def _goes_on(yesterday: Yesterday, people: list[int]) -> None:
    """A campaign of today is sent, to everybody but those who said STOP."""
    today = yesterday.system.campaign(people, body="Of today")
    until(lambda: _ended(today), "a campaign of today", seconds=60)
    assert set(yesterday.accepted("Of today")) == set(people) - yesterday.acknowledged.keys()
    assert today.progress().states["suppressed"] == len(yesterday.acknowledged)


def _ended(campaign: sender.Campaign) -> bool:
    try:
        return str(campaign.progress().state) == "COMPLETED"
    except (DatabaseError, SenderError):
        return False


def _retry(work: Callable[[], object]) -> None:
    """Through the connections that the restore broke."""

    def done() -> bool:
        try:
            work()
        except DatabaseError:
            return False
        return True

    until(done, "the database")


def _watch(holds: Callable[[], bool]) -> None:
    """See that something stays true for as long as everything that could change it needs."""
    give_up_at = time.monotonic() + WATCHED
    while time.monotonic() < give_up_at:
        assert holds()
        time.sleep(0.2)  # between two looks


def _copy(source: Path, target: Path) -> None:
    """A folder with its owners and modes."""
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)
