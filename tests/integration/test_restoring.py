"""`sender recover`: what a restored database has lost is settled before anything is sent again."""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from sender.campaigns import Campaigns
from sender.domain.consent import PLATFORM, Suppression
from sender.domain.high_water import Mark
from sender.domain.provider import MessageRecord
from sender.errors import (
    ConfigurationError,
    HoldRefused,
    MarkUnavailable,
    ProviderRefused,
    ProviderUnavailable,
    RecoveryRefused,
    RecoveryUnfinished,
    SenderError,
)
from sender.gateway.codes import callback_verdict
from sender.high_water import HighWater, Place
from sender.holding import Holds
from sender.inbound import Inbound
from sender.mark_file import MarkFile
from sender.recovery import Sweeper
from sender.restoring import SLACK, Recovery, RecoveryReport
from sender.storage import doubts, high_water, holds, restoring
from sender.storage.database import AsyncDatabase
from sender.storage.holds import Hold, Level
from sender.storage.messages import MessageTable
from tests.bench import (
    ACCOUNT,
    ANNA,
    BERT,
    CARL,
    DORA,
    ENFORCEMENT,
    OTHER_ACCOUNT,
    OTHER_SENDER,
    OTHER_TENANT,
    SENDER,
    TENANT,
    Bench,
    new_sid,
)


@dataclass
class Log:
    """Twilio's logs of all tenants, or their absence."""

    pages: dict[int, list[list[MessageRecord]]] = field(default_factory=dict)
    away: bool = False
    #: Tenants who cannot sign in, and why.
    locked_out: dict[int, SenderError] = field(default_factory=dict)
    asked: list[tuple[int, datetime]] = field(default_factory=list)

    async def of(self, tenant_id: int) -> "LogOf":
        """A tenant's log."""
        why = self.locked_out.get(tenant_id)
        if isinstance(why, ConfigurationError):
            raise why
        return LogOf(self, tenant_id)


@dataclass
class LogOf:
    """One tenant's."""

    log: Log
    tenant_id: int

    async def pages_since(self, since: datetime) -> AsyncIterator[list[MessageRecord]]:
        """What it holds."""
        self.log.asked.append((self.tenant_id, since))
        for page in self.log.pages.get(self.tenant_id, []):
            yield page
        if why := self.log.locked_out.get(self.tenant_id):
            raise why
        if self.log.away:
            raise ProviderUnavailable("Twilio is away")


@dataclass
class Cache:
    """The Redis set, as far as it was written."""

    added: list[Suppression] = field(default_factory=list)

    async def add(self, entries: Iterable[Suppression]) -> None:
        """Kept."""
        self.added += entries


@dataclass
class Kept:
    """Where a mark is kept outside of Postgres."""

    mark: Mark | None = None
    away: bool = False

    async def read(self, _: object) -> Mark | None:
        """The mark."""
        return self.mark

    async def knows_another(self, identity: UUID) -> bool:
        """Whether it is another database's."""
        return self.mark is not None and self.mark.identity != identity

    async def raise_to(self, mark: Mark) -> Mark:
        """Keep it."""
        if self.away:
            raise MarkUnavailable("the place is away")
        self.mark = mark
        return mark


def record(number: int, **facts: Any) -> MessageRecord:
    """A text of ours to Anna in the log, a minute ago."""
    plain = {
        "sid": new_sid(number),
        "account_sid": ACCOUNT,
        "direction": "outbound-api",
        "from_": SENDER,
        "to": f"+{ANNA}",
        "body": "Sale today",
        "status": "delivered",
        "error_code": None,
        "date_created": datetime.now(UTC) - timedelta(minutes=1),
        "service_sid": None,
        "num_media": 0,
    } | facts
    verdict = callback_verdict(plain["status"], plain["error_code"], toll_free=False)
    return MessageRecord(**plain, verdict=verdict)


def heard(number: int, body: str, recipient: int = ANNA, **facts: Any) -> MessageRecord:
    """A text of Anna's to us."""
    address = {"from_": f"+{recipient}", "to": SENDER}
    told = {"direction": "inbound", "body": body, "status": "received"}
    return record(number, **address | told | facts)


def _in_force(bench: Bench) -> list[tuple[str, int, str]]:
    """The holds: on what, why."""
    found = bench.execute("SELECT level, subject, reason FROM hold WHERE released_at IS NULL")
    return [tuple(row) for row in found]


