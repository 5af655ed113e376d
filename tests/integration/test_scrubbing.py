"""The scrub before a campaign: what only Twilio knows of opt-outs is in force before it sends."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Container
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis
from simulator_rig import CONFIG, simulated
from simulator_rig import Rig as Simulated
from typer.testing import CliRunner

from sender.block_reading import BlockReading
from sender.campaigns import Campaigns
from sender.cli import app
from sender.domain.campaign import CampaignState, Progress
from sender.domain.consent import Direction, ReasonClass
from sender.domain.intake import IntakeMode, Rhythm
from sender.domain.provider import MessageRecord, Refusals, ServiceRecord
from sender.domain.scrub import Scrub
from sender.errors import ProviderRefused, ProviderUnavailable
from sender.gateway import BlockLog, Credentials, GatewayFactory, TwilioGateway
from sender.gateway.codes import callback_verdict
from sender.hearing import Hearing
from sender.holding import Holds
from sender.inbound import Inbound
from sender.log_reading import LogReading
from sender.lost_blocks import LostBlocks
from sender.overhearing import Overhearing
from sender.scrubbing import LEASE, Scrubber
from sender.storage import consent, holds, scrubs, slices
from sender.storage.database import AsyncDatabase
from sender.storage.holds import DATABASE_OLDER, Hold, Level
from sender.suppression import RedisCache
from tests.bench import (
    ANNA,
    BERT,
    CARL,
    DORA,
    ENFORCEMENT,
    OTHER_SENDER,
    SENDER,
    SERVICE,
    TENANT,
    Bench,
    consent_event,
    soon,
)
from tests.pump_rig import Rig

RHYTHM = Rhythm(
    mode=IntakeMode.BOTH, silence=timedelta(seconds=30), pull_every=timedelta(seconds=60)
)
MEMBER = "+14155550009"
#: A number of the account's that is no sender here.
ELSEWHERE = "+14155550077"
NUMBERS = (SENDER, OTHER_SENDER, ELSEWHERE)
NAME = "ACME"
PATIENCE = timedelta(minutes=10)


@dataclass
class Twilio:
    """Everything of Twilio's over HTTP, or its absence."""

    gateway: TwilioGateway
    log: BlockLog
    away: bool = False
    #: The key may not read alerts.
    hides_alerts: bool = False
    #: A number or service of which alone it shows nothing.
    unreadable: str = ""
    #: Its clock minus ours.
    offset: timedelta = timedelta()
    #: How it shows a message.
    shown: Callable[[MessageRecord], MessageRecord] = lambda record: record
    #: What was asked for, in order.
    asked: list[str] = field(default_factory=list)
    #: The alerts that were not to be fetched again, each time.
    known_alerts: list[Container[str]] = field(default_factory=list)

    async def of(self, _tenant_id: int) -> "Twilio":
        """Every tenant's messages."""
        if self.away:
            raise ProviderUnavailable("Twilio is away")
        return self

    async def blocks(self, _tenant_id: int) -> "Twilio":
        """Every tenant's blocks."""
        return self

    async def pages_since(
        self, since: datetime, *, to: str | None = None
    ) -> AsyncGenerator[list[MessageRecord]]:
        """What was texted to a number."""
        self.asked.append(f"to {to}")
        if to == self.unreadable:
            raise ProviderUnavailable(f"Twilio cannot show {to}")
        async for page in self.gateway.pages_since(since, to=to):
            yield page

    async def service(self, sid: str) -> ServiceRecord | None:
        """A Messaging Service."""
        if sid == self.unreadable:
            raise ProviderUnavailable(f"Twilio cannot show {sid}")
        return await self.gateway.service(sid)

    async def clock_offset(self) -> timedelta:
        """Its clock minus ours."""
        return self.offset

    async def messages(self) -> AsyncGenerator[list[MessageRecord]]:
        """The account's messages."""
        self.asked.append("account")
        async for page in self.log.messages():
            yield [self.shown(record) for record in page]

    async def messages_from(self, sender: str) -> AsyncGenerator[list[MessageRecord]]:
        """A number's messages."""
        self.asked.append(f"from {sender}")
        async for page in self.log.messages_from(sender):
            yield [self.shown(record) for record in page]

    async def refusals(self, since: datetime, *, known: Container[str]) -> Refusals:
        """The account's refused requests."""
        self.asked.append("alerts")
        self.known_alerts.append(known)
        if self.hides_alerts:
            raise ProviderRefused("Twilio refused to list alerts (HTTP 401): code 20003")
        return await self.log.refusals(since, known=known)


@dataclass
class Gateways:
    """One account's, for every tenant."""

    gateway: TwilioGateway

    async def of(self, _tenant_id: int) -> TwilioGateway:
        """It."""
        return self.gateway


