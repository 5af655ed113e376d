"""Year three is as fast as day one: no statement on the way reads what it does not need.

A rig sends, stops, hears, sweeps and tells among a few hundred thousand rows of three months, and
every statement that runs is judged by its plan.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sender.campaigns import Campaigns
from sender.chasing import Chaser
from sender.domain.message import OutboundText, State
from sender.domain.outcome import Accepted, Ambiguous, OptedOut, Outcome, Throttled
from sender.domain.provider import MessageRecord
from sender.doubting import Doubts
from sender.erasing import Erasures
from sender.gateway import NOT_PASSED_ON, callback_verdict, receipt_from_form
from sender.high_water import HighWater
from sender.importing import Imports
from sender.inbound import Inbound
from sender.listfile import open_list
from sender.months import Months
from sender.optouts import Lift, OptOuts
from sender.recalling import Recaller
from sender.receipts import Receipts
from sender.recovery import Kicker, Resolver, Sweeper
from sender.restoring import Recovery
from sender.storage import consent_log, lag, message_facts, scrubs, waiting, workers
from sender.storage.database import AsyncDatabase
from sender.storage.messages import MessageTable
from sender.storage.settling import Move, Way
from sender.storage.slices import SliceTable
from sender.tracing import Tracing
from tests.bench import ACCOUNT, ENFORCEMENT, HORIZON, SENDER, TENANT, Bench, crowd, new_sid
from tests.plans import Plan, Recorder
from tests.pump_rig import Rig

#: What grows with the messages or the opt-outs; a sequential scan of it gets slower every month.
GROWING = {"message", "suppression", "receipt", "slice", "consent_event", "enforcement", "inbound"}
#: Rows that a statement may read in vain: more is a scan by another name.
IN_VAIN = 3_000
#: What is done for each message, each callback or each STOP.
AT_EVERY_MESSAGE = {"sending", "hearing", "stopping"}
#: What may ask for all of a person's messages there: whether they were ever texted before, at a
#: 21610; and whose message a SID is, for events and logs that name nothing else.
ACROSS_MONTHS = (
    "m.state IN ('sent', 'delivered', 'undelivered'))",
    "m.recipient = told.recipient AND m.sid = told.sid",
    "m.recipient = %(recipient)s AND m.sid = %(sid)s",
)
#: Of the statements, some that must have been among them: the guard, a settlement, one of what was
#: heard of before, a withdrawal.
HEARD_OF = (
    "state = 'sending', reason = ''",
    "SET state = CAST(",
    "moves.yields",
    "withdrawn.reason",
    "INSERT INTO receipt",
)
PEOPLE = crowd(60)
QUIET, BLOCKED, BUSY, LOST = PEOPLE[0], PEOPLE[1], PEOPLE[2], PEOPLE[3]

#: Two thousand small campaigns of two months that are over, and a large one of this month; the
#: first people of each are those of the rig.
FILL = """
CREATE FUNCTION pg_temp.fill(created timestamptz, campaigns integer, people integer)
RETURNS void LANGUAGE sql AS $$
    WITH c AS (
        INSERT INTO campaign (tenant_id, sender_id, name, body, fingerprint, validity, time_limit,
                              created_at, recipients, state, started_at, deadline_at, completed_at)
        SELECT 1, 1, 'Past', 'Sale', '', '10 min', '1 day', created + n * interval '1 second',
               people, 'COMPLETED', created, created + interval '1 day', created
        FROM generate_series(1, campaigns) AS n RETURNING id, created_at
    ),
    p AS (
        SELECT c.id, CAST(replace(CAST(message_floor(c.created_at) AS text), '-', '') AS text) AS t
        FROM c
    ),
    s AS (
        INSERT INTO slice (campaign_id, first_id, last_id, started_at, done_at, receipts_due)
        SELECT id, CAST(left(t, 12) || '7' || lpad(to_hex(id & 4095), 3, '0')
                        || '80' || lpad(to_hex(n * 500), 14, '0') AS uuid),
                   CAST(left(t, 12) || '7' || lpad(to_hex(id & 4095), 3, '0')
                        || '80' || lpad(to_hex(n * 500 + 499), 14, '0') AS uuid),
               created, created, false
        FROM p, generate_series(0, (people - 1) / 500) AS n
    ),
    m AS (
        INSERT INTO message (id, campaign_id, recipient, line, state, reason, gen, guarded_at, sid,
                             provider_status, changed_at)
        SELECT CAST(left(t, 12) || '7' || lpad(to_hex(id & 4095), 3, '0')
                    || '80' || lpad(to_hex(n), 14, '0') AS uuid),
               id, 14155553000 + mod(id * 37 + n, 40000), n, 'delivered', 'reported', 1, created,
               'SM' || id || '-' || n, 'delivered', created
        FROM p, generate_series(0, people - 1) AS n RETURNING id, sid
    )
    INSERT INTO receipt (message_id, sid, status, received_at)
    SELECT id, sid, 'delivered', created FROM m WHERE people > 500
