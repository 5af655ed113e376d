"""Gaps of the intake: nothing goes while STOPs may be missing, and Twilio's log ends them."""

import json
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from simulator_rig import CONFIG, Rig, simulated
from sqlalchemy import text
from typer.testing import CliRunner

from sender.cli import app
from sender.domain.consent import Suppression
from sender.domain.inbound import InboundText
from sender.domain.intake import IntakeMode, Rhythm, Source
from sender.domain.provider import MessageRecord, ServiceRecord
from sender.errors import HoldRefused, NotFound, ProviderUnavailable
from sender.gateway import Credentials, TwilioGateway
from sender.hearing import Hearing
from sender.heartbeat import Heartbeat
from sender.holding import Holds
from sender.inbound import Applied, Inbound
from sender.intake import Intake
from sender.pulling import Puller
from sender.recovery import Sweeper
from sender.storage import alerts, campaigns, intake, pulls
from sender.storage.database import AsyncDatabase, Transaction
from tests.bench import (
    ANNA,
    BERT,
    CARL,
    DORA,
    ENFORCEMENT,
    OTHER_SENDER,
    OTHER_TENANT,
    SENDER,
    SERVICE,
    Bench,
    eventually,
    inbound_text,
    soon,
)

BOTH = Rhythm(mode=IntakeMode.BOTH, silence=timedelta(seconds=30), pull_every=timedelta(seconds=60))
PULL = replace(BOTH, mode=IntakeMode.PULL)
MEMBER = "+14155550009"
NAME = "ACME"
#: Advisory locks of sessions on the database of the test.
TURNS = """
    SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
    WHERE l.locktype = 'advisory' AND d.datname = current_database()
"""
SIGNED = ("--author", "ann", "--reason", "nothing came")


@pytest.fixture
def well(bench: Bench) -> None:
    """Everything lives that shall."""
    bench.db.run(intake.demand, BOTH.sources)


def fall_silent(bench: Bench, source: str = "webhook") -> None:
    """As if a source had given no sign of life for ten minutes."""
    changed = bench.execute(
        "UPDATE intake_source SET beaten_at = now() - interval '10 minutes', "
        "good_until = now() - interval '9 minutes' WHERE source = :source RETURNING source",
        source=source,
    )
    assert changed


def come_back(bench: Bench, source: Source = Source.WEBHOOK) -> None:
    """The source's next sign of life."""
    bench.db.run(intake.beat, source, BOTH.silence)


def holds_on(bench: Bench, address: str = SENDER) -> list[str]:
    """The reasons for which a sender is held."""
    found = bench.execute(
        "SELECT h.reason FROM hold h JOIN sender s ON h.level = 'sender' AND h.subject = s.id "
        "WHERE h.released_at IS NULL AND s.address = :address",
        address=address,
    )
    return [row.reason for row in found]


