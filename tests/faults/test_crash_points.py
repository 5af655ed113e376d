"""A process killed at each named place in turn: nobody is texted twice, nobody after a STOP.

One worker for each place of the send path shares the work until all of them are dead, then one
that is well finishes it. The STOP path is walked place by place.
"""

import math
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import psutil
import pytest

from sender.crashing import CrashPoint
from sender.local.child import Child
from sender.local.ports import LOOPBACK, free_port
from tests.acceptance.rig import NUMBER, fictional
from tests.faults.rig import FaultySystem, crashing, faulty_system, until

STOP_PATH = (CrashPoint.AFTER_STORE, CrashPoint.AFTER_WITHDRAW, CrashPoint.BEFORE_ACK)
SEND_PATH = tuple(point for point in CrashPoint if point not in STOP_PATH)
#: Where what was guarded is in doubt afterwards: with requests that reached the provider, or none.
NOT_BEGUN = (CrashPoint.AFTER_GUARD,)
BEGUN = (CrashPoint.AFTER_ANSWER, CrashPoint.BEFORE_SETTLE)
#: Where nothing is. (Of a window of which a batch is settled, the rest may be under way.)
HARMLESS = tuple(
    point
    for point in SEND_PATH
    if point not in (*NOT_BEGUN, *BEGUN) and point is not CrashPoint.AFTER_SETTLE
)

#: Campaigns of one slice each, so that there is a slice for every worker and more.
CAMPAIGNS, EACH, STOPS_OF_EACH = 16, 50, 2
#: Long enough for a dead worker's rows to be found before their callbacks come.
SENT_AFTER_MS = 9_000


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultySystem]:
    """A system that has nobody but a worker for recovery."""
    with faulty_system(tmp_path_factory.mktemp("crashes")) as running:
        yield running


@dataclass(frozen=True, kw_only=True)
class Row:
    """A message at the end, with its last owner and what reached the provider for it."""

    recipient: int
    owner: int | None
    state: str
    creates: list[dict[str, Any]]

    @property
    def accepted(self) -> int:
        """How many requests the provider accepted."""
        return sum(bool(create["accepted"]) for create in self.creates)


@dataclass(frozen=True, kw_only=True)
class Wreck:
    """What is left of a run."""

    #: Each place's worker: its id, and how it ended.
    workers: dict[CrashPoint, tuple[int, int | None]]
    rows: list[Row]
    #: Rows that were in doubt at some time, by owner.
    doubted: Counter[int]
    #: When each STOP was enforced, by who said it.
    enforced: dict[int, float]

    def of(self, point: CrashPoint) -> list[Row]:
        """The rows whose last owner was the worker that died there."""
        return [row for row in self.rows if row.owner == self.workers[point][0]]


@pytest.fixture(scope="module")
def wreck(system: FaultySystem) -> Wreck:
    """Campaigns, worked on by workers that each die at a place of their own."""
    system.simulator.ask("PATCH", "config", {"latency_ms": 60, "sent_after_ms": SENT_AFTER_MS})
    recovery = system.worker("-Q", "recovery")
    doomed = {
        point: system.worker("-c", "1", **crashing(point, nth=_nth(point))) for point in SEND_PATH
    }
    for child in (recovery, *doomed.values()):
        until(lambda child=child: system.is_up(child), "a worker", seconds=60)
    doubts, people = _Doubts(system), iter(fictional(0, 1_500))
    for _ in range(CAMPAIGNS):
        _give_work(system, people)

    def all_dead() -> bool:
        doubts.look()
        if not _open_campaigns(system):
            _give_work(system, people)
        return _all_dead(doomed)

    until(all_dead, "every death", seconds=120)
    system.simulator.ask("PATCH", "config", {"sent_after_ms": 20})
    system.rows("UPDATE slice SET offered_at = NULL")  # the kicker would give the dead 15 s
    last = system.worker()
    until(lambda: doubts.look() and _all_over(system), "the campaigns' end", seconds=120)
    last.kill()
    recovery.kill()
    return Wreck(
        workers={
            point: (system.owner(child) or 0, child.exit_code) for point, child in doomed.items()
        },
        rows=_rows(system),
        doubted=Counter(doubts.owners.values()),
        enforced={
            row.recipient: _seconds(row.enforced_at)
            for row in system.rows("SELECT recipient, enforced_at FROM enforcement")
        },
    )


