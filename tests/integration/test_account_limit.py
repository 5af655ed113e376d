"""An account that takes so many requests at a time, and a sender whose queue is full."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from redis.asyncio import Redis

from sender.campaigns import Campaigns
from sender.domain.concurrency import FIRST
from sender.domain.message import OutboundText
from sender.domain.outcome import Accepted, Outcome, QueueFull, Throttled
from sender.domain.provider import HandOff
from sender.storage.database import AsyncDatabase
from sender.suppression import connect_sync
from sender.suppression.keys import pause_key
from tests.bench import (
    ANNA,
    OTHER_SENDER,
    SENDER,
    TENANT,
    Bench,
    FakeGateway,
    accepted,
    crowd,
    hand_off,
)
from tests.pump_rig import Rig, pump_rig

FULL = QueueFull(code=21611, retry_after=timedelta(minutes=10))


@dataclass(kw_only=True)
class LimitedGateway(FakeGateway):
    """Twilio's account limit: what is too much at a time is refused at once with a 429."""

    bears: int
    retry_after: timedelta | None = None
    in_flight: int = 0
    most: int = 0
    taken: int = 0
    refused: int = 0

    async def send(self, text: OutboundText, *, deadline: float, connect_by: float) -> HandOff:
        """Take it, or refuse it."""
        self.sent.append(text)
        if self.in_flight >= self.bears:
            self.refused += 1
            return hand_off(Throttled(code=20429, retry_after=self.retry_after))
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        await asyncio.sleep(self.latency.total_seconds())
        self.in_flight -= 1
        self.taken += 1
        return hand_off(Accepted(sid=f"SM{text.message_id.hex}", provider_status="queued"))


def _at(rig: Rig, gateway: FakeGateway) -> Rig:
    """The rig with another gateway."""
    return Rig(
        bench=rig.bench,
        pump=type(rig.pump)(**{**vars(rig.pump), "gateways": gateway}),
        gateway=gateway,
        redis_url=rig.redis_url,
    )


def _pending(bench: Bench) -> int:
    return int(bench.value("SELECT count(*) FROM message WHERE state = 'pending'"))


async def _all_at_once(*rigs: Rig) -> None:
    """Every open slice is worked on, by all the rigs side by side, until nothing is pending."""
    bench = rigs[0].bench
    for _ in range(100):
        bench.execute("UPDATE message SET next_at = NULL WHERE state = 'pending'")
        bench.execute("UPDATE slice SET due_at = NULL")
        bench.execute("UPDATE sender SET rests_until = NULL")
        with connect_sync(rigs[0].redis_url) as redis:
            redis.delete(pause_key(TENANT))
        found = bench.execute("SELECT id FROM slice WHERE done_at IS NULL ORDER BY id")
        await asyncio.gather(
            *(rigs[number % len(rigs)].pump.work(row.id) for number, row in enumerate(found))
        )
        if not _pending(bench):
            return
    raise AssertionError("messages are pending after a hundred rounds")