@pytest.mark.usefixtures("well")
class TestSilence:
    """No sign of life from what brings STOPs."""

    def test_the_guard_refuses_by_itself(self, bench: Bench) -> None:
        """Nobody has to notice: the guard's own statement reads the signs of life."""
        campaign = bench.campaign(ANNA)
        fall_silent(bench)
        assert bench.guard_all(campaign) == {}
        assert not bench.db.run(campaigns.may_send, campaign)

    def test_it_holds_every_sender_while_it_lasts(self, bench: Bench) -> None:
        """The sweeper makes it visible; whoever lifts the sender's other holds leaves it."""
        campaign = bench.campaign(ANNA)
        fall_silent(bench)
        Sweeper(db=bench.db).sweep()
        obstacles = bench.db.run(campaigns.obstacles, campaign)
        assert [one.reason for one in obstacles.holds] == ["intake_gap"]
        assert holds_on(bench) == ["intake_gap"]
        by_hand = Holds(db=bench.db, tenant_id=0)
        assert by_hand.release(sender=SENDER, author="ann", reason="put right") == 0
        with pytest.raises(HoldRefused, match="sender intake release"):
            by_hand.release(sender=SENDER, author="ann", reason="why", only="intake_gap")
        assert holds_on(bench) == ["intake_gap"]
        detail = bench.value("SELECT detail FROM hold ORDER BY id DESC LIMIT 1")
        assert detail.endswith("UTC (no sign of life: webhook)")

    def test_it_is_told_of_where_something_waits(self, bench: Bench) -> None:
        """Once for a tenant with campaigns that run, whoever notices it first."""
        bench.campaign(ANNA)
        bench.campaign(BERT, sender=OTHER_SENDER)
        bench.second_tenant()
        bench.campaign(CARL, sender="+14155550003", tenant_id=OTHER_TENANT, run=False)
        fall_silent(bench)
        for _ in range(2):
            bench.db.run(intake.notice)
            come_back(bench)
        (alert,) = bench.db.run(alerts.claim, limit=9, patience=timedelta(hours=1))
        assert (alert.tenant, alert.kind, alert.campaign) == ("default", "intake_gap", None)
        assert alert.detail["cause"] == "no sign of life: webhook"

    def test_its_end_holds_in_the_same_transaction(self, bench: Bench) -> None:
        """Between the silence and the hold there is no moment in which anything goes."""
        campaign = bench.campaign(ANNA)
        fall_silent(bench)
        come_back(bench)
        assert holds_on(bench) == ["intake_gap"]
        assert bench.guard_all(campaign) == {}

    def test_a_short_one_holds_nobody(self, bench: Bench) -> None:
        """A webhook app that comes back within the bound has left no gap."""
        campaign = bench.campaign(ANNA)
        bench.execute("UPDATE intake_source SET good_until = now() + interval '5 seconds'")
        come_back(bench)
        assert holds_on(bench) == []
        assert list(bench.guard_all(campaign)) == [ANNA]

    def test_a_new_sender_is_held_with_its_tenant_s_others(self, bench: Bench) -> None:
        """A STOP that is missing may cover it."""
        bench.campaign(ANNA)
        bench.second_tenant()
        fall_silent(bench)
        come_back(bench)
        campaign = bench.campaign(BERT, sender=OTHER_SENDER)
        elsewhere = bench.campaign(BERT, sender="+14155550003", tenant_id=2)
        assert bench.guard_all(campaign) == {}
        assert list(bench.guard_all(elsewhere)) == [BERT]

    def test_another_mode_forgets_no_gap(self, bench: Bench) -> None:
        """What is demanded no more stops nothing any more; what it missed stays missing."""
        bench.campaign(ANNA)
        fall_silent(bench)
        bench.db.run(intake.demand, PULL.sources)
        sources = bench.execute("SELECT source FROM intake_source")
        assert [row.source for row in sources] == ["pull"]
        assert holds_on(bench) == ["intake_gap"]

    def test_a_sender_entered_meanwhile_is_held_too(self, bench: Bench) -> None:
        """Neither the gap's transaction nor the sender's sees the other: one waits."""
        bench.campaign(ANNA)
        fall_silent(bench)
        with ThreadPoolExecutor() as pool:
            with bench.db.transaction() as tx:
                intake.beat(tx, Source.WEBHOOK, BOTH.silence)
                entering = pool.submit(bench.sender_id, OTHER_SENDER)
                eventually(lambda: entering.done() or bench.waiting_for_locks())
            entering.result()
        assert holds_on(bench, OTHER_SENDER) == ["intake_gap"]

    def test_a_release_does_not_end_the_next_gap(self, bench: Bench) -> None:
        """A silence that ends while somebody lifts the hold of the one before."""
        bench.campaign(ANNA)
        fall_silent(bench)
        come_back(bench)
        release = partial(Intake(db=bench.db).release, SENDER, author="ann", reason="nothing came")
        with ThreadPoolExecutor() as pool:
            with bench.db.transaction() as tx:
                tx.execute(text("SELECT FROM hold FOR UPDATE"))
                releasing = pool.submit(release)
                eventually(bench.waiting_for_locks)
                fall_silent(bench)
                beating = pool.submit(come_back, bench)
                eventually(lambda: beating.done() or bench.waiting_for_locks() > 1)
            assert releasing.result()
            beating.result()
        assert holds_on(bench) == ["intake_gap"]

    def test_who_reads_the_log_no_more_leaves_a_gap(self, bench: Bench) -> None:
        """What was texted since the last pull, nobody would ever read: webhooks begin only now."""
        bench.campaign(ANNA)
        bench.db.run(intake.demand, PULL.sources)
        assert holds_on(bench) == []
        bench.db.run(intake.demand, replace(BOTH, mode=IntakeMode.WEBHOOK).sources)
        assert holds_on(bench) == ["intake_gap"]

    def test_who_adds_webhooks_leaves_none(self, bench: Bench) -> None:
        """The log is read on from where it was."""
        bench.campaign(ANNA)
        bench.db.run(intake.demand, PULL.sources)
        bench.db.run(intake.demand, BOTH.sources)
        assert holds_on(bench) == []

    async def test_a_heartbeat_tells_how_many_wait(
        self, bench: Bench, loop_db: AsyncDatabase
    ) -> None:
        """What the webhook app exports."""
        bench.campaign(ANNA)
        heartbeat = Heartbeat(db=loop_db, source=Source.WEBHOOK, rhythm=BOTH)
        assert await heartbeat.beat() == 0
        fall_silent(bench)
        assert await heartbeat.beat() == 1


def test_a_database_that_no_process_has_worked_with_is_not_held(bench: Bench) -> None:
    """The first process says what must live; before that there is nothing to miss."""
    assert list(bench.guard_all(bench.campaign(ANNA))) == [ANNA]


