"""What the machine acts on, and what really happened there."""

import itertools
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import Connection, text

from sender.campaigns import Campaigns
from sender.domain.outcome import Outcome
from sender.enforcement import Enforcement
from sender.receipts import Receipts
from sender.reconcile import ProviderTimes
from sender.recovery import Resolver
from sender.settlement import Settlement
from sender.storage import sweeping, workers
from sender.storage.database import Database, Transaction
from sender.storage.messages import DueMessage, MessageTable
from sender.storage.workers import NewWorker
from tests.bench import ENFORCEMENT, TENANT, Bench
from tests.machine.wire import Licence, Wire

T = TypeVar("T")

_numbers = itertools.count(1)
#: Longer than any horizon and any lease.
_LONG = timedelta(seconds=125)
_OLDER = """
    UPDATE message SET changed_at = changed_at - :long, lease_until = lease_until - :long,
                       next_at = next_at - :long
    WHERE campaign_id = ANY (:ids)
"""
_UNLOCK = text("SELECT pg_advisory_unlock_all()")


class NoCache:
    """A Redis set nobody asks: no promise rests on it."""

    async def add(self, entries: Iterable[object]) -> None:
        """Not kept."""

    async def forget(self, scopes: Sequence[object], recipients: Sequence[int]) -> None:
        """Not there."""


@dataclass(frozen=True)
class Inline:
    """An event loop's database for code that is run to its end at once."""

    db: Database

    async def run(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """``work`` in a transaction of its own."""
        return self.db.run(work, *args, **kwargs)

    async def run_alone(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """The same for a single statement."""
        return await self.run(work, *args, **kwargs)


def finish(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as ended:
        result: T = ended.value
        return result
    raise AssertionError("it waits for something")


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The production's parts; a test may put a worse one in a place."""

    bench: Bench
    messages: MessageTable = field(default_factory=MessageTable)
    enforcement: Enforcement = ENFORCEMENT
    settlement: type[Settlement] = Settlement
    abandon: Callable[[Transaction, list[int]], int] = sweeping.abandon
    #: What a worker that slept beyond the horizon does with its licence.
    looks_at_clock: bool = True
    #: One worker and one person, where that is enough: what is looked for is found sooner.
    alone: bool = False


@dataclass
class Campaign:
    """A campaign and whom it is to."""

    id: int
    people: tuple[int, ...]
    body: str


@dataclass
class Answer:
    """What came of a request, in its worker's memory."""

    licence: Licence
    outcome: Outcome


@dataclass
class Worker:
    """One process, by what it holds in memory. It loses that when it is killed."""

    bench: Bench
    #: Its session, which holds its lock.
    session: Connection
    id: int = 0
    read: list[tuple[Campaign, DueMessage]] = field(default_factory=list)
    refused: list[DueMessage] = field(default_factory=list)
    undo: list[DueMessage] = field(default_factory=list)
    licences: list[Licence] = field(default_factory=list)
    #: Those whose time to begin is over.
    late: list[Licence] = field(default_factory=list)
    waits_for: list[Licence] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    def start(self) -> None:
        """Register as a new process, with nothing in memory."""
        for memory in (self.read, self.refused, self.undo, self.licences, self.late):
            memory.clear()
        self.waits_for.clear()
        self.answers.clear()
        self.unlock()
        self.id = self.bench.db.run(workers.register, NewWorker(name="machine", slices=4))
        self.lock()

    def lock(self) -> None:
        """Take its lock."""
        workers.hold_lock(self.session, self.id)
        self.session.commit()

    def unlock(self) -> None:
        """Its session is gone, whether or not the process is."""
        self.session.execute(_UNLOCK)
        self.session.commit()


@dataclass
class Text:
    """A STOP or START that a person sent."""

    sid: str
    keyword: str
    recipient: int
    at: datetime
    event_id: int | None
    dated: bool = False
    acknowledged: bool = False
    enforced: bool = False


@dataclass
class World:
    """Everything of one example: people, campaigns and a sender of its own."""

    parts: Parts
    wire: Wire = field(default_factory=Wire)
    campaigns: list[Campaign] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)
    workers: list[Worker] = field(default_factory=list)
    #: Requests on the network that nobody waits for.
    flying: list[Licence] = field(default_factory=list)

    def __post_init__(self) -> None:
        number = next(_numbers)
        self.bench = self.parts.bench
        first, count = 14155600000 + 2 * number, 1 if self.parts.alone else 2
        self.people = tuple(range(first, first + count))
        self.sender = f"+{14155500000 + number}"
        self.began = datetime.now(UTC)
        self.sender_id = self.bench.sender_id(self.sender)
        for _ in range(count):
            worker = Worker(self.bench, self.bench.db.engine.connect())
            worker.start()
            self.workers.append(worker)

    @property
    def steering(self) -> Campaigns:
        """The campaigns, as a user steers them."""
        return Campaigns(db=self.bench.db, tenant_id=TENANT)

    @property
    def inline(self) -> Any:
        """The database for what runs in an event loop elsewhere."""
        return Inline(self.bench.db)

    @property
    def settlement(self) -> Settlement:
        """The settling of answers."""
        parts = self.parts
        return parts.settlement(
            messages=parts.messages, enforcement=parts.enforcement, cache=NoCache()
        )

    @property
    def receipts(self) -> Receipts:
        """The receiving of callbacks."""
        return Receipts(messages=self.parts.messages, enforcement=self.parts.enforcement)

    @property
    def resolver(self) -> Resolver:
        """The asking about doubts."""
        return Resolver(
            db=self.inline,
            messages=self.parts.messages,
            enforcement=self.parts.enforcement,
            cache=NoCache(),
            providers=self.wire,
        )

    @property
    def times(self) -> ProviderTimes:
        """The asking about times."""
        return ProviderTimes(db=self.inline, providers=self.wire, cache=NoCache())

    @property
    def ids(self) -> list[int]:
        """The campaigns' ids."""
        return [one.id for one in self.campaigns]

    @property
    def slices(self) -> list[int]:
        """The slices' ids."""
        found = self.bench.execute("SELECT id FROM slice WHERE campaign_id = ANY (:i)", i=self.ids)
        return [row.id for row in found]

    @property
    def under_way(self) -> list[Licence]:
        """Requests that may still reach the provider."""
        return [*self.flying, *(one for worker in self.workers for one in worker.waits_for)]

    def in_force(self, stop: Text) -> bool:
        """Whether the person has sent, and we have dated, no START after this STOP."""
        return not any(
            one.keyword == "START" and one.dated and one.at > stop.at
            for one in self.texts
            if one.recipient == stop.recipient
        )

    def closed_to(self, recipient: int) -> bool:
        """Whether a STOP of this person is in force, and was enforced or acknowledged."""
        return any(
            one.recipient == recipient and (one.enforced or one.acknowledged) and self.in_force(one)
            for one in self.texts
            if one.keyword == "STOP"
        )

    def time_passes(self) -> None:
        """Longer than the horizon: no request lasts so long, and no licence."""
        for worker in self.workers:
            worker.late += worker.licences
            worker.licences.clear()
        self.bench.execute(_OLDER, long=_LONG, ids=self.ids)

    def close(self) -> None:
        """Give the sessions back."""
        for worker in self.workers:
            worker.unlock()
            worker.session.close()