$$
"""
OPT_OUTS = """
WITH e AS (
    INSERT INTO consent_event (tenant_id, recipient, scope, direction, reason, source, source_id,
                               provider_at)
    SELECT 1, 14160000000 + n, 0, 'opt_out', 'stop', 'inbound', 'SM' || n, now()
    FROM generate_series(1, 100000) AS n RETURNING id, recipient
),
f AS (
    INSERT INTO enforcement (event_id, tenant_id, recipient, scope, enforced_at, recall_due)
    SELECT id, 1, recipient, 0, now(), false FROM e
),
i AS (
    INSERT INTO inbound (sid, tenant_id, sender_id, recipient, keyword, body, raw, provider_at)
    SELECT 'SM' || id, 1, 1, recipient, 'STOP', 'STOP', '{}', now() FROM e
)
INSERT INTO suppression SELECT recipient, 1, 0, 'stop', id, now() FROM e
"""


def fill(bench: Bench) -> None:
    """Three months of the past, and what Postgres knows of them."""
    now = datetime.now(UTC)
    assert bench.sender_id() == 1
    earlier = [now - timedelta(days=31 * ago) for ago in (2, 1)]
    with bench.db.transaction() as tx:
        for at in earlier:
            tx.exec_driver_sql("SELECT make_message_month(%(at)s)", {"at": at})
        tx.exec_driver_sql(FILL)
        for at, campaigns, people in (*((at, 800, 100) for at in earlier), (now, 1, 40_000)):
            values = {"at": at, "campaigns": campaigns, "people": people}
            tx.exec_driver_sql("SELECT pg_temp.fill(%(at)s, %(campaigns)s, %(people)s)", values)
        tx.exec_driver_sql(OPT_OUTS)
    # As autovacuum does it, which never looks at a partitioned table as a whole.
    tables = bench.execute(
        "SELECT relname FROM pg_class WHERE relkind = 'r' "
        "AND relnamespace = CAST('public' AS regnamespace)"
    )
    with bench.db.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql(f"VACUUM (ANALYZE) {', '.join(row.relname for row in tables)}")


@dataclass
class Provider:
    """Twilio's log, where every message was delivered."""

    async def of(self, _tenant_id: int) -> "Provider":
        """Every tenant's."""
        return self

    async def list_to(self, recipient: int, since: datetime) -> list[MessageRecord]:
        """One text to them."""
        return [self._record(f"+{recipient}", new_sid(recipient), since + timedelta(seconds=6))]

    async def fetch(self, sid: str) -> MessageRecord | None:
        """It was delivered."""
        return self._record(f"+{LOST}", sid, datetime.now(UTC))

    async def cancel(self, _sid: str) -> bool:
        """In time."""
        return True

    async def pages_since(self, since: datetime) -> AsyncIterator[list[MessageRecord]]:
        """A text to everybody."""
        yield [self._record(f"+{one}", new_sid(one), since) for one in PEOPLE]

    def _record(self, to: str, sid: str, at: datetime) -> MessageRecord:
        return MessageRecord(
            sid=sid,
            account_sid=ACCOUNT,
            direction="outbound-api",
            from_=SENDER,
            to=to,
            body="Sale today",
            status="delivered",
            error_code=None,
            date_created=at,
            service_sid=None,
            num_media=0,
            verdict=callback_verdict("delivered", None, toll_free=False),
        )