@dataclass
class Cache:
    """The Redis set, as far as it was written."""

    added: list[Suppression] = field(default_factory=list)

    async def add(self, entries: Iterable[Suppression]) -> None:
        """Kept."""
        self.added += entries


@dataclass
class Provider:
    """Twilio's log, through the gateway, or its absence."""

    gateway: TwilioGateway
    away: bool = False
    #: A number of which alone it shows nothing.
    unreadable: str = ""
    drops_inbound: bool = False
    page_size: int = 1000
    pages: int = 0
    #: Each number that was asked about, and since when.
    asked: list[tuple[str | None, datetime]] = field(default_factory=list)

    async def of(self, _tenant_id: int) -> "Provider":
        """Every tenant's."""
        return self

    def clock(self) -> float:
        """As if each page took a minute."""
        return 60.0 * self.pages

    #: Its clock minus ours.
    offset: timedelta = timedelta()

    async def clock_offset(self) -> timedelta:
        """As it is set."""
        return self.offset

    async def pages_since(
        self, since: datetime, *, to: str | None = None
    ) -> AsyncGenerator[list[MessageRecord]]:
        """What it holds."""
        self.asked.append((to, since))
        if to == self.unreadable:
            raise ProviderUnavailable("Twilio cannot show it")
        async for page in self.gateway.pages_since(since, to=to):
            for part in range(0, len(page), self.page_size):
                self.pages += 1
                yield page[part : part + self.page_size]
        if self.away:
            raise ProviderUnavailable("Twilio is away")

    async def service(self, sid: str) -> ServiceRecord | None:
        """A Messaging Service."""
        found = await self.gateway.service(sid)
        return replace(found, receives=False) if found and self.drops_inbound else found


@dataclass
class Poisoned:
    """Applies inbound messages but for one, at which Postgres balks each time."""

    inbound: Inbound = field(default_factory=lambda: Inbound(enforcement=ENFORCEMENT))

    def apply(self, tx: Transaction, message: InboundText) -> Applied:
        """As ever, or not at all."""
        if message.body == "poison":
            tx.execute(text("SELECT 1 / 0"))
        return self.inbound.apply(tx, message)


@dataclass
class Pulling:
    """A puller, and a Twilio whose webhooks go nowhere."""

    bench: Bench
    rig: Rig
    provider: Provider
    puller: Puller
    cache: Cache

    async def text(self, body: str, person: int = ANNA, *, to: str = SENDER) -> None:
        """A person texts us, and no webhook tells of it."""
        await self.rig.control("POST", "inbound", {"from": f"+{person}", "to": to, "body": body})

    async def pull(self) -> int:
        """One round over everything, due or not."""
        self.bench.execute("UPDATE intake_sender SET next_pull = now()")
        return await self.puller.round()

    def watermark(self, address: str = SENDER) -> datetime | None:
        """Up to when a sender was read."""
        found = self.bench.execute(
            "SELECT pulled_upto FROM intake_sender i JOIN sender s ON s.id = i.sender_id "
            "WHERE s.address = :address",
            address=address,
        )
        return found[0].pulled_upto if found else None


@asynccontextmanager
async def pulling(bench: Bench, db: AsyncDatabase, rhythm: Rhythm) -> AsyncIterator[Pulling]:
    """A puller beside a simulator in this process; its log is complete at once."""
    key = Credentials.from_api_key(CONFIG.account_sid, *next(iter(CONFIG.api_keys.items())))
    pools = {SERVICE: (MEMBER,)}
    async with (
        simulated(inbound_url="", numbers=(SENDER, OTHER_SENDER), services=pools) as rig,
        TwilioGateway.open(key, base_url=rig.url, status_callback_base="") as gateway,
    ):
        provider, cache = Provider(gateway), Cache()
        hearing = Hearing(db=db, inbound=Inbound(enforcement=ENFORCEMENT), cache=cache)
        puller = Puller(
            db=db, providers=provider, hearing=hearing, rhythm=rhythm, settles=timedelta()
        )
        yield Pulling(bench, rig, provider, puller, cache)


@pytest.fixture
async def twilio(
    bench: Bench,
    loop_db: AsyncDatabase,
    well: None,  # to be there first
) -> AsyncIterator[Pulling]:
    """A puller beside webhooks that bring nothing."""
    async with pulling(bench, loop_db, BOTH) as found:
        yield found