@dataclass
class Scrubbing:
    """A scrubber, and a Twilio whose webhooks go nowhere."""

    bench: Bench
    simulated: Simulated
    twilio: Twilio
    scrubber: Scrubber
    campaigns: Campaigns

    async def stopped(self, person: int, *, to: str = SENDER) -> None:
        """A person texts STOP, and no webhook tells of it."""
        text = {"from": f"+{person}", "to": to, "body": "Stop"}
        await self.simulated.control("POST", "inbound", text)

    async def blocked(self, person: int, *, style: str, sender: str = SENDER) -> None:
        """Another system texts a person whom Twilio blocks: refused at once, or failed later."""
        opted_out = {"sender": sender, "recipients": [f"+{person}"]}
        await self.simulated.control("POST", "opt-outs", opted_out)
        await self.simulated.control("PATCH", "config", {"block_style": style})
        if style == "sync":
            assert (await self.simulated.refused(f"+{person}", from_=sender)).code == 21610
        else:
            sent = await self.simulated.create(f"+{person}", from_=sender)
            await self.simulated.until_status(sent.sid, "failed")

    def enqueued(self, *people: int, sender: str = SENDER, scrub: bool | None = None) -> int:
        """A campaign to these people that has just been enqueued."""
        campaign = self.bench.campaign(*people, sender=sender, run=False)
        self.campaigns.enqueue(campaign, scrub=scrub)
        return campaign

    async def scrub(self) -> int:
        """One round over all that wait, due or not, to its end; how many campaigns."""
        self.bench.execute("UPDATE campaign_scrub SET next_at = now()")
        found = await self.scrubber.round()
        await self.scrubber.finish()
        return found

    def progress(self, campaign: int) -> Progress:
        """A campaign's figures."""
        return self.campaigns.progress(campaign)

    def outcome(self, campaign: int) -> Scrub:
        """What became of its scrub."""
        found = self.progress(campaign).scrub
        assert found is not None
        return found


@pytest.fixture
async def scrubbing(
    bench: Bench, loop_db: AsyncDatabase, loop_redis: Redis
) -> AsyncIterator[Scrubbing]:
    """A scrubber beside a simulator in this process; its log is complete at once."""
    key = Credentials.from_api_key(CONFIG.account_sid, *next(iter(CONFIG.api_keys.items())))
    pools = {SERVICE: (MEMBER,)}
    async with (
        simulated(
            inbound_url="", numbers=(SENDER, OTHER_SENDER, ELSEWHERE), services=pools
        ) as there,
        GatewayFactory.open(status_callback_base="", base_url=there.url) as factory,
    ):
        cache = RedisCache(loop_redis)
        twilio = Twilio(factory.gateway(key), BlockLog(factory.client(key)))
        hearing = Hearing(db=loop_db, inbound=Inbound(enforcement=ENFORCEMENT), cache=cache)
        lost_blocks = LostBlocks(
            db=loop_db, enforcement=ENFORCEMENT, messages=bench.messages, cache=cache
        )
        scrubber = Scrubber(
            db=loop_db,
            providers=twilio,
            reading=LogReading(db=loop_db, hearing=hearing, rhythm=RHYTHM, settles=timedelta()),
            blocks=BlockReading(
                db=loop_db, hearing=hearing, lost_blocks=lost_blocks, mode=IntakeMode.BOTH
            ),
            patience=PATIENCE,
        )
        campaigns = Campaigns(db=bench.db, tenant_id=TENANT, scrubs=True)
        yield Scrubbing(bench, there, twilio, scrubber, campaigns)
        await scrubber.close()


async def test_whoever_opted_out_at_twilio_only_is_never_sent_a_request(
    bench: Bench, rig: Rig, scrubbing: Scrubbing
) -> None:
    """A lost STOP, a failed message, a refused request: everyone else is texted."""
    rig.warm()
    await scrubbing.stopped(ANNA)
    await scrubbing.blocked(BERT, style="async")
    await scrubbing.blocked(CARL, style="sync")
    await scrubbing.simulated.control("PATCH", "config", {"provider_block": False})
    campaign = scrubbing.enqueued(ANNA, BERT, CARL, DORA)
    pump = replace(rig.pump, gateways=Gateways(scrubbing.twilio.gateway))
    (slice_id,) = (row.id for row in bench.execute("SELECT id FROM slice"))
    await pump.work(slice_id)
    assert scrubbing.progress(campaign).holds == ("scrub",)
    assert await scrubbing.scrub() == 1
    assert scrubbing.progress(campaign).holds == ()
    assert scrubbing.outcome(campaign).drift == {"inbound": 1, "failures": 1, "alerts": 1}
    await pump.work(slice_id)
    sent = [one["to"] for one in await scrubbing.simulated.log("create")]
    assert sent == [f"+{BERT}", f"+{CARL}", f"+{DORA}"]  # the first two by the other system
    assert bench.states(campaign) == {
        **dict.fromkeys((ANNA, BERT, CARL), "suppressed"),
        DORA: "sent",
    }
    reasons = bench.execute("SELECT recipient, reason FROM message WHERE state = 'suppressed'")
    assert dict(tuple(row) for row in reasons) == {
        ANNA: "stop",
        BERT: "provider_block",
        CARL: "provider_block",
    }