class NoCache:
    """A Redis set that nobody reads."""

    async def add(self, entries: object) -> None:
        """Not kept."""


class NoPlace:
    """Knows nothing of the database."""

    async def read(self, _: object) -> None:
        """Nothing."""

    async def knows_another(self, _: object) -> bool:
        """Nothing."""
        return False

    async def raise_to(self, mark: object) -> object:
        """Not kept."""
        return mark


@dataclass(frozen=True, kw_only=True)
class Life:
    """A day's work, each part by name."""

    rig: Rig
    db: AsyncDatabase
    recorder: Recorder
    list_file: Path

    @property
    def bench(self) -> Bench:
        """Ways to rows."""
        return self.rig.bench

    async def live(self) -> None:
        """All of it."""
        await self.send()
        await self.hear()
        self.stop()
        await self.keep_in_order()
        await self.recover()
        self.tell()
        self.steer()

    async def send(self) -> None:
        """A campaign's messages meet every kind of answer, and two are suppressed."""
        self.rig.gateway.answer = self._answer
        with self.recorder.during("sending"):
            campaign = self.bench.campaign(*PEOPLE)
            self.bench.opt_out(QUIET)
        self.rig.warm(QUIET)
        found = self.bench.execute("SELECT id FROM slice WHERE campaign_id = :id", id=campaign)
        for _ in range(2):
            self.bench.execute(
                "UPDATE slice SET due_at = NULL WHERE campaign_id = :id", id=campaign
            )
            with self.recorder.during("sending"):
                for row in found:
                    await self.rig.pump.work(row.id)
        with self.recorder.during("sending"):
            with self.bench.db.transaction() as tx:
                SliceTable().others_wait(tx, campaign_id=campaign, sender_id=1)
            Kicker(db=self.bench.db, slices=SliceTable(), publish=lambda _: None).kick()
        assert len(set(self.bench.states(campaign).values())) >= 4

    def _answer(self, text: OutboundText) -> Outcome:
        match text.recipient:
            case one if one == BLOCKED:
                return OptedOut(code=21610)
            case one if one == BUSY:
                return Throttled(code=20429, retry_after=None, of_account=False)
            case one if one == LOST:
                return Ambiguous(why="read_timeout")
        return Accepted(sid=new_sid(text.recipient), provider_status="queued")

    async def hear(self) -> None:
        """Status callbacks of all kinds."""
        found = self.bench.execute(
            "SELECT id, recipient FROM message WHERE state = 'sent' AND campaign_id = "
            "(SELECT max(id) FROM campaign)"
        )
        batch = [
            receipt_from_form(
                row.id,
                list(
                    {
                        "AccountSid": ACCOUNT,
                        "MessageSid": new_sid(row.recipient),
                        "MessageStatus": "failed" if number < 2 else "delivered",
                        "To": f"+{row.recipient}",
                        "From": SENDER,
                        "ErrorCode": {0: "21610", 1: "30005"}.get(number, ""),
                    }.items()
                ),
            )
            for number, row in enumerate(found[:20])
        ]
        receipts = Receipts(messages=self.bench.messages, enforcement=ENFORCEMENT)
        accepted = Way(state=State.SENT, reason="accepted")
        late = Move(message_id=found[0].id, gen=1, way=accepted, sid=new_sid(LOST))
        with self.recorder.during("hearing"):
            await receipts.receive(self.db, batch)
            await self.db.run(self.bench.messages.settle, [late])
            await self.db.run(message_facts.with_sids, [(LOST, new_sid(LOST))])
            await self.db.run(scrubs.owner, tenant_id=TENANT, recipient=LOST, sid=new_sid(LOST))

    def stop(self) -> None:
        """STOPs and a START, texted, typed and imported, of people with messages on their way."""
        campaign = self.bench.campaign(*PEOPLE)
        self.bench.guard_all(campaign)
        self.bench.execute(
            "UPDATE message SET state = 'pending' WHERE campaign_id = :id AND recipient % 2 = 0",
            id=campaign,
        )
        opt_outs = OptOuts(db=self.bench.db, tenant_id=TENANT, enforcement=ENFORCEMENT)
        imports = Imports(db=self.bench.db, tenant_id=TENANT, enforcement=ENFORCEMENT)
        with self.recorder.during("stopping"):
            for who in PEOPLE[10:14]:
                event = self.bench.stop(who, sid=f"SM-{who}")
                assert event is not None
                self.bench.enforced(event)
            self.bench.text("START", PEOPLE[10], sid="SM-start")
            opt_outs.add(f"+{PEOPLE[14]}", author="ann", wait=timedelta())
            lift = Lift(author="ann", reason="asked", evidence="letter", override=True)
            opt_outs.lift(f"+{PEOPLE[14]}", lift)
            listed = open_list(self.list_file)
            imports.run(listed, author="ann", wait=timedelta())
            self.bench.db.run(lag.waiting)
            self.bench.db.run(waiting.look)
            self.bench.db.run(consent_log.running, 1)

    async def keep_in_order(self) -> None:
        """Leases run out, a worker is lost, doubts and missed callbacks are asked for."""
        provider, cache = Provider(), NoCache()
        receipts = Receipts(messages=self.bench.messages, enforcement=ENFORCEMENT)
        self.bench.campaign(*PEOPLE)
        with self.bench.db.transaction() as tx:
            lost = workers.register(tx, workers.NewWorker(name="lost", slices=1))
        self.bench.execute("UPDATE slice SET started_at = now() WHERE done_at IS NULL")
        self.bench.execute(
            "UPDATE message SET owner = :lost, lease_until = now() WHERE state = 'sending'",
            lost=lost,
        )
        with self.recorder.during("sweeping"):
            Sweeper(db=self.bench.db).sweep()
            await Months(db=self.db).make()
        self.bench.execute("UPDATE doubt SET next_check = now()")
        with self.recorder.during("resolving"):
            await Resolver(
                db=self.db,
                messages=self.bench.messages,
                enforcement=ENFORCEMENT,
                cache=cache,
                providers=provider,
            ).resolve()
            await Recaller(
                db=self.db, messages=self.bench.messages, providers=provider, kept=NOT_PASSED_ON
            ).recall()
        self.bench.execute(
            "UPDATE message SET guarded_at = guarded_at - interval '4 hours' "
            "WHERE state = 'sent' AND sid IS NOT NULL"
        )
        self.bench.execute(
            "UPDATE slice SET started_at = now() - interval '5 hours' WHERE receipts_due"
        )
        with self.recorder.during("chasing"):
            await Chaser(
                db=self.db,
                providers=provider,
                receipts=receipts,
                cache=cache,
                patience=timedelta(hours=3),
                per_minute=100,
                kept=NOT_PASSED_ON,
            ).chase()

    async def recover(self) -> None:
        """A restored database."""
        recovery = Recovery(
            db=self.db,
            water=HighWater(places=[NoPlace()]),  # type: ignore[list-item]
            messages=MessageTable(),
            enforcement=replace(ENFORCEMENT, horizon=timedelta()),
            inbound=Inbound(enforcement=ENFORCEMENT),
            cache=NoCache(),
            providers=Provider(),
            patience=timedelta(seconds=20),
            say=lambda _: None,
        )
        since = datetime.now(UTC) - timedelta(hours=1)
        with self.recorder.during("recovering"):
            await recovery.plan(since=since)
            await recovery.recover(author="ann", since=since)

    def tell(self) -> None:
        """Whoever asks how far a campaign is, and why."""
        db = self.bench.db
        campaign = self.bench.value("SELECT max(id) FROM campaign")
        campaigns = Campaigns(db=db, tenant_id=TENANT)
        doubts = Doubts(db=db, tenant_id=TENANT, horizon=HORIZON)
        tracing = Tracing(db=db, tenant_id=TENANT)
        message = self.bench.row(campaign, LOST).id
        with self.recorder.during("telling"):
            campaigns.progress(campaign)
            campaigns.obstacles(campaign)
            campaigns.newest(limit=20)
            list(campaigns.results(campaign))
            tracing.report(campaign)
            tracing.trace(f"+{BLOCKED}")
            for one in tracing.incidents():
                tracing.incident(one.id)
            doubts.waiting()
            doubts.waiting(campaign=campaign)
            doubts.show(message)

    def steer(self) -> None:
        """A person decides, forgets and cancels."""
        db = self.bench.db
        campaign = self.bench.campaign(*PEOPLE[20:])
        doubted = self.bench.guard_all(campaign)[PEOPLE[30]].message_id
        self.bench.put(
            campaign, "in_doubt", PEOPLE[30], changed_at=datetime(2025, 1, 1, tzinfo=UTC)
        )
        doubts = Doubts(db=db, tenant_id=TENANT, horizon=HORIZON)
        with self.recorder.during("steering"):
            doubts.resolve(doubted, sent=False, author="ann", evidence="Twilio's console")
            Erasures(db=db, tenant_id=TENANT).person(f"+{PEOPLE[30]}", author="ann")
            campaigns = Campaigns(db=db, tenant_id=TENANT)
            campaigns.pause(campaign)
            campaigns.resume(campaign)
            campaigns.cancel(campaign)


