"""Daily caps: how many segments a sender, or a tenant, may send a day."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import cycle
from zoneinfo import ZoneInfo

import pytest
from redis.asyncio import Redis

from sender.budgets import AHEAD
from sender.campaigns import Campaigns
from sender.domain.admission import CAP_ZONE
from sender.domain.message import OutboundText
from sender.domain.outcome import (
    Ambiguous,
    NotBegun,
    Outcome,
    QueueFull,
    RefusalKind,
    Refused,
    Throttled,
)
from sender.errors import ConfigurationError
from sender.sending import WINDOW
from sender.storage.database import AsyncDatabase
from tests.bench import (
    OTHER_SENDER,
    OTHER_TENANT,
    SENDER,
    TENANT,
    Bench,
    accepted,
    crowd,
)
from tests.pump_rig import AwayOnce, Rig, pump_rig

#: Two segments of GSM-7.
LONG = "x" * 200


def _campaigns(bench: Bench, tenant_id: int = TENANT) -> Campaigns:
    return Campaigns(db=bench.db, tenant_id=tenant_id)


def _cap(bench: Bench, segments: int | None, sender: str | None = SENDER) -> None:
    _campaigns(bench).set_daily_cap(sender, segments, zone=CAP_ZONE)


def _used(bench: Bench, level: str = "sender") -> int:
    return int(bench.value("SELECT used FROM daily_cap WHERE level = :level", level=level))


def _reasons(bench: Bench, campaign: int) -> list[str]:
    return [rest.reason for rest in _campaigns(bench).progress(campaign).rests]


async def _work_on_all(*rigs: Rig) -> None:
    """Every open slice once, by all the rigs side by side."""
    found = rigs[0].bench.execute("SELECT id FROM slice WHERE done_at IS NULL ORDER BY id")
    turns: Iterator[Rig] = cycle(rigs)
    await asyncio.gather(*(next(turns).pump.work(row.id) for row in found))


class TestTheCap:
    """What may go a day, and no more."""

    async def test_a_senders(self, rig: Rig) -> None:
        """At its cap a sender rests, and its campaign says why and until when."""
        campaign = rig.bench.campaign(*crowd(100))
        _cap(rig.bench, 70)
        await rig.work()
        assert len(rig.gateway.sent) == 70
        assert _used(rig.bench) == 70
        (rest,) = _campaigns(rig.bench).progress(campaign).rests
        assert rest.reason == "daily_cap"
        until = rest.until.astimezone(ZoneInfo(CAP_ZONE))
        assert (until.hour, until.minute, until.second) == (0, 0, 0)
        assert timedelta() < until - datetime.now(UTC) <= timedelta(hours=25)

    async def test_in_segments(self, rig: Rig) -> None:
        """Segments are counted, and a message goes as a whole or not."""
        rig.bench.campaign(*crowd(20), body=LONG)
        _cap(rig.bench, 9)
        await rig.work()
        assert len(rig.gateway.sent) == 4
        assert _used(rig.bench) == 8

    async def test_larger_than_a_day(self, rig: Rig) -> None:
        """What no day has room for fails, and keeps no other message of its sender from going."""
        people = crowd(20)
        large = rig.bench.campaign(*people, body=LONG + LONG)
        others = rig.bench.campaign(*people, body=LONG)
        _cap(rig.bench, 100, sender=None)
        _cap(rig.bench, 2)
        await rig.work()
        assert set(rig.bench.states(large).values()) == {"failed"}
        assert {rig.bench.row(large, one).reason for one in people} == {"over_daily_cap"}
        assert sorted(rig.bench.states(others).values()) == ["pending"] * 19 + ["sent"]
        assert (_used(rig.bench), _used(rig.bench, "tenant")) == (2, 2)

    async def test_nothing_today(self, rig: Rig) -> None:
        """A cap of 0 is a stop for now: nothing fails of it."""
        campaign = rig.bench.campaign(*crowd(20), body=LONG)
        _cap(rig.bench, 0)
        await rig.work()
        assert set(rig.bench.states(campaign).values()) == {"pending"}
        assert _reasons(rig.bench, campaign) == ["daily_cap"]

    async def test_a_tenants(self, rig: Rig) -> None:
        """A tenant's cap holds for all of its senders together, each of which rests."""
        one = rig.bench.campaign(*crowd(50))
        other = rig.bench.campaign(*crowd(50), sender=OTHER_SENDER)
        _cap(rig.bench, 60, sender=None)
        await _work_on_all(rig)
        await rig.work()
        assert len(rig.gateway.sent) == 60
        assert _reasons(rig.bench, one) == _reasons(rig.bench, other) == ["daily_cap"]

    async def test_both(self, rig: Rig) -> None:
        """Where a sender and its tenant have a cap, the one that is reached first holds."""
        rig.bench.campaign(*crowd(50))
        _cap(rig.bench, 20)
        _cap(rig.bench, 30, sender=None)
        await rig.work()
        assert len(rig.gateway.sent) == 20
        assert (_used(rig.bench), _used(rig.bench, "tenant")) == (20, 20)

    async def test_no_other_senders(self, rig: Rig) -> None:
        """A sender's cap is no other sender's, and a tenant's no other tenant's."""
        rig.bench.second_tenant()
        _campaigns(rig.bench, OTHER_TENANT).set_daily_cap(None, 0, zone=CAP_ZONE)
        campaign = rig.bench.campaign(*crowd(50), sender=OTHER_SENDER)
        _cap(rig.bench, 0)
        await rig.work()
        assert set(rig.bench.states(campaign).values()) == {"sent"}

    async def test_two_workers(self, rig: Rig, loop_db: AsyncDatabase, loop_redis: Redis) -> None:
        """However many work at the same time, the cap is reached and not passed."""
        rig.bench.campaign(*crowd(2000))
        _cap(rig.bench, 777)
        with rig.bench.live_worker() as another:
            other = pump_rig(rig.bench, loop_db, loop_redis, rig.redis_url, another)
            await _work_on_all(rig, other)
        assert len(rig.gateway.sent + other.gateway.sent) == 777
        assert _used(rig.bench) == 777

    async def test_a_wide_one(self, rig: Rig) -> None:
        """Where there is plenty left it is counted in advance, and what went remains of that."""
        rig.bench.campaign(*crowd(1000))
        _cap(rig.bench, 1_000_000)
        most = 0

        def answer(_: OutboundText) -> Outcome:
            nonlocal most
            most = max(most, _used(rig.bench) - len(rig.gateway.sent))
            return accepted()

        rig.gateway.answer = answer
        await rig.work()
        assert 0 < most <= AHEAD + 2 * WINDOW
        assert _used(rig.bench) == len(rig.gateway.sent) == 1000

    async def test_two_workers_with_plenty(
        self, rig: Rig, loop_db: AsyncDatabase, loop_redis: Redis
    ) -> None:
        """What several count in advance at the same time comes to what went."""
        rig.bench.campaign(*crowd(2000))
        _cap(rig.bench, 1_000_000)
        _cap(rig.bench, 2_000_000, sender=None)
        with rig.bench.live_worker() as another:
            other = pump_rig(rig.bench, loop_db, loop_redis, rig.redis_url, another)
            await _work_on_all(rig, other)
        assert len(rig.gateway.sent + other.gateway.sent) == 2000
        assert (_used(rig.bench), _used(rig.bench, "tenant")) == (2000, 2000)

    async def test_a_flush(self, rig: Rig, loop_redis: Redis) -> None:
        """What is used of a day is known without Redis."""
        rig.bench.campaign(*crowd(100))
        _cap(rig.bench, 70)
        await rig.work()
        await loop_redis.flushdb()
        await rig.work()
        assert len(rig.gateway.sent) == 70