async def test_what_was_found_is_known_the_next_time(bench: Bench, scrubbing: Scrubbing) -> None:
    """It is drift once, and one event for each scope it covers."""
    await scrubbing.stopped(ANNA)
    await scrubbing.blocked(BERT, style="async")
    await scrubbing.blocked(CARL, style="sync")
    scrubbing.enqueued(DORA)
    await scrubbing.scrub()
    events = bench.value("SELECT count(*) FROM consent_event")
    bench.execute("UPDATE intake_sender SET blocks_upto = NULL, pulled_upto = NULL")
    bench.execute("UPDATE tenant SET alerts_upto = NULL")
    again = scrubbing.enqueued(ANNA, BERT, CARL, DORA)
    await scrubbing.scrub()
    assert scrubbing.outcome(again).drift == {"inbound": 0, "failures": 0, "alerts": 0}
    assert bench.value("SELECT count(*) FROM consent_event") == events
    assert list(bench.guard_all(again)) == [DORA]


async def test_campaigns_that_wait_together_share_one_reading(scrubbing: Scrubbing) -> None:
    """Each sender is asked about once; what is enqueued later is asked for again."""
    first, second = scrubbing.enqueued(ANNA), scrubbing.enqueued(BERT)
    third = scrubbing.enqueued(CARL, sender=OTHER_SENDER)
    assert await scrubbing.scrub() == 3
    asked = ["account", "alerts", f"to {SENDER}", f"to {OTHER_SENDER}"]
    assert sorted(scrubbing.twilio.asked) == asked
    assert {scrubbing.outcome(one).outcome for one in (first, second, third)} == {"done"}
    await scrubbing.stopped(DORA)
    later = scrubbing.enqueued(DORA)
    await scrubbing.scrub()
    assert scrubbing.outcome(later).drift["inbound"] == 1
    asked = ["account", "alerts", f"to {SENDER}"]
    assert sorted(scrubbing.twilio.asked[4:]) == asked


async def test_a_stop_to_a_number_of_a_service_counts_for_the_service(
    bench: Bench, scrubbing: Scrubbing
) -> None:
    """Its numbers are learnt and read in the same scrub."""
    await scrubbing.stopped(ANNA, to=MEMBER)
    await scrubbing.blocked(BERT, style="async", sender=MEMBER)
    campaign = scrubbing.enqueued(ANNA, BERT, CARL, sender=SERVICE)
    await scrubbing.scrub()
    assert scrubbing.outcome(campaign).drift == {"inbound": 1, "failures": 1, "alerts": 0}
    assert list(bench.guard_all(campaign)) == [CARL]