def _give_work(system: FaultySystem, people: Iterator[int]) -> None:
    """One more campaign, to whom some say STOP at once."""
    recipients = list(islice(people, EACH))
    system.campaign(recipients, body="Crash")
    for person in recipients[:STOPS_OF_EACH]:
        text = {"from": f"+{person}", "to": NUMBER, "body": "STOP"}
        system.simulator.ask("POST", "inbound", text)


def _nth(point: CrashPoint) -> int:
    """In the middle of a window where there are several, and else the first time."""
    return 7 if point is CrashPoint.AFTER_ANSWER else 1


@dataclass
class _Doubts:
    """Watches which rows are in doubt at any time."""

    system: FaultySystem

    def __post_init__(self) -> None:
        self.owners: dict[object, int] = {}

    def look(self) -> bool:
        """Note those of this moment; always true."""
        found = self.system.rows("SELECT id, owner FROM message WHERE state = 'in_doubt'")
        self.owners |= {row.id: row.owner for row in found}
        return True


def _all_dead(doomed: dict[CrashPoint, Child]) -> bool:
    return not any(child.is_running for child in doomed.values())


def _all_over(system: FaultySystem) -> bool:
    """Every campaign is completed, every STOP enforced, and every callback has come."""
    if _open_stops(system) or _open_campaigns(system):
        return False
    accepted = {one["to"] for one in system.simulator.log("create") if one["accepted"]}
    open_ = system.rows("SELECT recipient FROM message WHERE state IN ('sent', 'in_doubt')")
    return not any(f"+{row.recipient}" in accepted for row in open_)


def _open_campaigns(system: FaultySystem) -> int:
    return int(system.value("SELECT count(*) FROM campaign WHERE state <> 'COMPLETED'"))


def _rows(system: FaultySystem) -> list[Row]:
    creates: dict[str, list[dict[str, Any]]] = {}
    for create in system.simulator.log("create"):
        creates.setdefault(create["to"], []).append(create)
    found = system.rows("SELECT recipient, owner, state FROM message")
    return [Row(**one._mapping, creates=creates.get(f"+{one.recipient}", [])) for one in found]


@pytest.mark.parametrize("point", SEND_PATH)
def test_a_worker_died_there(wreck: Wreck, point: CrashPoint) -> None:
    """Each worker got to its place, and was killed there."""
    assert wreck.workers[point][1] == -9


def test_nobody_is_sent_twice(wreck: Wreck) -> None:
    """Wherever a worker dies, no row is accepted twice, and none is asked for again."""
    assert len(wreck.rows) >= CAMPAIGNS * EACH
    assert max(len(row.creates) for row in wreck.rows) == 1


def test_every_row_is_explained(wreck: Wreck) -> None:
    """Whoever was asked for is delivered; of the others it is known why, or that it is not."""
    assert {(row.state, row.accepted) for row in wreck.rows} == {
        ("delivered", 1),
        ("in_doubt", 0),
        ("suppressed", 0),
    }


def test_nobody_is_asked_for_after_a_stop(wreck: Wreck) -> None:
    """Whatever died, every STOP was enforced, and no request arrived after that."""
    assert len(wreck.enforced) == len(wreck.rows) / EACH * STOPS_OF_EACH
    late = [
        row.recipient
        for row in wreck.rows
        for create in row.creates
        if create["arrived_at"] > wreck.enforced.get(row.recipient, math.inf)
    ]
    assert late == []


