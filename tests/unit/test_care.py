"""Workers that live and do nothing are asked to end, and then made to."""

import signal
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy.exc import OperationalError

from sender.domain.pulse import Verdict
from sender.local.care import LOOKS, Care, Patience

AT_ONCE, NEVER = timedelta(), timedelta(hours=1)
WORKERS = {"worker-1": 11, "worker-2": 12}


@dataclass
class Processes:
    """Notes what was done to whom."""

    done: list[tuple[str, str]] = field(default_factory=list)

    def send(self, name: str, number: signal.Signals) -> None:
        """A signal was sent."""
        self.done.append((name, number.name))

    def kill(self, name: str) -> None:
        """It was killed."""
        self.done.append((name, "killed"))


@dataclass(frozen=True)
class Seen:
    """A worker with its verdict."""

    name: str
    verdict: Verdict


@dataclass
class Fleet:
    """Says of each process id of a host what it is told to say."""

    verdicts: dict[int, Verdict]
    host: str = field(default_factory=socket.gethostname)
    is_away: bool = False

    def workers(self) -> Iterable[Seen]:
        """All of them."""
        if self.is_away:
            raise OperationalError("", {}, Exception())
        return [Seen(f"{self.host}:{pid}", verdict) for pid, verdict in self.verdicts.items()]


def _care(fleet: Fleet, *, grace: timedelta = NEVER) -> tuple[Care, Processes]:
    processes = Processes()
    return Care(processes, fleet.workers, Patience(look_every=AT_ONCE, grace=grace)), processes


def _look(care: Care, times: int = LOOKS) -> None:
    for _ in range(times):
        care.look(WORKERS)


def test_a_sick_worker_is_asked_to_end_once() -> None:
    """A worker that stays sick gets one SIGTERM, and the others none."""
    care, processes = _care(Fleet({11: Verdict.DEAF, 12: Verdict.WELL}))
    _look(care, LOOKS - 1)
    assert processes.done == []
    _look(care, 3)
    assert processes.done == [("worker-1", "SIGTERM")]


def test_one_that_does_not_end_is_killed() -> None:
    """A worker that does not end within the grace is killed, whatever is said of it by then."""
    fleet = Fleet({11: Verdict.STUCK})
    care, processes = _care(fleet, grace=AT_ONCE)
    _look(care)
    fleet.verdicts = {}
    _look(care, 1)
    assert processes.done == [("worker-1", "SIGTERM"), ("worker-1", "killed")]


def test_one_that_recovers_is_let_be() -> None:
    """Looks count in a row only: who was well in between starts anew."""
    fleet = Fleet({11: Verdict.STUCK})
    care, processes = _care(fleet)
    for verdict in (Verdict.STUCK, Verdict.WELL) * LOOKS:
        fleet.verdicts = {11: verdict}
        _look(care, 1)
    assert processes.done == []


def test_a_replaced_one_is_another() -> None:
    """What was counted against a process does not count against the one in its place."""
    fleet = Fleet({11: Verdict.DEAF, 13: Verdict.DEAF})
    care, processes = _care(fleet)
    _look(care, LOOKS - 1)
    care.look({"worker-1": 13})
    assert processes.done == []


def test_nobody_is_ended_while_nobody_can_tell() -> None:
    """A database that is away, a broker that is away and another host's workers end nobody."""
    for fleet in (
        Fleet({11: Verdict.DEAF}, is_away=True),
        Fleet({11: Verdict.BROKER_AWAY, 12: Verdict.STARTING}),
        Fleet({11: Verdict.DEAF}, host="elsewhere"),
    ):
        care, processes = _care(fleet)
        _look(care)
        assert processes.done == []


def test_looks_have_their_pace() -> None:
    """However often it is called, the database is asked no more often than was said."""
    fleet = Fleet({11: Verdict.DEAF})
    processes = Processes()
    care = Care(processes, fleet.workers, Patience(look_every=NEVER))
    _look(care)
    assert processes.done == []