class TestTwilioAway:
    """Twilio cannot be asked."""

    async def test_the_campaign_waits_and_says_why(
        self, bench: Bench, scrubbing: Scrubbing
    ) -> None:
        """It is tried again, each time later, and goes once Twilio answers."""
        campaign = scrubbing.enqueued(ANNA)
        scrubbing.twilio.away = True
        await scrubbing.scrub()
        await scrubbing.scrub()
        (hold,) = scrubbing.campaigns.obstacles(campaign).holds
        assert (hold.reason, hold.detail) == ("scrub", "Twilio is away")
        assert scrubbing.outcome(campaign).why == "Twilio is away"
        later = "SELECT tries, next_at > now() + interval '1 second' FROM campaign_scrub"
        assert tuple(bench.execute(later)[0]) == (2, True)
        assert await scrubbing.scrubber.round() == 0
        assert bench.guard_all(campaign) == {}
        scrubbing.twilio.away = False
        await scrubbing.scrub()
        assert list(bench.guard_all(campaign)) == [ANNA]

    async def test_after_a_bound_it_is_held_with_an_alert(
        self, bench: Bench, scrubbing: Scrubbing
    ) -> None:
        """One alert; it is tried on, and what ends the hold stands beside it."""
        campaign = scrubbing.enqueued(ANNA)
        scrubbing.twilio.away = True
        bench.execute(
            "UPDATE campaign SET started_at = started_at - CAST(:age AS interval)", age=PATIENCE
        )
        bench.execute(
            "UPDATE campaign_scrub SET asked_at = asked_at - CAST(:age AS interval)", age=PATIENCE
        )
        await scrubbing.scrub()
        await scrubbing.scrub()
        (hold,) = scrubbing.campaigns.obstacles(campaign).holds
        assert hold.reason == "scrub_failed"
        assert "lift this hold" in hold.detail
        told = bench.execute("SELECT kind, campaign_id FROM alert")
        assert [tuple(row) for row in told] == [("scrub_failed", campaign)]
        assert bench.guard_all(campaign) == {}
        scrubbing.twilio.away = False
        await scrubbing.scrub()
        lifted = bench.execute("SELECT reason, released_by FROM hold")
        assert [tuple(row) for row in lifted] == [("scrub_failed", "the scrub")]
        assert list(bench.guard_all(campaign)) == [ANNA]

    async def test_a_person_can_let_it_go(self, bench: Bench, scrubbing: Scrubbing) -> None:
        """Who did, and why, stands beside the campaign."""
        campaign = scrubbing.enqueued(ANNA)
        scrubbing.twilio.away = True
        await scrubbing.scrub()
        by_hand = Holds(db=bench.db, tenant_id=TENANT)
        ann = {"author": "ann", "reason": "cannot wait"}
        assert by_hand.release(campaign=campaign, **ann) == 0  # along with others
        assert by_hand.release(campaign=campaign, only="scrub", **ann) == 1
        assert list(bench.guard_all(campaign)) == [ANNA]
        assert await scrubbing.scrub() == 0
        assert scrubbing.outcome(campaign).outcome == "lifted"
        assert scrubbing.outcome(campaign).why == "ann: cannot wait"

    async def test_alerts_that_a_key_may_not_read_hold_nobody(self, scrubbing: Scrubbing) -> None:
        """They are said to be unseen."""
        scrubbing.twilio.hides_alerts = True
        campaign = scrubbing.enqueued(ANNA)
        await scrubbing.scrub()
        assert scrubbing.progress(campaign).holds == ()
        assert "HTTP 401" in scrubbing.outcome(campaign).unseen

    async def test_a_lost_consumer_s_scrubs_are_another_s(
        self, bench: Bench, scrubbing: Scrubbing
    ) -> None:
        """They are due again when its lease is over; until then they wait."""
        campaign = scrubbing.enqueued(ANNA)
        assert bench.db.run(scrubs.claim, lease=LEASE, limit=9)
        assert await scrubbing.scrubber.round() == 0
        assert bench.guard_all(campaign) == {}
        assert await scrubbing.scrub() == 1
        assert list(bench.guard_all(campaign)) == [ANNA]

    async def test_a_consumer_that_ends_gives_its_scrubs_back(
        self, bench: Bench, scrubbing: Scrubbing
    ) -> None:
        """Nobody waits for a lease because of a new release."""
        campaign = scrubbing.enqueued(ANNA)
        assert await scrubbing.scrubber.round() == 1
        await scrubbing.scrubber.close()
        assert bench.guard_all(campaign) == {}
        assert await scrubbing.scrubber.round() == 1
        await scrubbing.scrubber.finish()
        assert list(bench.guard_all(campaign)) == [ANNA]


class TestWithout:
    """Campaigns that go without one."""

    @pytest.mark.parametrize(
        ("is_on", "transactional", "scrub", "why"),
        [
            (True, True, None, "transactional"),
            (False, False, None, "switched_off"),
            (True, False, False, "not_wanted"),
        ],
    )
    def test_they_go_at_once(
        self, bench: Bench, *, is_on: bool, transactional: bool, scrub: bool | None, why: str
    ) -> None:
        """And why is kept."""
        campaigns = Campaigns(db=bench.db, tenant_id=TENANT, scrubs=is_on)
        campaign = bench.campaign(ANNA, run=False, transactional=transactional)
        campaigns.enqueue(campaign, scrub=scrub)
        assert list(bench.guard_all(campaign)) == [ANNA]
        found = campaigns.progress(campaign).scrub
        assert found is not None
        assert (found.outcome, found.why) == ("skipped", why)

    def test_a_transactional_one_may_ask_for_it(self, bench: Bench) -> None:
        """What is said for one campaign beats every default."""
        campaigns = Campaigns(db=bench.db, tenant_id=TENANT, scrubs=False)
        campaign = bench.campaign(ANNA, run=False, transactional=True)
        campaigns.enqueue(campaign, scrub=True)
        assert bench.guard_all(campaign) == {}

    async def test_one_that_ended_before_is_dropped(
        self, bench: Bench, scrubbing: Scrubbing
    ) -> None:
        """No hold is left of it."""
        campaign = scrubbing.enqueued(ANNA)
        scrubbing.campaigns.cancel(campaign)
        assert await scrubbing.scrub() == 0
        assert scrubbing.outcome(campaign).outcome == "dropped"
        assert bench.value("SELECT count(*) FROM hold") == 0