class TestPuller:
    """What no webhook brought."""

    async def test_a_gap_ends_once_the_log_was_read_past_it(
        self, bench: Bench, twilio: Pulling
    ) -> None:
        """Whoever said STOP meanwhile is not texted, and everyone else is."""
        campaign = bench.campaign(ANNA, BERT, CARL)
        await twilio.text("Stop", ANNA)
        await twilio.text("please take me off your list", BERT)
        await twilio.text("thanks!", CARL)
        fall_silent(bench)
        come_back(bench)
        assert bench.guard_all(campaign) == {}
        assert await twilio.pull() == 1
        assert holds_on(bench) == []
        assert list(bench.guard_all(campaign)) == [CARL]
        assert {one.recipient for one in twilio.cache.added} == {ANNA, BERT}
        lifted = bench.execute("SELECT released_by, release_reason FROM hold")
        assert [tuple(row) for row in lifted] == [
            ("the puller", "Twilio's log was read past the gap")
        ]

    async def test_not_before_the_log_can_be_complete(self, bench: Bench, twilio: Pulling) -> None:
        """What Twilio received last may not be in its log yet: then it is read again."""
        bench.campaign(ANNA)
        fall_silent(bench)
        come_back(bench)
        twilio.puller = replace(twilio.puller, settles=timedelta(seconds=10))
        assert await twilio.pull() == 1
        assert holds_on(bench) == ["intake_gap"]
        later = bench.value("SELECT next_pull > now() + interval '5 seconds' FROM intake_sender")
        assert later

    async def test_not_while_the_silence_lasts(self, bench: Bench, twilio: Pulling) -> None:
        """STOPs are pulled and in force meanwhile; the gap goes on."""
        campaign = bench.campaign(ANNA, BERT)
        await twilio.text("STOP")
        fall_silent(bench)
        bench.db.run(intake.notice)
        await twilio.pull()
        assert bench.is_suppressed(ANNA)
        assert holds_on(bench) == ["intake_gap"]
        come_back(bench)
        await twilio.pull()
        assert list(bench.guard_all(campaign)) == [BERT]

    async def test_the_watermark_stays_where_twilio_broke_off(
        self, bench: Bench, twilio: Pulling
    ) -> None:
        """It is asked again, each time later; the hold stays."""
        bench.campaign(ANNA)
        await twilio.pull()
        was = twilio.watermark()
        fall_silent(bench)
        come_back(bench)
        twilio.provider.away = True
        assert await twilio.pull() == 0
        assert await twilio.pull() == 0
        assert twilio.watermark() == was
        assert holds_on(bench) == ["intake_gap"]
        kept = bench.execute(
            "SELECT failures, failure, next_pull > now() AS later FROM intake_sender"
        )
        assert [tuple(row) for row in kept] == [(2, "Twilio is away", True)]
        twilio.provider.away = False
        assert await twilio.pull() == 1
        assert holds_on(bench) == []

    async def test_nor_where_something_could_not_be_applied(
        self, bench: Bench, twilio: Pulling
    ) -> None:
        """A message that cannot be applied keeps the sender held."""
        bench.campaign(ANNA)
        await twilio.text("STOP")
        bench.execute("UPDATE tenant SET account_sid = 'AC0'")
        fall_silent(bench)
        come_back(bench)
        assert await twilio.pull() == 0
        assert twilio.watermark() is None
        bench.execute("UPDATE tenant SET account_sid = :sid", sid=CONFIG.account_sid)
        assert await twilio.pull() == 1
        assert bench.is_suppressed()

    async def test_what_was_shown_before_is_applied_all_the_same(
        self, bench: Bench, twilio: Pulling
    ) -> None:
        """A log that always breaks off somewhere would keep every STOP in it from us."""
        bench.campaign(ANNA)
        await twilio.text("STOP")
        twilio.provider.away = True
        assert await twilio.pull() == 0
        assert bench.is_suppressed()
        assert twilio.watermark() is None

    async def test_a_message_that_cannot_be_applied_is_in_nobody_s_way(
        self, bench: Bench, twilio: Pulling
    ) -> None:
        """Neither what else was texted to its sender, nor other senders, nor other tenants."""
        bench.campaign(ANNA, CARL)
        bench.campaign(BERT, sender=OTHER_SENDER)
        bench.second_tenant()
        elsewhere = bench.campaign(DORA, sender="+14155550003", tenant_id=OTHER_TENANT)
        await twilio.text("STOP", CARL)
        await twilio.text("poison", ANNA)
        await twilio.text("STOP", BERT, to=OTHER_SENDER)
        twilio.provider.page_size = 1  # what was texted before it is on another page
        fall_silent(bench)
        come_back(bench)
        hearing = replace(twilio.puller.hearing, inbound=Poisoned())
        twilio.puller = replace(twilio.puller, hearing=hearing)
        await twilio.pull()
        assert bench.is_suppressed(CARL)
        assert bench.is_suppressed(BERT)
        assert twilio.watermark(SENDER) is None
        assert holds_on(bench, SENDER) == holds_on(bench, OTHER_SENDER) == ["intake_gap"]
        assert list(bench.guard_all(elsewhere)) == [DORA]
        failure = bench.value("SELECT failure FROM intake_sender WHERE failures > 0")
        assert failure == "DataError 22012"

    async def test_a_sender_that_cannot_be_read_lets_the_others_go_first(
        self, bench: Bench, twilio: Pulling
    ) -> None:
        """They are put off with it, as if Twilio were away, once only."""
        bench.campaign(ANNA)
        bench.campaign(BERT, sender=OTHER_SENDER)
        await twilio.text("STOP", BERT, to=OTHER_SENDER)
        twilio.provider.unreadable = SENDER
        assert await twilio.puller.round() == 0
        bench.execute("UPDATE intake_sender SET next_pull = next_pull - interval '1 minute'")
        assert await twilio.puller.round() == 1
        assert bench.is_suppressed(BERT)

    async def test_a_sender_is_read_in_its_own_time(self, bench: Bench, twilio: Pulling) -> None:
        """From the campaign's creation, later from the watermark; not again at once."""
        bench.campaign(ANNA)
        bench.execute("UPDATE campaign SET created_at = now() - interval '9 days'")
        assert await twilio.puller.round() == 1
        assert await twilio.puller.round() == 0
        await twilio.pull()
        first, second = (since for _, since in twilio.provider.asked)
        assert timedelta(days=8) < second - first < timedelta(days=10)

    async def test_what_was_read_past_a_gap_is_not_read_in_haste(
        self, bench: Bench, twilio: Pulling
    ) -> None:
        """Nothing would end sooner: the silence lasts, or another sender cannot be read."""
        bench.campaign(ANNA)
        fall_silent(bench)
        bench.db.run(intake.notice)
        await twilio.pull()
        haste = "SELECT next_pull < now() + interval '50 seconds' FROM intake_sender"
        assert not bench.value(haste)
        come_back(bench)
        assert bench.value(haste)

    async def test_a_gap_is_read_from_its_beginning(self, bench: Bench, twilio: Pulling) -> None:
        """A sender that was never read, as where webhooks were alone, and a campaign after it."""
        bench.campaign(ANNA)
        fall_silent(bench)
        bench.execute("UPDATE intake_source SET beaten_at = now() - interval '3 days'")
        come_back(bench)
        await twilio.pull()
        ((_, since),) = twilio.provider.asked
        assert since < datetime.now(UTC) - timedelta(days=3)
        assert holds_on(bench) == []

    async def test_a_new_webhook_app_has_everything_read_soon(
        self, bench: Bench, loop_db: AsyncDatabase, twilio: Pulling
    ) -> None:
        """A restart that is short enough to hold nobody may have missed a STOP all the same."""
        bench.campaign(ANNA)
        await twilio.pull()
        await Heartbeat(db=loop_db, source=Source.WEBHOOK, rhythm=BOTH).start()
        assert bench.value("SELECT next_pull < now() + interval '11 seconds' FROM intake_sender")

    async def test_one_message_is_one_event(self, bench: Bench, twilio: Pulling) -> None:
        """Seen by a webhook and in the log, in whichever order."""
        bench.campaign(ANNA)
        await twilio.text("STOP")
        await twilio.pull()
        (sid,) = (row.sid for row in bench.execute("SELECT sid FROM inbound WHERE pulled"))
        bench.stop(ANNA, sid=sid)
        await twilio.pull()
        assert bench.value("SELECT count(*) FROM consent_event") == 1
        kept = bench.execute("SELECT pulled, raw <> '{}' AS has_raw FROM inbound")
        assert [tuple(row) for row in kept] == [(False, True)]

    async def test_a_webhook_says_what_the_log_does_not(
        self, bench: Bench, twilio: Pulling
    ) -> None:
        """A keyword of the tenant's own (Advanced Opt-Out) was pulled before its webhook came."""
        bench.campaign(ANNA)
        await twilio.text("Fuera de aqui ya")
        await twilio.pull()
        before = bench.execute("SELECT sid, keyword FROM inbound")
        assert [row.keyword for row in before] == ["NONE"]
        text = inbound_text("Fuera de aqui ya", ANNA, sid=before[0].sid, opt_out_type="STOP")
        bench.db.run(Inbound(enforcement=ENFORCEMENT).apply, text)
        assert bench.is_suppressed()
        assert bench.value("SELECT keyword FROM inbound") == "STOP"

    async def test_a_service_is_read_through_its_numbers(
        self, bench: Bench, twilio: Pulling
    ) -> None:
        """They are entered as Twilio names them, and the gap waits for them, too."""
        campaign = bench.campaign(ANNA, BERT, sender=SERVICE)
        await twilio.text("STOP", to=MEMBER)
        fall_silent(bench)
        come_back(bench)
        await twilio.pull()
        assert holds_on(bench, SERVICE) == holds_on(bench, MEMBER) == ["intake_gap"]
        await twilio.pull()
        assert holds_on(bench, SERVICE) == holds_on(bench, MEMBER) == []
        assert list(bench.guard_all(campaign)) == [BERT]

    async def test_only_one_pulls_at_a_time(
        self, bench: Bench, loop_db: AsyncDatabase, twilio: Pulling
    ) -> None:
        """Several consumers ask Twilio once."""
        bench.campaign(ANNA)
        async with loop_db.session() as session:
            assert await session.run(pulls.take_turn)
            assert await twilio.pull() == 0
        assert twilio.provider.asked == []
        assert await twilio.pull() == 1

    async def test_a_turn_ends_by_itself(
        self, bench: Bench, loop_db: AsyncDatabase, twilio: Pulling
    ) -> None:
        """A frozen consumer keeps its session: without an end nobody would pull any more."""
        bench.campaign(ANNA)
        async with loop_db.session() as session:
            assert await session.run(pulls.take_turn, timedelta(milliseconds=1))
            await soon(lambda: not bench.value(TURNS))
            assert await twilio.pull() == 1