@pytest.fixture
async def plans(rig: Rig, loop_db: AsyncDatabase, tmp_path: Path) -> list[Plan]:
    """What ran in a day among the rows of three months."""
    fill(rig.bench)
    listed = tmp_path / "list.csv"
    listed.write_text("phone\n" + "".join(f"+{who}\n" for who in PEOPLE[40:50]))
    recorder = Recorder()
    await Life(rig=rig, db=loop_db, recorder=recorder, list_file=listed).live()
    return recorder.plans


def months(bench: Bench) -> set[str]:
    """The months that messages lie in."""
    found = bench.execute("SELECT name FROM message_partition WHERE NOT is_default ORDER BY name")
    return {row.name for row in found if bench.value(f"SELECT count(*) FROM {row.name}")}  # noqa: S608


async def test_every_plan(rig: Rig, plans: list[Plan]) -> None:
    """Nothing that grows is read from end to end, and no month but those that are asked for."""
    nothing_is_read_from_end_to_end(rig.bench, plans)
    past_months_are_asked_for_people(rig.bench, plans)
    nothing_frequent_plans_for_every_month(rig.bench, plans)
    texts = "".join(plan.statement for plan in plans)
    assert [words for words in HEARD_OF if words not in texts] == []


def nothing_is_read_from_end_to_end(bench: Bench, plans: Sequence[Plan]) -> None:
    """No sequential scan, and no index that leads past thousands of rows to find a few."""
    large = (months(bench) | GROWING) - {"message"}
    wrong = [
        plan
        for plan in plans
        for step in plan.touched()
        if step.get("Relation Name") in large
        and (step["Node Type"] == "Seq Scan" or in_vain(step) > IN_VAIN)
    ]
    assert not wrong, told(wrong)