class TestMidnight:
    """When a cap begins anew."""

    async def test_a_new_day(self, rig: Rig) -> None:
        """After midnight of the cap's zone as much may go again."""
        rig.bench.campaign(*crowd(100))
        _cap(rig.bench, 40)
        await rig.work()
        rig.bench.execute("UPDATE daily_cap SET day = day - 1")
        await rig.work()
        assert len(rig.gateway.sent) == 80
        today = datetime.now(ZoneInfo(CAP_ZONE)).date()
        assert rig.bench.value("SELECT day FROM daily_cap") == today

    async def test_in_its_own_zone(self, rig: Rig) -> None:
        """The day is the zone's: two zones a day apart have different ones."""
        rig.bench.campaign(*crowd(3))
        for sender, zone in ((SENDER, "Pacific/Kiritimati"), (OTHER_SENDER, "Pacific/Niue")):
            _campaigns(rig.bench).set_daily_cap(sender, 1, zone=zone)
            rig.bench.campaign(*crowd(3), sender=sender)
        await rig.work()
        east, west = (
            row.day for row in rig.bench.execute("SELECT day FROM daily_cap ORDER BY subject")
        )
        assert timedelta(days=1) <= east - west <= timedelta(days=2)

    async def test_a_day_never_goes_back(self, rig: Rig) -> None:
        """A worker whose look at the clock is older than another's takes nothing of yesterday."""
        rig.bench.campaign(*crowd(100))
        _cap(rig.bench, 40)
        await rig.work()
        rig.bench.execute("UPDATE daily_cap SET day = day + 1, used = 30")
        await rig.work()
        assert len(rig.gateway.sent) == 50