class TestLongLogs:
    """More was texted than a round has time for."""

    async def test_the_next_round_reads_on(self, bench: Bench, twilio: Pulling) -> None:
        """What was shown is in force; other senders, and signs of life, are not kept waiting."""
        bench.campaign(ANNA)
        bench.campaign(BERT, sender=OTHER_SENDER)
        for person in (DORA, CARL, ANNA):
            await twilio.text("STOP", person)
        twilio.provider.page_size = 1
        twilio.puller = replace(twilio.puller, clock=twilio.provider.clock)
        assert await twilio.puller.round() == 0
        assert [bench.is_suppressed(one) for one in (ANNA, CARL, DORA)] == [True, False, False]
        assert twilio.watermark(SENDER) is None
        assert await twilio.puller.round() == 1
        assert twilio.watermark(OTHER_SENDER) is not None
        assert [bench.is_suppressed(one) for one in (ANNA, CARL, DORA)] == [True, True, False]
        shown = {one.sender: one for one in Intake(db=bench.db).show().senders}
        assert shown[SENDER].failure == pulls.LONG_LOG
        assert await twilio.puller.round() == 0
        assert bench.is_suppressed(DORA)
        assert await twilio.puller.round() == 1
        assert twilio.watermark(SENDER) is not None
        assert [to for to, _ in twilio.provider.asked] == [SENDER, OTHER_SENDER]

    async def test_it_is_read_anew_where_it_breaks_off(self, bench: Bench, twilio: Pulling) -> None:
        """A page's address is good for some time only."""
        bench.campaign(ANNA)
        for person in (BERT, ANNA):
            await twilio.text("STOP", person)
        twilio.provider.page_size, twilio.provider.away = 1, True
        twilio.puller = replace(twilio.puller, clock=twilio.provider.clock)
        assert await twilio.puller.round() == 0
        assert await twilio.puller.round() == 0
        assert await twilio.puller.round() == 0
        assert bench.value("SELECT failure FROM intake_sender") == "Twilio is away"
        twilio.provider.away = False
        twilio.puller = replace(twilio.puller, clock=time.monotonic)
        assert await twilio.pull() == 1
        assert bench.value("SELECT count(*) FROM consent_event") == 2

    async def test_what_lies_before_the_mark_is_not_paged_through(
        self, bench: Bench, twilio: Pulling
    ) -> None:
        """Twilio's filter knows days only, and the latest come first."""
        bench.campaign(ANNA)
        pages: list[int] = []

        async def shown(
            _since: datetime, *, to: str | None = None
        ) -> AsyncGenerator[list[MessageRecord]]:
            for number in range(3):
                pages.append(number)
                yield []

        reading = twilio.puller.reading
        provider = twilio.provider
        provider.pages_since = shown  # type: ignore[method-assign]  # of the test's own double
        (sender,) = bench.db.run(pulls.due, limit=1)
        await reading.read(provider, sender)
        assert pages == [0]