async def test_a_scheduled_campaign_is_scrubbed_when_it_starts(
    bench: Bench, scrubbing: Scrubbing
) -> None:
    """Not before: what comes in until then counts. A new time may do without."""
    soon = datetime.now(UTC) + timedelta(hours=1)
    campaign = bench.campaign(ANNA, BERT, run=False)
    scrubbing.campaigns.enqueue(campaign, start_at=soon, scrub=False)
    scrubbing.campaigns.enqueue(campaign, start_at=soon)
    assert await scrubbing.scrub() == 0
    await scrubbing.stopped(ANNA)
    bench.execute("UPDATE campaign SET start_at = now()")
    bench.db.run(slices.start_scheduled)
    assert scrubbing.progress(campaign).state is CampaignState.RUNNING
    assert bench.guard_all(campaign) == {}
    assert await scrubbing.scrub() == 1
    assert list(bench.guard_all(campaign)) == [BERT]


async def test_a_database_that_is_to_be_recovered_is_not_scrubbed(
    bench: Bench, scrubbing: Scrubbing
) -> None:
    """The recovery reads the log first: a row that is pending there may have been sent."""
    campaign = scrubbing.enqueued(ANNA)
    older = Hold(level=Level.ALL, subject=0, reason=DATABASE_OLDER, detail="")
    bench.db.run(holds.place, older)
    assert await scrubbing.scrub() == 0
    bench.execute("UPDATE hold SET released_at = now() WHERE reason = :why", why=DATABASE_OLDER)
    assert await scrubbing.scrub() == 1
    assert list(bench.guard_all(campaign)) == [ANNA]


class TestEvidence:
    """What a record of Twilio's proves, and what it does not."""

    async def test_our_own_message_whose_callback_was_lost_is_settled(
        self, bench: Bench, scrubbing: Scrubbing
    ) -> None:
        """It goes the way of a callback, its incident included."""
        await scrubbing.blocked(ANNA, style="async")
        (record,) = await scrubbing.simulated.listed(from_=SENDER)
        earlier = bench.campaign(ANNA)
        bench.put(earlier, "sent", sid=record.sid, guarded_at=datetime.now(UTC))
        campaign = scrubbing.enqueued(ANNA)
        await scrubbing.scrub()
        assert scrubbing.outcome(campaign).drift["failures"] == 1
        assert bench.states(earlier) == {ANNA: "suppressed"}
        assert bench.value("SELECT count(*) FROM incident") == 1
        assert bench.guard_all(campaign) == {}

    async def test_our_own_refused_request_is_no_news(
        self, bench: Bench, scrubbing: Scrubbing
    ) -> None:
        """Its alert tells what its answer told."""
        await scrubbing.blocked(ANNA, style="sync")
        known = consent_event(reason=ReasonClass.PROVIDER_BLOCK, source="create")
        own = consent_event(
            reason=ReasonClass.PROVIDER_BLOCK, source="create", scope=bench.sender_id()
        )
        for event in (known, own):
            bench.db.run(ENFORCEMENT.opt_out, event)
        campaign = scrubbing.enqueued(ANNA)
        await scrubbing.scrub()
        assert scrubbing.outcome(campaign).drift["alerts"] == 0
        assert bench.value("SELECT count(*) FROM consent_event") == 2

    async def test_a_start_after_a_block_counts(self, bench: Bench, scrubbing: Scrubbing) -> None:
        """Whichever of the two is learnt first: the provider's times decide."""
        await scrubbing.blocked(ANNA, style="sync")
        await scrubbing.blocked(BERT, style="async")
        campaign = scrubbing.enqueued(ANNA, BERT)
        await scrubbing.scrub()
        assert bench.guard_all(campaign) == {}
        started = datetime.now(UTC) + timedelta(minutes=1)
        for person in (ANNA, BERT):
            for scope in (0, bench.sender_id()):
                start = consent_event(
                    recipient=person,
                    scope=scope,
                    direction=Direction.OPT_IN,
                    reason=None,
                    provider_at=started,
                    source_id=f"{person} {scope}",
                )
                bench.db.run(consent.append, start)
        assert sorted(bench.guard_all(campaign)) == [ANNA, BERT]