def past_months_are_asked_for_people(bench: Bench, plans: Sequence[Plan]) -> None:
    """They are entered by their index on the recipient only."""
    past = {f"{name}_pkey" for name in months(bench) - {f"message_{datetime.now(UTC):%Y_%m}"}}
    assert len(past) == 2
    wrong = [plan for plan in plans for step in plan.touched() if step.get("Index Name") in past]
    assert not wrong, told(wrong)


def nothing_frequent_plans_for_every_month(bench: Bench, plans: Sequence[Plan]) -> None:
    """What is done for each message, callback and STOP never hears of another month."""
    every = {row.name for row in bench.execute("SELECT name FROM message_partition")}
    wrong = [
        plan
        for plan in plans
        if plan.during in AT_EVERY_MESSAGE
        and sum(plan.reads(name) for name in every) > 1
        and not any(words in plan.statement for words in ACROSS_MONTHS)
    ]
    assert not wrong, told(wrong)


def in_vain(step: Mapping[str, Any]) -> float:
    """How many rows a step read that it did not want."""
    return float(step.get("Rows Removed by Filter", 0) * step["Actual Loops"])


def told(plans: Sequence[Plan]) -> str:
    """What there is to mend."""
    return "\n".join(dict.fromkeys(str(plan) for plan in plans))