class TestClocks:
    """Postgres's clock, by which watermarks are, and Twilio's, by which the log is."""

    async def test_the_log_is_read_from_where_twilio_s_clock_was(
        self, bench: Bench, twilio: Pulling
    ) -> None:
        """With Postgres an hour ahead a new STOP looks an hour older than the watermark."""
        bench.campaign(ANNA)
        twilio.provider.offset = timedelta(hours=-1)
        await twilio.pull()
        await twilio.pull()
        _, (_, since) = twilio.provider.asked
        assert since < datetime.now(UTC) - timedelta(hours=1)

    async def test_not_from_later_where_it_is_behind(self, bench: Bench, twilio: Pulling) -> None:
        """Reading too much costs a page."""
        bench.campaign(ANNA)
        twilio.provider.offset = timedelta(hours=1)
        await twilio.pull()
        await twilio.pull()
        _, (_, since) = twilio.provider.asked
        assert since < datetime.now(UTC) - timedelta(minutes=4)


class TestBlind:
    """Senders of which Twilio's log shows nothing."""

    async def test_they_wait_for_a_person(self, bench: Bench, twilio: Pulling) -> None:
        """After a gap, unless somebody allowed it; without a gap they send as always."""
        campaign = bench.campaign(ANNA, sender=NAME)
        assert list(bench.guard_all(campaign)) == [ANNA]
        bench.campaign(BERT)
        fall_silent(bench)
        come_back(bench)
        await twilio.pull()
        assert (holds_on(bench, NAME), holds_on(bench)) == (["intake_gap"], [])
        Intake(db=bench.db).allow(NAME, author="ann", reason="nobody can reply to it")
        await twilio.puller.round()
        assert holds_on(bench, NAME) == []

    async def test_allowed_they_wait_for_their_tenant_s_others(
        self, bench: Bench, twilio: Pulling
    ) -> None:
        """A STOP to a number covers the name as well."""
        bench.campaign(ANNA, sender=NAME)
        bench.campaign(BERT)
        Intake(db=bench.db).allow(NAME, author="ann", reason="nobody can reply to it")
        fall_silent(bench)
        come_back(bench)
        twilio.provider.away = True
        await twilio.pull()
        assert holds_on(bench, NAME) == ["intake_gap"]
        twilio.provider.away = False
        await twilio.pull()
        assert holds_on(bench, NAME) == holds_on(bench) == []

    @pytest.mark.parametrize(
        ("address", "why"),
        [
            (SERVICE, "drops_inbound"),
            ("MG" + "9" * 32, "unknown_service"),
            ("123456", "short_code_unheard"),
        ],
    )
    async def test_who_is(self, bench: Bench, twilio: Pulling, address: str, why: str) -> None:
        """What Twilio says of a service, and what was never heard of a short code."""
        bench.campaign(ANNA, sender=address)
        twilio.provider.drops_inbound = True
        fall_silent(bench)
        come_back(bench)
        await twilio.pull()
        shown = {one.sender: one for one in Intake(db=bench.db).show().senders}
        assert (shown[address].blind, shown[address].held) == (why, True)

    async def test_a_number_whose_service_drops_texts_is(
        self, bench: Bench, twilio: Pulling
    ) -> None:
        """Its log is empty, whatever people text to it; until the service takes texts again."""
        bench.campaign(ANNA, sender=SERVICE)
        bench.campaign(BERT, sender=MEMBER)
        twilio.provider.drops_inbound = True
        await twilio.pull()
        fall_silent(bench)
        come_back(bench)
        await twilio.pull()
        await twilio.pull()
        shown = {one.sender: one for one in Intake(db=bench.db).show().senders}
        assert (shown[MEMBER].blind, shown[MEMBER].held) == ("drops_inbound", True)
        twilio.provider.drops_inbound = False
        await twilio.pull()
        await twilio.pull()
        assert holds_on(bench, MEMBER) == holds_on(bench, SERVICE) == []

    async def test_a_short_code_that_was_texted_is_none(
        self, bench: Bench, twilio: Pulling
    ) -> None:
        """Its texts come to this account."""
        bench.campaign(ANNA, sender="123456")
        await twilio.text("hello", to="123456")
        fall_silent(bench)
        come_back(bench)
        await twilio.pull()
        assert holds_on(bench, "123456") == []