class TestWholeAccount:
    """What no number's own log shows, and what is read once instead of for each number."""

    async def test_a_stop_to_a_number_that_is_no_sender_counts(
        self, bench: Bench, scrubbing: Scrubbing
    ) -> None:
        """For the tenant, as if its webhook had come; other texts to it stay where they are."""
        await scrubbing.stopped(ANNA, to=ELSEWHERE)
        text = {"from": f"+{BERT}", "to": ELSEWHERE, "body": "when do you open?"}
        await scrubbing.simulated.control("POST", "inbound", text)
        campaign = scrubbing.enqueued(ANNA, BERT)
        await scrubbing.scrub()
        assert scrubbing.outcome(campaign).drift["inbound"] == 1
        assert list(bench.guard_all(campaign)) == [BERT]
        assert bench.value("SELECT count(*) FROM inbound") == 1

    async def test_a_service_s_message_that_never_got_a_number_is_found(
        self, bench: Bench, scrubbing: Scrubbing
    ) -> None:
        """That is how a service's opt-outs show; no number's log has it."""
        await scrubbing.blocked(ANNA, style="async", sender=MEMBER)
        scrubbing.twilio.shown = lambda record: replace(record, from_=None, service_sid=SERVICE)
        campaign = scrubbing.enqueued(ANNA, BERT, sender=SERVICE)
        await scrubbing.scrub()
        assert scrubbing.outcome(campaign).drift["failures"] == 1
        assert list(bench.guard_all(campaign)) == [BERT]

    async def test_it_stands_for_reading_each_of_many_numbers(
        self, bench: Bench, scrubbing: Scrubbing
    ) -> None:
        """Once the puller has read them as well."""
        for number in range(6):
            bench.sender_id(f"+1415555010{number}")
        scrubbing.enqueued(ANNA)
        await scrubbing.scrub()
        await scrubbing.stopped(BERT)
        scrubbing.twilio.asked.clear()
        campaign = scrubbing.enqueued(BERT)
        await scrubbing.scrub()
        assert sorted(scrubbing.twilio.asked) == ["account", "alerts"]
        assert scrubbing.outcome(campaign).drift["inbound"] == 1
        assert bench.guard_all(campaign) == {}

    async def test_each_number_is_read_where_the_account_s_log_is_too_long(
        self, bench: Bench, scrubbing: Scrubbing
    ) -> None:
        """Nor does a later look at the account stand for what was left out."""
        await scrubbing.blocked(ANNA, style="async")
        await scrubbing.blocked(BERT, style="async", sender=OTHER_SENDER)
        cut = scrubbing.scrubber.blocks
        scrubbing.scrubber = replace(scrubbing.scrubber, blocks=replace(cut, most_of_account=1))
        scrubbing.enqueued(CARL)
        await scrubbing.scrub()
        assert bench.is_suppressed(ANNA)
        scrubbing.scrubber = replace(scrubbing.scrubber, blocks=cut)
        later = scrubbing.enqueued(BERT, sender=OTHER_SENDER)
        bench.execute("UPDATE tenant SET log_upto = now() + interval '1 hour'")  # as much later
        await scrubbing.scrub()
        assert bench.guard_all(later) == {}
        assert f"from {OTHER_SENDER}" in scrubbing.twilio.asked

    async def test_what_twilio_had_not_passed_on_is_looked_for_again(
        self, bench: Bench, scrubbing: Scrubbing
    ) -> None:
        """It may fail hours after it was created."""
        await scrubbing.blocked(ANNA, style="async")
        hours_ago = datetime.now(UTC) - timedelta(hours=9)
        queued = callback_verdict("queued", None, toll_free=False)
        scrubbing.twilio.shown = lambda record: replace(
            record, date_created=hours_ago, verdict=queued
        )
        scrubbing.enqueued(BERT)
        await scrubbing.scrub()
        assert not bench.is_suppressed(ANNA)
        scrubbing.twilio.shown = lambda record: replace(record, date_created=hours_ago)
        campaign = scrubbing.enqueued(ANNA)
        await scrubbing.scrub()
        assert scrubbing.outcome(campaign).drift["failures"] == 1
        assert bench.guard_all(campaign) == {}

    async def test_it_is_read_by_twilio_s_clock(self, bench: Bench, scrubbing: Scrubbing) -> None:
        """With Postgres an hour ahead a new block looks an hour older than the mark."""
        scrubbing.enqueued(CARL)
        await scrubbing.scrub()
        scrubbing.twilio.offset = timedelta(hours=-1)
        await scrubbing.blocked(ANNA, style="async")
        scrubbing.twilio.shown = lambda record: replace(
            record, date_created=record.date_created - timedelta(hours=1)
        )
        campaign = scrubbing.enqueued(ANNA)
        await scrubbing.scrub()
        assert bench.guard_all(campaign) == {}

    async def test_an_alert_is_fetched_once(self, scrubbing: Scrubbing) -> None:
        """The list goes back a quarter of an hour each time; each alert in it is a request."""
        await scrubbing.blocked(ANNA, style="sync")
        for _ in range(2):
            scrubbing.enqueued(BERT)
            await scrubbing.scrub()
        fetched = await scrubbing.simulated.log("alert")
        assert len(fetched) == 1

    async def test_a_stop_that_cannot_be_applied_keeps_campaigns_waiting(
        self, bench: Bench, scrubbing: Scrubbing
    ) -> None:
        """To whichever number: it counts for all."""
        await scrubbing.stopped(ANNA, to=ELSEWHERE)
        bench.execute("UPDATE tenant SET account_sid = 'AC0' WHERE id = 1")
        campaign = scrubbing.enqueued(ANNA, BERT)
        await scrubbing.scrub()
        assert bench.guard_all(campaign) == {}
        assert bench.value("SELECT log_upto FROM tenant WHERE id = 1") is None
        bench.execute("UPDATE tenant SET account_sid = :sid WHERE id = 1", sid=CONFIG.account_sid)
        await scrubbing.scrub()
        assert list(bench.guard_all(campaign)) == [BERT]