class TestRecovery:
    """A database that was restored from yesterday's backup."""

    @pytest.fixture
    def log(self) -> Log:
        """Twilio's log."""
        return Log()

    @pytest.fixture
    def place(self, bench: Bench) -> Kept:
        """What is known elsewhere: more than the database shows, which a restore set back."""
        known = bench.db.run(high_water.read).mark
        bench.execute("UPDATE high_water SET ticked_at = now() - interval '1 day'")
        return Kept(replace(known, seq=known.seq + 86_400))

    @pytest.fixture
    def cache(self) -> Cache:
        """The Redis set."""
        return Cache()

    @pytest.fixture
    def recovery(self, loop_db: AsyncDatabase, place: Place, log: Log, cache: Cache) -> Recovery:
        """What is tested; doubts hold up no STOP here."""
        return Recovery(
            db=loop_db,
            water=HighWater(places=[place]),
            messages=MessageTable(),
            enforcement=replace(ENFORCEMENT, horizon=timedelta()),
            inbound=Inbound(enforcement=ENFORCEMENT),
            cache=cache,
            providers=log,
            patience=timedelta(seconds=20),
            say=lambda _: None,
        )

    async def recover(self, recovery: Recovery) -> RecoveryReport:
        """Do it."""
        return await recovery.recover(author="ann")

    async def test_a_dry_run_changes_nothing(self, bench: Bench, recovery: Recovery) -> None:
        """It tells the lost time, and the campaigns whose messages would be in doubt."""
        campaign = bench.campaign(ANNA, BERT)
        plan = await recovery.plan()
        assert "older" in plan.why
        assert timedelta(days=1) < datetime.now(UTC) - plan.since < timedelta(days=1, minutes=10)
        assert [(one.id, one.messages) for one in plan.campaigns] == [(campaign, 2)]
        assert (plan.messages, plan.tenants) == (2, ["default"])
        assert set(bench.states(campaign).values()) == {"pending"}
        assert bench.value("SELECT count(*) FROM hold") == 0

    @pytest.mark.parametrize("state", ["DRAFT", "SCHEDULED", "RUNNING", "PAUSED", "CANCELED"])
    async def test_what_may_have_been_sent_is_in_doubt(
        self, bench: Bench, recovery: Recovery, state: str
    ) -> None:
        """Whatever state its campaign was in: in the lost time it may have been sending."""
        campaign = bench.campaign(ANNA, BERT, CARL)
        bench.put(campaign, "sending", BERT)
        bench.put(campaign, "sent", CARL, sid=new_sid(9))
        bench.execute("UPDATE campaign SET state = :state, start_at = now()", state=state)
        report = await self.recover(recovery)
        assert bench.states(campaign) == {ANNA: "in_doubt", BERT: "in_doubt", CARL: "sent"}
        assert bench.row(campaign).reason == "restored"
        assert (report.doubted, report.left_in_doubt) == (2, 2)

    async def test_it_lets_go_at_the_end(
        self, bench: Bench, recovery: Recovery, place: Kept
    ) -> None:
        """The mark is above all that was known, the hold is lifted, and other holds stay."""
        bench.campaign(ANNA)
        bench.db.run(holds.place, Hold(level=Level.ALL, subject=0, reason="mine", detail=""))
        was = place.mark
        await self.recover(recovery)
        assert was is not None
        assert place.mark is not None
        assert place.mark.height > was.height
        assert bench.db.run(high_water.read).mark.height == place.mark.height
        rows = bench.execute("SELECT reason, released_by FROM hold ORDER BY reason")
        assert [tuple(row) for row in rows] == [("database_older", "ann"), ("mine", None)]
        with pytest.raises(RecoveryRefused, match="not older"):
            await recovery.plan()

    async def test_nobody_is_sent_it_afterwards(self, bench: Bench, recovery: Recovery) -> None:
        """What is in doubt never passes the guard; its campaign ends, and new ones are sent."""
        campaign = bench.campaign(ANNA)
        await self.recover(recovery)
        assert bench.guard_all(campaign) == {}
        assert set(bench.guard_all(bench.campaign(ANNA))) == {ANNA}

    async def test_twilios_log_proves_what_was_sent(
        self, bench: Bench, recovery: Recovery, log: Log
    ) -> None:
        """Messages found there have its state and SID; what is not found stays in doubt."""
        campaign = bench.campaign(ANNA, BERT, CARL, DORA)
        bench.put(campaign, "sent", DORA, sid=new_sid(4))
        log.pages[TENANT] = [
            [record(1), record(2, to=f"+{BERT}", status="undelivered", error_code=30003)],
            [record(4, to=f"+{DORA}"), record(5, to=f"+{DORA}", body="Lost campaign")],
        ]
        report = await self.recover(recovery)
        assert bench.states(campaign) == {
            ANNA: "delivered",
            BERT: "undelivered",
            CARL: "in_doubt",
            DORA: "delivered",
        }
        row = bench.row(campaign)
        assert (row.sid, row.reason) == (new_sid(1), "found_at_provider")
        assert report.found == {"delivered": 2, "undelivered": 1}
        assert (report.unexplained, report.left_in_doubt) == (1, 1)

    async def test_a_sid_is_taken_once(self, bench: Bench, recovery: Recovery, log: Log) -> None:
        """One record proves one message, also where two campaigns had the same text."""
        first, second = bench.campaign(ANNA), bench.campaign(ANNA)
        log.pages[TENANT] = [[record(1)]]
        await self.recover(recovery)
        assert sorted([bench.row(first).state, bench.row(second).state]) == [
            "delivered",
            "in_doubt",
        ]

    async def test_a_stop_of_the_lost_time(
        self, bench: Bench, recovery: Recovery, log: Log, cache: Cache
    ) -> None:
        """It is stored and enforced again before anything is sent, and Redis knows it."""
        log.pages[TENANT] = [[heard(1, "STOP"), heard(2, "Thanks", BERT)]]
        report = await self.recover(recovery)
        assert bench.is_suppressed(ANNA)
        assert bench.value("SELECT count(*) FROM enforcement WHERE enforced_at IS NOT NULL") == 1
        assert bench.guard_all(bench.campaign(ANNA)) == {}
        assert {one.recipient for one in cache.added} == {ANNA}
        assert (report.inbound, report.opt_outs) == (2, 1)

    async def test_a_row_that_was_withdrawn_meanwhile(
        self, bench: Bench, recovery: Recovery, log: Log
    ) -> None:
        """A STOP during the hold suppresses a row that had been sent: its SID tells."""
        campaign = bench.campaign(ANNA)
        event = bench.stop(ANNA, sid=new_sid(7))
        assert event is not None
        assert bench.enforced(event)
        log.pages[TENANT] = [[record(1)]]
        report = await self.recover(recovery)
        row = bench.row(campaign)
        assert (row.state, row.sid, row.provider_status) == ("suppressed", new_sid(1), "delivered")
        assert report.unexplained == 0

    async def test_what_people_said_is_applied_in_its_order(
        self, bench: Bench, recovery: Recovery, log: Log
    ) -> None:
        """Their YES opts in again only after their STOP, in whatever order the log tells them."""
        now = datetime.now(UTC)
        log.pages[TENANT] = [
            [heard(2, "YES", date_created=now - timedelta(minutes=1))],
            [heard(1, "STOP", date_created=now - timedelta(minutes=2))],
        ]
        await self.recover(recovery)
        found = bench.execute("SELECT sid, keyword FROM inbound ORDER BY sid")
        assert [tuple(row) for row in found] == [(new_sid(1), "STOP"), (new_sid(2), "START")]

    async def test_a_21610_of_the_lost_time(
        self, bench: Bench, recovery: Recovery, log: Log
    ) -> None:
        """It suppresses as one in a callback does, with its incident."""
        campaign = bench.campaign(ANNA)
        log.pages[TENANT] = [[record(1, status="failed", error_code=21610)]]
        await self.recover(recovery)
        row = bench.row(campaign)
        assert (row.state, row.reason, row.provider_code) == ("suppressed", "provider_block", 21610)
        assert bench.value("SELECT door FROM incident") == "callback"
        assert bench.is_suppressed(ANNA)

    async def test_a_21610_of_a_lost_campaign(
        self, bench: Bench, recovery: Recovery, log: Log
    ) -> None:
        """Without a message of ours it suppresses all the same, once."""
        sender = bench.sender_id(SENDER)
        log.pages[TENANT] = [[record(1, status="failed", error_code=21610)]] * 2
        await self.recover(recovery)
        found = bench.execute("SELECT scope, reason FROM suppression ORDER BY scope")
        assert [tuple(row) for row in found] == [(0, "provider_block"), (sender, "provider_block")]
        assert bench.value("SELECT count(*) FROM consent_event") == 2

    async def test_each_tenants_log(self, bench: Bench, recovery: Recovery, log: Log) -> None:
        """A tenant's records are its own's: another's message to the same person stays in doubt."""
        bench.second_tenant()
        ours = bench.campaign(ANNA)
        theirs = bench.campaign(ANNA, sender=OTHER_SENDER, tenant_id=OTHER_TENANT)
        log.pages[OTHER_TENANT] = [
            [record(1, from_=OTHER_SENDER), heard(2, "STOP", account_sid=OTHER_ACCOUNT)]
        ]
        await self.recover(recovery)
        assert (bench.row(ours).state, bench.row(theirs).state) == ("in_doubt", "delivered")
        assert bench.value("SELECT tenant_id FROM suppression") == OTHER_TENANT
        assert [tenant for tenant, _ in log.asked] == [TENANT, OTHER_TENANT]

    async def test_twilio_away(
        self, bench: Bench, recovery: Recovery, log: Log, place: Kept
    ) -> None:
        """Everything stays held; run again, it goes on where it was."""
        campaign = bench.campaign(ANNA, BERT)
        log.pages[TENANT], log.away = [[record(1)]], True
        was = place.mark
        with pytest.raises(RecoveryUnfinished, match="Twilio is away"):
            await self.recover(recovery)
        assert bench.states(campaign) == {ANNA: "delivered", BERT: "in_doubt"}
        assert bench.value("SELECT count(*) FROM hold WHERE released_at IS NULL") == 1
        assert place.mark == was
        log.away = False
        report = await self.recover(recovery)
        assert (report.doubted, report.left_in_doubt) == (0, 1)
        assert bench.value("SELECT count(*) FROM hold WHERE released_at IS NULL") == 0

    @pytest.mark.parametrize(
        "why", [ConfigurationError("no credentials"), ProviderRefused("code 20003")], ids=repr
    )
    async def test_a_tenant_that_cannot_sign_in(
        self, bench: Bench, recovery: Recovery, log: Log, why: SenderError
    ) -> None:
        """It alone stays held, and keeps nobody waiting; once its log is read, it is let go."""
        bench.second_tenant()
        theirs = bench.campaign(ANNA, sender=OTHER_SENDER, tenant_id=OTHER_TENANT)
        log.pages[OTHER_TENANT] = [[heard(2, "STOP", account_sid=OTHER_ACCOUNT, to=OTHER_SENDER)]]
        log.locked_out[OTHER_TENANT] = why
        first = await self.recover(recovery)
        assert first.left_out == {"other": str(why)}
        assert _in_force(bench) == [("tenant", OTHER_TENANT, "not_recovered")]
        assert set(bench.guard_all(bench.campaign(BERT))) == {BERT}
        later = bench.campaign(ANNA, BERT, sender=OTHER_SENDER, tenant_id=OTHER_TENANT)
        assert bench.guard_all(later) == {}
        assert not (await self.recover(recovery)).opt_outs
        assert _in_force(bench) == [("tenant", OTHER_TENANT, "not_recovered")]
        log.locked_out.clear()
        log.asked.clear()
        plan = await recovery.plan()
        assert (plan.whole, plan.tenants, plan.since) == (False, ["other"], first.since)
        report = await self.recover(recovery)
        assert (report.opt_outs, report.doubted, report.left_out) == (1, 0, {})
        assert log.asked == [(OTHER_TENANT, first.since)]
        assert _in_force(bench) == []
        assert set(bench.guard_all(later)) == {BERT}
        assert bench.row(theirs).state == "in_doubt"
        with pytest.raises(RecoveryRefused, match="not older"):
            await recovery.plan()

    async def test_left_out_and_restored_again(
        self, bench: Bench, recovery: Recovery, log: Log, place: Kept
    ) -> None:
        """A tenant that was left out lacks what it lacked before, when all is recovered anew."""
        bench.second_tenant()
        log.locked_out[OTHER_TENANT] = ProviderRefused("code 20005")
        first = await self.recover(recovery)
        assert place.mark is not None
        place.mark = replace(place.mark, seq=place.mark.seq + 1)
        log.locked_out.clear()
        log.asked.clear()
        second = await self.recover(recovery)
        assert second.since > first.since
        assert log.asked == [(TENANT, second.since), (OTHER_TENANT, first.since)]
        assert _in_force(bench) == []

    async def test_only_a_recovery_lifts_that(
        self, bench: Bench, recovery: Recovery, log: Log
    ) -> None:
        """Not even the operator sends to people whose STOPs may be missing."""
        bench.second_tenant()
        log.locked_out[OTHER_TENANT] = ProviderRefused("code 20003")
        await self.recover(recovery)
        operator = Holds(db=bench.db, tenant_id=PLATFORM)
        assert operator.release(tenant="other", author="ann", reason="they wait") == 0
        with pytest.raises(HoldRefused, match="sender recover"):
            operator.release(tenant="other", author="ann", reason="no", only="not_recovered")
        assert _in_force(bench) == [("tenant", OTHER_TENANT, "not_recovered")]

    async def test_the_mark_cannot_be_kept(
        self, bench: Bench, recovery: Recovery, place: Kept
    ) -> None:
        """A mark that was not raised everywhere is not raised in Postgres either."""
        was, place.away = bench.db.run(high_water.read).mark, True
        with pytest.raises(RecoveryUnfinished, match="the place is away"):
            await self.recover(recovery)
        assert bench.db.run(high_water.read).mark == was
        assert bench.value("SELECT count(*) FROM hold WHERE released_at IS NULL") == 1

    async def test_broken_off_before_the_last_step(
        self, bench: Bench, recovery: Recovery, place: Kept
    ) -> None:
        """Killed after the mark was raised elsewhere, a second run raises it above that."""
        assert place.mark is not None
        place.mark = replace(place.mark, era=2**52)
        await self.recover(recovery)
        assert place.mark.era == 2**52 + 1

    async def test_a_stop_that_cannot_be_enforced(
        self, bench: Bench, recovery: Recovery, log: Log
    ) -> None:
        """While a request may be under way to somebody who said STOP, everything stays held."""
        bench.campaign(ANNA)
        log.pages[TENANT] = [[heard(1, "STOP")]]
        hasty = replace(recovery, enforcement=ENFORCEMENT, patience=timedelta())
        with pytest.raises(RecoveryUnfinished, match="not enforced"):
            await self.recover(hasty)
        assert bench.value("SELECT count(*) FROM hold WHERE released_at IS NULL") == 1
        await self.recover(recovery)
        assert bench.value("SELECT count(*) FROM enforcement WHERE enforced_at IS NULL") == 0

    async def test_a_campaign_made_after_the_restore(
        self, bench: Bench, recovery: Recovery
    ) -> None:
        """What was created while everything was held was sent by nobody, and waits.

        Whatever the clock of its creator's host shows.
        """
        before = bench.campaign(BERT)
        bench.execute("UPDATE campaign SET created_at = now() + interval '1 h'")
        bench.db.run(high_water.hold, bench.db.run(high_water.read), "older")
        later = bench.campaign(ANNA)
        bench.execute(
            "UPDATE campaign SET created_at = now() - interval '1 h' WHERE id = :id", id=later
        )
        bench.db.run(high_water.hold, bench.db.run(high_water.read), "older, seen again")
        assert [one.id for one in (await recovery.plan()).campaigns] == [before]
        await self.recover(recovery)
        assert (bench.states(before), bench.states(later)) == (
            {BERT: "in_doubt"},
            {ANNA: "pending"},
        )
        assert set(bench.guard_all(later)) == {ANNA}
        assert bench.value("SELECT newest_campaign FROM high_water") is None

    async def test_doubts_of_a_restore_come_last(self, bench: Bench, recovery: Recovery) -> None:
        """They were asked for in bulk: by itself each is asked late, after those of today."""
        restored = bench.campaign(ANNA)
        await self.recover(recovery)
        assert bench.value("SELECT next_check - now() FROM doubt") > timedelta(hours=11)
        bench.execute("UPDATE doubt SET next_check = now() - interval '1 hour'")
        today = bench.campaign(BERT)
        bench.put(today, "in_doubt", BERT, reason="reset", guarded_at=datetime.now(UTC))
        bench.execute("UPDATE doubt SET next_check = least(next_check, now())")
        (first,) = bench.db.run(doubts.claim, limit=1)
        assert first.recipient == BERT
        (second,) = bench.db.run(doubts.claim, limit=1)
        assert second.message_id == bench.row(restored).id

    async def test_nothing_expires_meanwhile(self, bench: Bench, recovery: Recovery) -> None:
        """In a database held as older, pending does not mean unsent: no row is called expired."""
        campaign = bench.campaign(ANNA)
        bench.execute("UPDATE campaign SET deadline_at = now() - interval '1 hour'")
        bench.db.run(
            holds.place, Hold(level=Level.ALL, subject=0, reason="database_older", detail="")
        )
        Sweeper(db=bench.db).sweep()
        assert bench.row(campaign).state == "pending"
        assert Campaigns(db=bench.db, tenant_id=TENANT).cancel(campaign) == 0
        await self.recover(recovery)
        assert bench.row(campaign).state == "in_doubt"

    async def test_who_does_it(self, recovery: Recovery) -> None:
        """A recovery has an author."""
        with pytest.raises(RecoveryRefused, match="author"):
            await recovery.recover(author=" ")

    async def test_one_at_a_time(self, loop_db: AsyncDatabase, recovery: Recovery) -> None:
        """Two people recovering at once do not get into each other's way."""
        async with loop_db.session() as session:
            assert await session.run(restoring.take_turn)
            with pytest.raises(RecoveryRefused, match="under way"):
                await self.recover(recovery)

    async def test_nothing_to_recover(self, bench: Bench, recovery: Recovery, place: Kept) -> None:
        """Where no mark shows a restore, nothing is touched, unless somebody says when it was."""
        place.mark = None
        campaign = bench.campaign(ANNA)
        with pytest.raises(RecoveryRefused, match="--since"):
            await self.recover(recovery)
        assert bench.row(campaign).state == "pending"
        bench.execute("UPDATE high_water SET ticked_at = now()")
        since = datetime.now(UTC) - timedelta(hours=3)
        report = await recovery.recover(author="ann", since=since)
        assert report.since == since - SLACK
        assert bench.row(campaign).state == "in_doubt"
        assert bench.value("SELECT count(*) FROM hold WHERE released_at IS NULL") == 0

    async def test_a_hold_tells_no_age(
        self, bench: Bench, recovery: Recovery, place: Kept, log: Log
    ) -> None:
        """Held, and no mark left: `--since` is asked for, and what it told counts from then on."""
        place.mark = None
        bench.execute("UPDATE high_water SET ticked_at = now()")
        older = Hold(level=Level.ALL, subject=0, reason="database_older", detail="")
        bench.db.run(holds.place, older)
        with pytest.raises(RecoveryRefused, match="--since"):
            await self.recover(recovery)
        since, log.away = datetime.now(UTC) - timedelta(hours=3), True
        with pytest.raises(RecoveryUnfinished):
            await recovery.recover(author="ann", since=since)
        log.away = False
        later = since + timedelta(hours=1)
        assert (await recovery.plan(since=later)).since == since - SLACK
        assert (await self.recover(recovery)).since == since - SLACK
        with pytest.raises(RecoveryRefused, match="--since"):
            await recovery.plan()

    async def test_a_backup_from_before_there_were_marks(
        self, bench: Bench, recovery: Recovery, tmp_path: Path
    ) -> None:
        """It does not tell when it was made: somebody says so, or nothing is recovered."""
        campaign = bench.campaign(ANNA)
        bench.execute("UPDATE high_water SET unmarked = true")
        kept = MarkFile.in_folder(tmp_path)
        await kept.raise_to(Mark(identity=uuid4(), era=0, seq=9))
        anew = replace(recovery, water=HighWater(places=[kept]))
        with pytest.raises(RecoveryRefused, match=r"another's is kept.*--since"):
            await self.recover(anew)
        since = datetime.now(UTC) - timedelta(days=90)
        assert (await anew.recover(author="ann", since=since)).since == since - SLACK
        assert bench.row(campaign).state == "in_doubt"
        assert _in_force(bench) == []
        assert not (await HighWater(places=[kept]).compare(anew.db)).why

    async def test_when_the_backup_was_made(self, bench: Bench, recovery: Recovery) -> None:
        """What the last tick proves is not argued away, and no backup was made tomorrow."""
        ticked_at = bench.db.run(high_water.read).ticked_at
        now = datetime.now(UTC)
        assert (await recovery.plan(since=now)).since == ticked_at - SLACK
        with pytest.raises(RecoveryRefused, match="future"):
            await recovery.plan(since=now + timedelta(hours=1))