class TestPullAlone:
    """Twilio's log is the only way that STOPs come in."""

    @pytest.fixture
    async def twilio(self, bench: Bench, loop_db: AsyncDatabase) -> AsyncIterator[Pulling]:
        """A puller that nothing stands beside."""
        bench.db.run(intake.demand, PULL.sources)
        async with pulling(bench, loop_db, PULL) as found:
            yield found

    async def test_a_pull_is_the_sign_of_life(self, bench: Bench, twilio: Pulling) -> None:
        """Without pulls the guard refuses; the next one that succeeds ends that."""
        campaign = bench.campaign(ANNA, BERT)
        await twilio.text("STOP")
        fall_silent(bench, "pull")
        assert bench.guard_all(campaign) == {}
        await twilio.pull()  # its sign of life: from here on the log is read past the gap
        await twilio.pull()
        assert list(bench.guard_all(campaign)) == [BERT]

    async def test_who_has_not_the_turn_gives_none(
        self, bench: Bench, loop_db: AsyncDatabase, twilio: Pulling
    ) -> None:
        """A consumer that is frozen in its turn pulls nothing, and another's life hides nothing."""
        bench.campaign(ANNA)
        fall_silent(bench, "pull")
        async with loop_db.session() as session:
            assert await session.run(pulls.take_turn)
            await twilio.pull()
            assert bench.value("SELECT good_until < now() FROM intake_source")
        await twilio.pull()
        assert bench.value("SELECT good_until > now() FROM intake_source")

    async def test_a_tenant_that_cannot_be_read_is_held(
        self, bench: Bench, twilio: Pulling
    ) -> None:
        """A puller that lives and hears nothing is none; the others go on."""
        campaign = bench.campaign(ANNA)
        await twilio.pull()
        twilio.provider.away = True
        await twilio.pull()
        assert holds_on(bench) == []
        bench.execute("UPDATE intake_sender SET pulled_at = now() - interval '151 seconds'")
        await twilio.pull()
        assert holds_on(bench) == ["intake_gap"]
        twilio.provider.away = False
        await twilio.pull()
        assert list(bench.guard_all(campaign)) == [ANNA]

    async def test_a_release_lasts_until_it_could_be_read_again(
        self, bench: Bench, twilio: Pulling
    ) -> None:
        """A person has taken it upon themselves; for the next time somebody has to again."""
        campaign = bench.campaign(ANNA)
        bench.campaign(BERT, sender=OTHER_SENDER)
        long_ago = "UPDATE intake_sender SET pulled_at = now() - interval '151 seconds'"
        await twilio.pull()
        twilio.provider.away = True
        bench.execute(long_ago)
        await twilio.pull()
        Intake(db=bench.db).release(SENDER, author="ann", reason="read in the Console")
        await twilio.pull()
        assert (holds_on(bench), holds_on(bench, OTHER_SENDER)) == ([], ["intake_gap"])
        assert list(bench.guard_all(campaign)) == [ANNA]
        twilio.provider.away = False
        await twilio.pull()
        assert holds_on(bench, OTHER_SENDER) == []
        twilio.provider.away = True
        bench.execute(
            "UPDATE hold SET released_at = released_at - interval '200 seconds' "
            "WHERE released_at IS NOT NULL"
        )
        bench.execute(long_ago)
        await twilio.pull()
        assert holds_on(bench) == ["intake_gap"]