class TestOverhearing:
    """Without a campaign: STOPs to numbers that are no senders here."""

    async def test_they_are_heard_now_and_then(self, bench: Bench, scrubbing: Scrubbing) -> None:
        """Each account is read once by all consumers together, and later again."""
        hears = Overhearing(
            db=scrubbing.scrubber.db, providers=scrubbing.twilio, blocks=scrubbing.scrubber.blocks
        )
        await scrubbing.stopped(ANNA, to=ELSEWHERE)
        assert [await hears.round(), await hears.round()] == [1, 0]
        assert bench.is_suppressed(ANNA)
        await scrubbing.stopped(BERT, to=ELSEWHERE)
        bench.execute("UPDATE tenant SET log_read_at = now() - interval '6 minutes'")
        assert await hears.round() == 1
        assert bench.is_suppressed(BERT)

    async def test_an_account_that_cannot_be_read_is_tried_later(
        self, bench: Bench, scrubbing: Scrubbing
    ) -> None:
        """It holds nobody: no sender here was texted."""
        hears = Overhearing(
            db=scrubbing.scrubber.db, providers=scrubbing.twilio, blocks=scrubbing.scrubber.blocks
        )
        scrubbing.twilio.away = True
        assert [await hears.round(), await hears.round()] == [0, 0]
        bench.execute("UPDATE tenant SET log_read_at = now() - interval '6 minutes'")
        scrubbing.twilio.away = False
        assert await hears.round() == 1


class TestOthersTroubles:
    """What goes wrong with one sender, or takes long, is its own campaigns' matter."""

    async def test_a_sender_that_cannot_be_read_holds_up_no_other(
        self, bench: Bench, scrubbing: Scrubbing
    ) -> None:
        """Of the same tenant, enqueued together."""
        scrubbing.twilio.unreadable = SERVICE
        stuck, free = scrubbing.enqueued(ANNA, sender=SERVICE), scrubbing.enqueued(BERT)
        await scrubbing.scrub()
        assert bench.guard_all(stuck) == {}
        assert list(bench.guard_all(free)) == [BERT]
        assert "cannot show" in scrubbing.outcome(stuck).why

    async def test_a_campaign_that_comes_while_another_sender_is_read_does_not_wait(
        self, bench: Bench, scrubbing: Scrubbing
    ) -> None:
        """Its own scrub begins in the next round."""
        gate = asyncio.Event()

        async def slow(sid: str) -> ServiceRecord | None:
            await gate.wait()
            return await scrubbing.twilio.gateway.service(sid)

        scrubbing.twilio.service = slow  # type: ignore[method-assign]  # of the test's own double
        first = scrubbing.enqueued(ANNA, sender=SERVICE)
        assert await scrubbing.scrubber.round() == 1
        second = scrubbing.enqueued(BERT)
        assert await scrubbing.scrubber.round() == 1
        await soon(lambda: bench.guard_all(second))
        assert bench.guard_all(first) == {}
        gate.set()
        await scrubbing.scrubber.finish()
        assert list(bench.guard_all(first)) == [ANNA]