class TestWhatDidNotGo:
    """What is given back."""

    @pytest.mark.parametrize(
        ("outcome", "given_back"),
        [
            (accepted(), 0),
            (Ambiguous(why="read_timeout"), 0),
            (NotBegun(why="connect_refused"), 1),
            (Throttled(code=20429, retry_after=None), 1),
            (QueueFull(code=21611, retry_after=timedelta(minutes=10)), 1),
            (Refused(kind=RefusalKind.BAD_NUMBER, code=21211), 1),
        ],
        ids=repr,
    )
    async def test_by_the_provider(self, rig: Rig, outcome: Outcome, given_back: int) -> None:
        """What Twilio provably did not take counts no longer; what it may have taken does."""
        rig.bench.campaign(*crowd(30))
        _cap(rig.bench, 100)
        rig.gateway.answer = _first(outcome)
        await rig.work()
        assert _used(rig.bench) == len(rig.gateway.sent) - given_back

    @pytest.mark.parametrize("fails", ["give_back", "_close_slice"])
    async def test_once(self, rig: Rig, fails: str) -> None:
        """Postgres away at the end of a run: what is given back is given back once, or not."""
        rig.bench.campaign(*crowd(30))
        for sender in (SENDER, None):
            _cap(rig.bench, 1_000_000, sender)
        rig.gateway.answer = _first(Refused(kind=RefusalKind.BAD_NUMBER, code=21211))
        db = AwayOnce(rig.pump.db.engine, [fails])
        await replace(rig, pump=replace(rig.pump, db=db)).work()
        assert db.fails == []
        assert rig.bench.value("SELECT done_at IS NOT NULL FROM slice")
        went = len(rig.gateway.sent) - 1
        # What was counted in advance too, if what gives it back was lost on the way there.
        for level in ("sender", "tenant"):
            used = _used(rig.bench, level)
            assert used == went if fails == "_close_slice" else went < used <= went + AHEAD + WINDOW

    async def test_of_nobody(self, rig: Rig) -> None:
        """Where there is no cap there is nothing to give back, and nothing is asked for it."""
        rig.bench.campaign(*crowd(30))
        rig.gateway.answer = _first(Refused(kind=RefusalKind.BAD_NUMBER, code=21211))
        db = AwayOnce(rig.pump.db.engine, ["give_back"])
        await replace(rig, pump=replace(rig.pump, db=db)).work()
        assert rig.bench.value("SELECT done_at IS NOT NULL FROM slice")
        assert db.fails == ["give_back"]

    async def test_by_the_guard(self, rig: Rig) -> None:
        """Who is suppressed takes nothing of the cap: others go instead, on the same day."""
        people = crowd(60)
        rig.bench.campaign(*people)
        for person in people[:10]:
            rig.bench.opt_out(person)
        _cap(rig.bench, 40)
        for _ in range(3):
            await rig.work()
        assert sorted(rig.gateway.recipients) == people[10:50]
        assert _used(rig.bench) == 40

    async def test_of_a_day_that_is_over(self, rig: Rig) -> None:
        """What was taken yesterday and did not go leaves no more for today."""
        rig.bench.campaign(*crowd(40))
        _cap(rig.bench, 100)

        def answer(text: OutboundText) -> Outcome:
            rig.bench.execute("UPDATE daily_cap SET day = day + 1, used = 7")
            return _refused(text)

        rig.gateway.answer = answer
        await rig.work()
        assert _used(rig.bench) >= 7