def _said(bench: Bench, *words: str) -> Any:
    variables = {"DATABASE_URL": bench.url, "REDIS_URL": "redis://127.0.0.1:1/0", "COLUMNS": "200"}
    result = CliRunner(env=variables).invoke(app, ["intake", *words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout) if "--json" in words else result.stdout


@pytest.mark.usefixtures("well")
class TestCommand:
    """``sender intake``."""

    def test_show(self, bench: Bench) -> None:
        """What must live, and what each sender waits for."""
        bench.campaign(ANNA)
        bench.text("hi", ANNA, sid="SM1")
        fall_silent(bench)
        bench.db.run(intake.notice)
        (one,) = _said(bench, "show", "--json")["senders"]
        assert (one["sender"], one["held"], one["gap_cause"]) == (
            SENDER,
            True,
            "no sign of life: webhook",
        )
        assert one["last_webhook"] is not None
        shown = _said(bench, "show")
        assert "SILENT" in shown
        assert re.search(r"default +never +\d+ s ago +HELD", shown)
        assert "STOPs to 1 sender may be missing since" in shown
        assert "sender intake release" in shown

    def test_a_release_is_recorded(self, bench: Bench) -> None:
        """A person lifts the hold without a pull."""
        campaign = bench.campaign(ANNA)
        fall_silent(bench)
        come_back(bench)
        assert _said(bench, "release", SENDER, *SIGNED, "--json")["released"]
        assert list(bench.guard_all(campaign)) == [ANNA]
        kept = bench.execute("SELECT released_by, release_reason FROM hold")
        assert [tuple(row) for row in kept] == [("ann", "nothing came")]
        assert not _said(bench, "release", SENDER, *SIGNED, "--json")["released"]

    def test_not_while_a_source_is_silent(self, bench: Bench) -> None:
        """Nothing would go, and the gap would only grow."""
        bench.campaign(ANNA)
        fall_silent(bench)
        bench.db.run(intake.notice)
        with pytest.raises(HoldRefused, match="sign of life"):
            _said(bench, "release", SENDER, *SIGNED)
        assert holds_on(bench) == ["intake_gap"]

    def test_not_without_a_name(self, bench: Bench) -> None:
        """Author and reason are needed, and a sender that exists."""
        bench.campaign(ANNA)
        nobody: Sequence[str] = ("--author", " ", "--reason", "why")
        for command in ("release", "allow"):
            with pytest.raises(HoldRefused):
                _said(bench, command, SENDER, *nobody)
            with pytest.raises(NotFound):
                _said(bench, command, "+14155559999", *SIGNED)

    def test_allowed_and_forbidden(self, bench: Bench) -> None:
        """The setting of a blind sender."""
        bench.campaign(ANNA, sender=NAME)
        _said(bench, "allow", NAME, *SIGNED)
        assert _said(bench, "show", "--json")["senders"][0]["allowed_by"] == "ann"
        _said(bench, "forbid", NAME)
        assert _said(bench, "show", "--json")["senders"][0]["allowed_by"] is None