class TestStorms:
    """What a burst of 429s leads to."""

    async def test_one_process_finds_its_way(self, rig: Rig) -> None:
        """In flight adapts to what the account bears: all are texted once, few are refused."""
        people = crowd(1000)
        campaign = rig.bench.campaign(*people)
        gateway = LimitedGateway(bears=10, latency=timedelta(milliseconds=5))
        await _all_at_once(_at(rig, gateway))
        assert set(rig.bench.states(campaign).values()) == {"sent"}
        assert gateway.taken == len(people)
        assert gateway.refused <= 0.15 * len(people)
        assert rig.pump.experience.accounts[TENANT].limit <= 2 * gateway.bears

    async def test_two_processes_share_it(
        self, rig: Rig, loop_db: AsyncDatabase, loop_redis: Redis
    ) -> None:
        """Processes that know nothing of each other keep to one account's limit together."""
        people = crowd(2000)
        campaign = rig.bench.campaign(*people)
        gateway = LimitedGateway(bears=20, latency=timedelta(milliseconds=5))
        with rig.bench.live_worker() as another:
            other = pump_rig(rig.bench, loop_db, loop_redis, rig.redis_url, another)
            await _all_at_once(_at(rig, gateway), _at(other, gateway))
        assert set(rig.bench.states(campaign).values()) == {"sent"}
        assert gateway.taken == len(people)
        assert gateway.refused <= 0.15 * len(people)
        limits = [one.pump.experience.accounts[TENANT].limit for one in (rig, other)]
        assert sum(limits) <= 3 * gateway.bears

    async def test_what_it_bears_is_used(self, rig: Rig) -> None:
        """An account that refuses nothing is used up to what the process may."""
        rig.bench.campaign(*crowd(2000))
        gateway = LimitedGateway(bears=1000, latency=timedelta(milliseconds=20))
        await _all_at_once(_at(rig, gateway))
        assert gateway.most >= 48

    async def test_an_account_that_takes_nothing(self, rig: Rig) -> None:
        """It is soon asked with fewer messages at a time, and then left alone by everybody."""
        campaign = rig.bench.campaign(*crowd(500))
        gateway = LimitedGateway(bears=0)
        limited = _at(rig, gateway)
        slice_id = rig.bench.value("SELECT id FROM slice")
        await limited.pump.work(slice_id)
        assert len(gateway.sent) < 100
        assert rig.pump.experience.accounts[TENANT].limit < FIRST
        assert rig.bench.value("SELECT rest_reason FROM sender") == "throttled"
        assert set(rig.bench.states(campaign).values()) == {"pending"}

    async def test_a_pause_is_everybodys(
        self, rig: Rig, loop_db: AsyncDatabase, loop_redis: Redis
    ) -> None:
        """What one process was told by ``Retry-After`` keeps the others from asking."""
        rig.bench.campaign(*crowd(40))
        rig.bench.campaign(ANNA, sender=OTHER_SENDER)
        asked = Throttled(code=20429, retry_after=timedelta(seconds=40))
        rig.gateway.answer = lambda _: asked
        first, last = (row.id for row in rig.bench.execute("SELECT id FROM slice ORDER BY id"))
        await rig.pump.work(first)
        with rig.bench.live_worker() as another:
            other = pump_rig(rig.bench, loop_db, loop_redis, rig.redis_url, another)
            await other.pump.work(last)
        assert other.gateway.sent == []
        resting = rig.bench.execute("SELECT rest_reason FROM sender WHERE rests_until > now()")
        assert [row.rest_reason for row in resting] == ["throttled", "throttled"]

    async def test_without_redis_it_goes_on(self, rig: Rig) -> None:
        """A pause that cannot be told costs requests that are refused, and no message."""
        campaign = rig.bench.campaign(*crowd(5))
        asked = Throttled(code=20429, retry_after=timedelta(seconds=40))

        def answer(_: OutboundText) -> Outcome:
            with connect_sync(rig.redis_url) as redis:
                redis.delete(pause_key(TENANT))
                redis.sadd(pause_key(TENANT), "what no script can read")
            return asked

        rig.gateway.answer = answer
        await rig.work()
        assert set(rig.bench.states(campaign).values()) == {"pending"}


class TestFullQueues:
    """A sender that the provider takes no more of (21611)."""

    async def test_it_rests_the_sender(self, rig: Rig) -> None:
        """The sender rests as long as was found, with its reason; its rows wait."""
        campaign = rig.bench.campaign(*crowd(500))
        rig.gateway.answer = lambda _: FULL
        await rig.pump.work(rig.bench.value("SELECT id FROM slice"))
        assert len(rig.gateway.sent) <= 32
        assert set(rig.bench.states(campaign).values()) == {"pending"}
        assert rig.bench.value("SELECT rests_until > now() + interval '9 minutes' FROM sender")
        progress = Campaigns(db=rig.bench.db, tenant_id=TENANT).progress(campaign)
        (rest,) = progress.rests
        assert rest.reason == "queue_full"
        assert progress.reasons["pending", "queue_full"] == len(rig.gateway.sent)

    async def test_it_is_not_the_account(self, rig: Rig) -> None:
        """Other senders of the account go on, with as many in flight as before."""
        rig.bench.campaign(*crowd(100))
        later = rig.bench.campaign(*crowd(100), sender=OTHER_SENDER)
        rig.gateway.answer = lambda text: (
            FULL if text.sender == SENDER else accepted(text.recipient)
        )
        await rig.work()
        assert set(rig.bench.states(later).values()) == {"sent"}
        assert rig.pump.experience.accounts[TENANT].limit >= 16

    async def test_a_new_pace_does_not_end_it(self, rig: Rig) -> None:
        """A queue is as full at any pace."""
        rig.bench.campaign(ANNA)
        rig.gateway.answer = lambda _: FULL
        await rig.work()
        Campaigns(db=rig.bench.db, tenant_id=TENANT).set_pace(SENDER, 5)
        assert rig.bench.value("SELECT rests_until > now() FROM sender")


async def test_below_the_rate(rig: Rig) -> None:
    """A sender sends a little less than Twilio gives it, so that its queue there drains."""
    pace = 40
    rig.bench.campaign(*crowd(100), pace=pace)
    before = await _seconds(rig)
    await rig.pump.work(rig.bench.value("SELECT id FROM slice"))
    spent = await _seconds(rig) - before
    assert len(rig.gateway.sent) <= 0.95 * pace * (1 + spent) + 1


async def _seconds(rig: Rig) -> float:
    """Redis's clock, by which tokens come."""
    with connect_sync(rig.redis_url) as redis:
        seconds, microseconds = redis.time()
    return float(seconds) + float(microseconds) / 1e6