class TestSettingIt:
    """What a person may say."""

    async def test_a_higher_cap_wakes(self, rig: Rig) -> None:
        """A raised cap ends the rest at once, and counts what went today."""
        campaign = rig.bench.campaign(*crowd(100))
        _cap(rig.bench, 40)
        await rig.work()
        assert _reasons(rig.bench, campaign) == ["daily_cap"]
        _cap(rig.bench, 70)
        assert _reasons(rig.bench, campaign) == []
        await rig.work()
        assert len(rig.gateway.sent) == 70

    async def test_a_cap_raised_while_a_run_ends(self, rig: Rig) -> None:
        """A run that found no room does not rest the sender for a cap that is gone."""
        campaign = rig.bench.campaign(*crowd(100))
        _cap(rig.bench, 40)
        rig.gateway.answer = _then(accepted(), lambda: _cap(rig.bench, 1000))
        await rig.work()
        rest = _campaigns(rig.bench).progress(campaign).rests
        assert all(one.until < datetime.now(UTC) + timedelta(minutes=1) for one in rest)

    async def test_the_first_cap_during_a_run(self, rig: Rig) -> None:
        """A run that began without a cap ends as soon as it hears of one; the next one counts."""
        rig.bench.campaign(*crowd(100), pace=20)
        rig.gateway.begun = _once(lambda: _cap(rig.bench, 10))
        (work,) = rig.bench.execute("SELECT id FROM slice")
        await rig.pump.work(work.id)
        begun = len(rig.gateway.sent)
        # A burst, which the first request of it capped, and what the pace gave in a second or two.
        assert 0 < begun < 100
        await rig.work()
        assert len(rig.gateway.sent) == begun + 10
        assert _used(rig.bench) == 10

    async def test_no_cap(self, rig: Rig) -> None:
        """Without a cap everything goes, and a tenant's cap that is taken away wakes them all."""
        one = rig.bench.campaign(*crowd(50))
        other = rig.bench.campaign(*crowd(50), sender=OTHER_SENDER)
        _cap(rig.bench, 0, sender=None)
        await rig.work()
        assert rig.gateway.sent == []
        assert _reasons(rig.bench, one) == _reasons(rig.bench, other) == ["daily_cap"]
        _cap(rig.bench, None, sender=None)
        assert _reasons(rig.bench, one) == _reasons(rig.bench, other) == []
        await rig.work()
        assert len(rig.gateway.sent) == 100

    async def test_it_wakes_from_nothing_else(self, rig: Rig) -> None:
        """A sender whose queue is full goes on resting."""
        campaign = rig.bench.campaign(*crowd(10))
        rig.gateway.answer = lambda _: QueueFull(code=21611, retry_after=timedelta(minutes=10))
        await rig.work()
        _cap(rig.bench, 1000)
        assert _reasons(rig.bench, campaign) == ["queue_full"]

    def test_a_new_zone(self, bench: Bench) -> None:
        """What is used of today stays used when the day is called by another zone."""
        _cap(bench, 100)
        bench.execute("UPDATE daily_cap SET used = 60, day = (now() AT TIME ZONE zone)::date")
        _campaigns(bench).set_daily_cap(SENDER, 100, zone="Pacific/Kiritimati")
        assert _used(bench) == 60
        bench.execute("UPDATE daily_cap SET day = day - 1")
        _campaigns(bench).set_daily_cap(SENDER, 100, zone="Pacific/Niue")
        assert _used(bench) == 0

    @pytest.mark.parametrize("zone", ["Mars/Olympus", "", "CET-99", "PST8PDT,junk"])
    def test_a_zone_that_does_not_exist(self, bench: Bench, zone: str) -> None:
        """A zone that no clock has is refused, and nothing is set."""
        with pytest.raises(ConfigurationError, match="time zone"):
            _campaigns(bench).set_daily_cap(SENDER, 5, zone=zone)
        assert bench.value("SELECT count(*) FROM daily_cap") == 0

    def test_less_than_nothing(self, bench: Bench) -> None:
        """A negative cap is refused; 0 is a cap, and None is none."""
        with pytest.raises(ValueError, match="None for no cap"):
            _cap(bench, -1)

    def test_another_tenants_sender(self, bench: Bench) -> None:
        """Nobody caps another tenant's sender."""
        bench.second_tenant()
        bench.sender_id(SENDER)
        with pytest.raises(ConfigurationError, match="another tenant"):
            _campaigns(bench, OTHER_TENANT).set_daily_cap(SENDER, 5, zone=CAP_ZONE)


def _once(act: Callable[[], object]) -> Callable[[OutboundText], object]:
    """The first request has this done."""
    acts = iter([act])
    return lambda _: next(acts, lambda: None)()


def _refused(_: OutboundText) -> Outcome:
    return Refused(kind=RefusalKind.BAD_NUMBER, code=21211)


def _first(outcome: Outcome) -> Callable[[OutboundText], Outcome]:
    """The first request ends like this, all others are accepted."""
    answers = iter([outcome])
    return lambda text: next(answers, None) or accepted(text.recipient)


def _then(outcome: Outcome, act: Callable[[], object]) -> Callable[[OutboundText], Outcome]:
    """Every request ends like this; the fortieth answer comes after something was done."""
    numbers = iter(range(1, 10_000))

    def answer(_: OutboundText) -> Outcome:
        if next(numbers) == 40:
            act()
        return outcome

    return answer