@pytest.mark.parametrize("point", NOT_BEGUN)
def test_guarded_and_not_begun(wreck: Wreck, point: CrashPoint) -> None:
    """Death between the guard and the request: in doubt for good, and the provider has nothing."""
    assert {(row.state, row.accepted) for row in wreck.of(point)} == {("in_doubt", 0)}


@pytest.mark.parametrize("point", BEGUN)
def test_answered_and_not_settled(wreck: Wreck, point: CrashPoint) -> None:
    """Death between the answer and its record: in doubt, until the status callback tells."""
    assert wreck.doubted[wreck.workers[point][0]] > 0
    ends = Counter((row.state, row.accepted) for row in wreck.of(point))
    assert ends["delivered", 1] > 0
    assert ends.keys() <= {("delivered", 1), ("in_doubt", 0)}  # of the window just guarded


@pytest.mark.parametrize("point", HARMLESS)
def test_no_doubt_elsewhere(wreck: Wreck, point: CrashPoint) -> None:
    """Death before the guard or after the record leaves no doubt."""
    assert wreck.doubted[wreck.workers[point][0]] == 0


@pytest.mark.parametrize("point", STOP_PATH)
def test_a_webhook_process_dies_with_a_stop(system: FaultySystem, point: CrashPoint) -> None:
    """Wherever the process dies, the STOP stands; Twilio's repeat is answered, and counts once."""
    person = fictional(1500 + STOP_PATH.index(point), 1)[0]
    system.simulator.ask("PATCH", "config", {"webhook_retry_ms": 500})
    door, port = system.proxies.door, free_port()
    healthy = door.upstream
    node = system.node(port, **crashing(point))
    before = psutil.Process(node.pid).children(recursive=True)
    door.lead_to(port)
    with ThreadPoolExecutor(1) as caller:
        texting = caller.submit(system.simulator.text_in, person, "STOP")
        until(lambda: not all(one.is_running() for one in before), "the node's death")
        door.lead_to(healthy)
        attempts = texting.result(timeout=30)
    assert attempts[0] is None
    assert attempts[-1] == 200
    events = system.rows(
        "SELECT e.id, n.enforced_at FROM consent_event e JOIN enforcement n ON n.event_id = e.id "
        "WHERE e.recipient = :person",
        person=person,
    )
    assert [event.enforced_at is not None for event in events] == [True]
    assert _seconds(events[0].enforced_at) <= (system.simulator.acknowledged_at(person) or 0)


def test_the_consumer_dies_with_a_stop(system: FaultySystem) -> None:
    """A STOP that nobody repeats is enforced by whichever consumer lives."""
    person = fictional(1510, 1)[0]
    door, port = system.proxies.door, free_port()
    healthy, url = door.upstream, f"http://{LOOPBACK}:{door.port}/twilio/inbound"
    system.simulator.ask("PATCH", "config", {"inbound_url": f"{url}#rc=0"})
    system.stack.kill("consumer")
    system.node(port, **crashing(CrashPoint.AFTER_STORE))
    door.lead_to(port)
    assert system.simulator.text_in(person, "STOP") == [None]
    door.lead_to(healthy)
    assert _open_stops(system) == 1
    doomed = system.start("consumer", "workers.consumer", **crashing(CrashPoint.AFTER_WITHDRAW))
    until(lambda: not doomed.is_running, "the consumer's death")
    assert doomed.exit_code == -9
    assert _open_stops(system) == 1
    system.start("consumer", "workers.consumer")
    until(lambda: not _open_stops(system), "the enforcement")
    assert [one.reason for one in system.client.suppression.check(f"+{person}")] == ["stop"]


def _open_stops(system: FaultySystem) -> int:
    return int(system.value("SELECT count(*) FROM enforcement WHERE enforced_at IS NULL"))


def _seconds(when: datetime) -> float:
    return when.astimezone(UTC).timestamp()
