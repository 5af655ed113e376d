"""What the tests of the send path share: campaigns with rows, and looks at what became of them."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text

from sender.audience import from_iterable
from sender.campaigns import Campaigns, Plan
from sender.config import LEASE
from sender.domain.consent import Direction, NewConsentEvent, ReasonClass
from sender.domain.inbound import InboundText
from sender.domain.message import Guarded, OutboundText
from sender.domain.outcome import Accepted, Outcome
from sender.domain.provider import HandOff
from sender.enforcement import Enforcement
from sender.inbound import Inbound
from sender.storage import tenants, workers
from sender.storage.database import Database
from sender.storage.enforcement import EnforcementTable
from sender.storage.messages import DueMessage, MessageTable
from sender.storage.workers import NewWorker

ANNA, BERT, CARL, DORA = 14155552001, 14155552002, 14155552003, 14155552004
SENDER, OTHER_SENDER = "+14155550001", "+14155550002"
SERVICE = "MG" + "5" * 32
ACCOUNT, OTHER_ACCOUNT = "AC" + "a" * 32, "AC" + "b" * 32
TENANT, OTHER_TENANT = 1, 2
#: A worker that does not exist: nobody holds its lock.
NOBODY = 999
HORIZON = timedelta(seconds=120)
ENFORCEMENT = Enforcement(table=EnforcementTable(), horizon=HORIZON)

#: How long a condition is polled for; none takes near as long.
BOUND = timedelta(seconds=20)


def crowd(count: int) -> list[int]:
    """That many recipients."""
    return list(range(14155553000, 14155553000 + count))


def new_sid(number: int) -> str:
    """A Message SID that says which."""
    return f"SM{number:032x}"


def eventually(holds: Callable[[], object]) -> None:
    """Poll until a condition holds.

    Raises:
        AssertionError: it did not within the bound.
    """
    give_up_at = time.monotonic() + BOUND.total_seconds()
    while not holds():
        assert time.monotonic() < give_up_at, "the condition never held"
        time.sleep(0.005)


async def soon(holds: Callable[[], object]) -> None:
    """The same as `eventually`, while the event loop goes on."""
    give_up_at = time.monotonic() + BOUND.total_seconds()
    while not holds():
        assert time.monotonic() < give_up_at, "the condition never held"
        await asyncio.sleep(0)


async def end(tasks: set[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended: `wait_for`, in Python 3.11's pools, can swallow one."""
    while tasks:
        for task in tasks:
            task.cancel()
        _, tasks = await asyncio.wait(tasks, timeout=1)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A database with a tenant or two, and short ways to campaigns, opt-outs and rows."""

    url: str
    db: Database
    messages: MessageTable = field(default_factory=MessageTable)

    def execute(self, sql: str, **values: Any) -> Sequence[Row[Any]]:
        """One statement in its own transaction."""
        with self.db.transaction() as tx:
            found = tx.execute(text(sql), values)
            return found.all() if found.returns_rows else ()

    def value(self, sql: str, **values: Any) -> Any:
        """The one value a query finds."""
        return self.execute(sql, **values)[0][0]

    def second_tenant(self) -> None:
        """Enter another tenant with its own account."""
        self.execute(
            "INSERT INTO tenant (id, name, account_sid) VALUES (:id, 'other', :sid)",
            id=OTHER_TENANT,
            sid=OTHER_ACCOUNT,
        )

    def campaign(  # a test names what it is about
        self,
        *recipients: int,
        sender: str = SENDER,
        tenant_id: int = TENANT,
        body: str = "Sale today",
        run: bool = True,
        pace: float = 1_000_000,
        **plan: Any,
    ) -> int:
        """A campaign to these recipients, running unless told otherwise."""
        campaigns = Campaigns(db=self.db, tenant_id=tenant_id)
        campaigns.set_pace(sender, pace)
        audience = from_iterable([f"+{number}" for number in recipients or (ANNA,)])
        created = campaigns.create(
            Plan(name="Spring", sender=sender, body=body, audience=audience, **plan)
        )
        if run:
            campaigns.enqueue(created)
        return created

    def sender_id(self, address: str = SENDER) -> int:
        """A sender's id, entered for the default tenant if it is new."""
        with self.db.transaction() as tx:
            return Campaigns(db=self.db, tenant_id=TENANT).ensure_sender(tx, address).id

    def due(self, campaign_id: int) -> list[DueMessage]:
        """All rows of a campaign as the pump reads them, whether or not they are due."""
        found = self.execute(
            "SELECT id, gen, recipient FROM message WHERE campaign_id = :id ORDER BY id",
            id=campaign_id,
        )
        return [DueMessage(id=r.id, gen=r.gen, recipient=r.recipient, fields={}) for r in found]

    def guard(self, rows: Sequence[DueMessage], *, owner: int = NOBODY) -> list[Guarded]:
        """Guard these rows in a transaction of its own."""
        return self.db.run(self.messages.guard, rows, owner=owner, lease=LEASE)

    def guard_all(self, campaign_id: int, *, owner: int = NOBODY) -> dict[int, Guarded]:
        """Guard every row of a campaign; what passed, by recipient."""
        rows = self.due(campaign_id)
        passed = {one.message_id: one for one in self.guard(rows, owner=owner)}
        return {row.recipient: passed[row.id] for row in rows if row.id in passed}

    def row(self, campaign_id: int, recipient: int = ANNA) -> Row[Any]:
        """One message, all columns."""
        return self.execute(
            "SELECT * FROM message WHERE campaign_id = :id AND recipient = :recipient",
            id=campaign_id,
            recipient=recipient,
        )[0]

    def message(self, message_id: UUID) -> Row[Any]:
        """One message by its id, all columns."""
        return self.execute("SELECT * FROM message WHERE id = :id", id=message_id)[0]

    def states(self, campaign_id: int) -> dict[int, str]:
        """Each recipient's state."""
        found = self.execute(
            "SELECT recipient, state FROM message WHERE campaign_id = :id", id=campaign_id
        )
        return {row.recipient: row.state for row in found}

    def put(self, campaign_id: int, state: str, recipient: int = ANNA, **columns: Any) -> UUID:
        """Put a row into a state, as if its history had led there; its id."""
        values = {"state": state, **columns}
        assignments = ", ".join(f"{name} = :{name}" for name in values)
        return self.value(  # type: ignore[no-any-return]  # the driver knows
            f"UPDATE message SET {assignments} "  # noqa: S608  # a test's own column names
            "WHERE campaign_id = :campaign_id AND recipient = :recipient RETURNING id",
            campaign_id=campaign_id,
            recipient=recipient,
            **values,
        )

    def opt_out(self, recipient: int = ANNA, **facts: Any) -> int:
        """Store an opt-out as a STOP does, not enforced yet; its event."""
        return self.db.run(ENFORCEMENT.opt_out, consent_event(recipient=recipient, **facts))

    def stop(self, recipient: int = ANNA, *, sid: str = "SM-stop", **facts: Any) -> int | None:
        """Receive a STOP; the event to be enforced."""
        return self.text("STOP", recipient, sid=sid, **facts)

    def text(self, body: str, recipient: int = ANNA, *, sid: str, **facts: Any) -> int | None:
        """Receive an inbound message; the event to be enforced, if any."""
        inbound = Inbound(enforcement=ENFORCEMENT)
        wanted = inbound_text(body, recipient, sid=sid, **facts)
        return next(iter(self.db.run(inbound.apply, wanted).event_ids), None)

    def enforced(self, *event_ids: int) -> bool:
        """One round for these opt-outs; whether all are enforced."""
        return not ENFORCEMENT.step(self.db, event_ids)

    def is_suppressed(self, recipient: int = ANNA) -> bool:
        """Whether any suppression names this recipient."""
        return bool(
            self.value("SELECT count(*) FROM suppression WHERE recipient = :r", r=recipient)
        )

    def waiting_for_locks(self) -> int:
        """How many connections to this database wait for a lock."""
        return int(
            self.value(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
        )

    @contextmanager
    def live_worker(self, *, slices: int = 4) -> Iterator[int]:
        """A worker that holds its lock during the block; its id."""
        with self.db.engine.connect() as connection:
            with self.db.transaction() as tx:
                worker_id = workers.register(tx, NewWorker(name="test", slices=slices))
            workers.hold_lock(connection, worker_id)
            connection.commit()
            yield worker_id
            connection.invalidate()  # the session ends, and its lock with it


@contextmanager
def bench_at(url: str) -> Iterator[Bench]:
    """A bench on a migrated database whose default tenant has its account."""
    db = Database.connect(url, pool_size=10)
    with db.transaction() as tx:
        tenants.set_account(tx, TENANT, ACCOUNT)
    try:
        yield Bench(url=url, db=db)
    finally:
        db.close()


def consent_event(**facts: Any) -> NewConsentEvent:
    """A STOP to all of the default tenant's senders, a moment ago, unless told otherwise."""
    plain: dict[str, Any] = {
        "tenant_id": TENANT,
        "recipient": ANNA,
        "scope": 0,
        "direction": Direction.OPT_OUT,
        "reason": ReasonClass.STOP,
        "source": "test",
        "source_id": f"{facts}",
        "provider_at": datetime.now(UTC),
    }
    return NewConsentEvent(**plain | facts)


def inbound_text(body: str, recipient: int, *, sid: str, **facts: Any) -> InboundText:
    """A text to our sender, as its webhook tells of it."""
    plain: dict[str, Any] = {
        "sid": sid,
        "account_sid": ACCOUNT,
        "from_": f"+{recipient}",
        "to": SENDER,
        "service_sid": None,
        "body": body,
        "opt_out_type": None,
        "num_media": 0,
        "raw": {"MessageSid": sid, "Body": body},
    }
    return InboundText(**plain | facts)


def hand_off(outcome: Outcome, *, began_at: datetime | None = None) -> HandOff:
    """One create request that ended like this."""
    return HandOff(outcome=outcome, began_at=began_at or datetime.now(UTC), clock_offset=None)


def accepted(number: int = 1) -> Accepted:
    """The provider took it."""
    return Accepted(sid=new_sid(number), provider_status="queued")


@dataclass(kw_only=True)
class FakeGateway:
    """Twilio at the wire's end: keeps what was sent and answers as told."""

    answer: Callable[[OutboundText], Outcome] = field(
        default=lambda text: Accepted(sid=f"SM{text.message_id.hex}", provider_status="queued")
    )
    #: Told of each request as it begins.
    begun: Callable[[OutboundText], object] = field(default=lambda _: None)
    #: How long an answer takes.
    latency: timedelta = timedelta()
    sent: list[OutboundText] = field(default_factory=list)
    #: The deadline of each request, and when it had to begin, by the send clock.
    limits: list[tuple[float, float]] = field(default_factory=list)

    async def of(self, _tenant_id: int) -> "FakeGateway":
        """Every tenant's gateway."""
        return self

    async def send(self, text: OutboundText, *, deadline: float, connect_by: float) -> HandOff:
        """Keep the request and answer it."""
        self.begun(text)
        self.sent.append(text)
        self.limits.append((deadline, connect_by))
        await asyncio.sleep(self.latency.total_seconds())
        return hand_off(self.answer(text))

    @property
    def recipients(self) -> list[int]:
        """Whom it was asked to text, in order."""
        return [text.recipient for text in self.sent]