class TestPaused:
    """A campaign that did not go on for a while."""

    async def test_after_a_long_pause_it_is_scrubbed_again(
        self, bench: Bench, scrubbing: Scrubbing
    ) -> None:
        """What both scrubs found adds up."""
        await scrubbing.stopped(ANNA)
        campaign = scrubbing.enqueued(ANNA, BERT, CARL)
        await scrubbing.scrub()
        scrubbing.campaigns.pause(campaign)
        await scrubbing.stopped(BERT)
        bench.execute("UPDATE campaign_scrub SET ended_at = now() - interval '61 minutes'")
        scrubbing.campaigns.resume(campaign)
        assert scrubbing.progress(campaign).holds == ("scrub",)
        assert bench.guard_all(campaign) == {}
        await scrubbing.scrub()
        assert list(bench.guard_all(campaign)) == [CARL]
        assert scrubbing.outcome(campaign).drift["inbound"] == 2

    async def test_one_that_is_held_for_long_is_scrubbed_meanwhile(
        self, bench: Bench, scrubbing: Scrubbing
    ) -> None:
        """So that it goes at once when it is released, on what was known an hour ago at most."""
        campaign = scrubbing.enqueued(ANNA, BERT)
        goes_on = scrubbing.enqueued(CARL, sender=OTHER_SENDER)
        await scrubbing.scrub()
        by_hand = Holds(db=bench.db, tenant_id=TENANT)
        ann = {"author": "ann", "reason": "prices are wrong"}
        by_hand.place(sender=SENDER, **ann)
        bench.execute("UPDATE campaign_scrub SET ended_at = now() - interval '61 minutes'")
        assert await scrubbing.scrubber.again() == 0
        bench.execute("UPDATE hold SET held_at = now() - interval '61 minutes'")
        await scrubbing.stopped(ANNA)
        assert await scrubbing.scrubber.again() == 1
        await scrubbing.scrub()
        by_hand.release(sender=SENDER, **ann)
        assert list(bench.guard_all(campaign)) == [BERT]
        assert list(bench.guard_all(goes_on)) == [CARL]

    async def test_not_after_a_short_one(self, bench: Bench, scrubbing: Scrubbing) -> None:
        """Nor one that went without from the beginning."""
        campaign = scrubbing.enqueued(ANNA)
        await scrubbing.scrub()
        without = scrubbing.enqueued(BERT, scrub=False)
        bench.execute(
            "UPDATE campaign_scrub SET ended_at = now() - interval '61 minutes' "
            "WHERE campaign_id = :id",
            id=without,
        )
        for one in (campaign, without):
            scrubbing.campaigns.pause(one)
            scrubbing.campaigns.resume(one)
        assert list(bench.guard_all(campaign)) == [ANNA]
        assert list(bench.guard_all(without)) == [BERT]

    async def test_a_scrub_from_before_ends_no_later_one(
        self, bench: Bench, scrubbing: Scrubbing
    ) -> None:
        """What Twilio told a consumer that stood still is old by now."""
        campaign = scrubbing.enqueued(ANNA)
        (old,) = bench.db.run(scrubs.claim, lease=timedelta(), limit=9)
        await scrubbing.scrub()
        scrubbing.campaigns.pause(campaign)
        bench.execute("UPDATE campaign_scrub SET ended_at = now() - interval '61 minutes'")
        scrubbing.campaigns.resume(campaign)
        bench.db.run(scrubs.end, [old], drift={}, unseen="")
        assert bench.guard_all(campaign) == {}
        await scrubbing.scrub()
        assert list(bench.guard_all(campaign)) == [ANNA]

    async def test_a_pause_is_no_wait(self, bench: Bench, scrubbing: Scrubbing) -> None:
        """Twilio's patience begins when it is resumed."""
        campaign = scrubbing.enqueued(ANNA)
        scrubbing.campaigns.pause(campaign)
        bench.execute(
            "UPDATE campaign_scrub SET asked_at = now() - interval '1 day'; "
            "UPDATE campaign SET started_at = now() - interval '1 day'"
        )
        scrubbing.campaigns.resume(campaign)
        scrubbing.twilio.away = True
        await scrubbing.scrub()
        assert scrubbing.progress(campaign).holds == ("scrub",)


class TestUnseen:
    """What Twilio could not show is said."""

    async def test_nobody_can_reply_to_a_name(self, scrubbing: Scrubbing) -> None:
        """Its failed messages are read all the same."""
        campaign = scrubbing.enqueued(ANNA, sender=NAME)
        await scrubbing.scrub()
        assert scrubbing.outcome(campaign).unseen == "nobody can reply to ACME"

    async def test_too_many_messages_are_not_all_read(self, scrubbing: Scrubbing) -> None:
        """The newest are, and since when is said."""
        for person in (ANNA, BERT):
            await scrubbing.simulated.create(f"+{person}", from_=SENDER)
        blocks = replace(scrubbing.scrubber.blocks, most_messages=1, most_of_account=1)
        scrubbing.scrubber = replace(scrubbing.scrubber, blocks=blocks)
        campaign = scrubbing.enqueued(CARL)
        await scrubbing.scrub()
        unseen = scrubbing.outcome(campaign).unseen
        assert f"failures of {SENDER} before " in unseen
        assert "texts to other numbers and failures without a number before " in unseen


async def test_the_command_shows_what_was_found(bench: Bench, scrubbing: Scrubbing) -> None:
    """`sender campaign show`, for people and for programs."""
    await scrubbing.stopped(ANNA)
    campaign = scrubbing.enqueued(ANNA)
    environment = {"DATABASE_URL": bench.url, "REDIS_URL": "redis://localhost:1/0"}
    show = ["campaign", "show", str(campaign)]
    shown = CliRunner().invoke(app, show, env=environment)
    assert "scrub waiting" in shown.output
    assert "level campaign by the program: scrub (waits until Twilio was asked" in shown.output
    await scrubbing.scrub()
    shown = CliRunner().invoke(app, show, env=environment)
    assert "opt-outs that were not known: inbound 1, failures 0, alerts 0" in shown.output
    shown = CliRunner().invoke(app, [*show, "--json"], env=environment)
    assert '"inbound": 1' in shown.output
