"""The pump: a slice's rows to a fake gateway, on a real Postgres and a real Redis."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy.exc import OperationalError

from sender.audience import from_iterable
from sender.campaigns import Campaigns, Plan
from sender.domain.high_water import Look
from sender.domain.message import Guarded, OutboundText
from sender.domain.outcome import (
    Ambiguous,
    NotBegun,
    OptedOut,
    Outcome,
    RefusalKind,
    Refused,
    Throttled,
)
from sender.domain.template import TemplateError
from sender.send_clock import send_clock
from sender.sending import WINDOW
from sender.settlement import Handed, Settlement
from sender.storage.database import AsyncDatabase, Transaction
from sender.storage.messages import DueMessage, MessageTable
from sender.suppression import (
    RedisCache,
    SuppressionLookup,
    connect_async,
)
from sender.texts import READ_AHEAD
from tests.bench import (
    ANNA,
    BERT,
    CARL,
    ENFORCEMENT,
    SENDER,
    TENANT,
    accepted,
    crowd,
    soon,
)
from tests.pump_rig import AwayOnce, Rig, pump_rig


def _first(outcome: Outcome, then: Outcome | None = None) -> Callable[[OutboundText], Outcome]:
    """The first request ends like this, all others are accepted."""
    answers = iter([outcome])
    return lambda text: next(answers, then or accepted(text.recipient))


class TestSending:
    """What goes out."""

    async def test_a_whole_slice(self, rig: Rig) -> None:
        """Everybody is texted once, what the campaign says, and the slice is done."""
        people = crowd(150)
        campaign = rig.bench.campaign(*people, validity=timedelta(minutes=3))
        rig.warm()
        await rig.work()
        assert sorted(rig.gateway.recipients) == people
        assert set(rig.bench.states(campaign).values()) == {"sent"}
        text = rig.gateway.sent[0]
        assert (text.sender, text.body, text.validity) == (
            SENDER,
            "Sale today",
            timedelta(minutes=3),
        )
        assert rig.bench.value("SELECT done_at IS NOT NULL FROM slice")

    async def test_one_deadline(self, rig: Rig) -> None:
        """Every request of a window has one deadline, 10 s after its guard began, to begin in 2."""
        rig.bench.campaign(ANNA, BERT)
        before = send_clock()
        await rig.work()
        ((deadline, connect_by),) = set(rig.gateway.limits)
        assert before + 10 <= deadline <= send_clock() + 10
        assert deadline - connect_by == pytest.approx(8)

    async def test_a_done_slice_is_not_worked_on(self, rig: Rig) -> None:
        """A repeated hint for a slice that is done sends nothing."""
        rig.bench.campaign(ANNA)
        slice_id = rig.bench.value("SELECT id FROM slice")
        assert await rig.pump.work(slice_id)
        assert not await rig.pump.work(slice_id)
        assert rig.gateway.recipients == [ANNA]

    async def test_bodies_are_filled_in(self, rig: Rig) -> None:
        """Each gets the text with their own fields; a text that cannot be made fails alone."""
        campaigns = Campaigns(db=rig.bench.db, tenant_id=TENANT)
        rows = [
            {"phone": f"+{ANNA}", "name": "Anna"},
            {"phone": f"+{BERT}", "name": "B" * 2000},
        ]
        created = campaigns.create(
            Plan(name="S", sender=SENDER, body="Hi {name}", audience=from_iterable(rows))
        )
        campaigns.set_pace(SENDER, 1000)
        campaigns.enqueue(created)
        await rig.work()
        assert [text.body for text in rig.gateway.sent] == ["Hi Anna"]
        assert rig.bench.row(created, BERT).reason == "unfit_body"

    async def test_two_workers_on_the_same_rows(
        self, rig: Rig, loop_db: AsyncDatabase, loop_redis: Redis
    ) -> None:
        """Whatever two workers believe they own, nobody is texted twice."""
        people = crowd(120)
        rig.bench.campaign(*people)
        slice_id = rig.bench.value("SELECT id FROM slice")
        with rig.bench.live_worker() as another:
            other = pump_rig(rig.bench, loop_db, loop_redis, rig.redis_url, another)
            work = asyncio.create_task(rig.pump.work(slice_id))
            await soon(lambda: rig.gateway.sent)
            rig.bench.execute("UPDATE slice SET leased_until = now() - interval '1 hour'")
            assert await other.pump.work(slice_id)
            await work
        assert sorted(rig.gateway.recipients + other.gateway.recipients) == people

    async def test_two_runs_of_one_process(self, rig: Rig) -> None:
        """A slice whose lease was lost is not begun anew by the process still working on it.

        Both runs would own what they guard under one id: one whose guard's commit broke would put
        the other's rows back, which are on their way to Twilio, and they would be sent twice.
        """
        people = crowd(5)
        campaign = rig.bench.campaign(*people)
        slice_id = rig.bench.value("SELECT id FROM slice")
        db = _SlowToPutBack(rig.pump.db.engine)
        pump = replace(rig.pump, db=db, messages=_RefusedGuard())
        first = asyncio.create_task(pump.work(slice_id))
        await soon(db.asked.is_set)
        rig.bench.execute("UPDATE slice SET owner = NULL, leased_until = NULL")
        rig.gateway.latency = timedelta(milliseconds=50)
        second = asyncio.create_task(pump.work(slice_id))
        await soon(lambda: second.done() or rig.gateway.sent)
        db.may_put_back.set()
        assert [await first, await second] == [True, False]
        await rig.work()
        assert sorted(rig.gateway.recipients) == people
        assert set(rig.bench.states(campaign).values()) == {"sent"}

    async def test_the_pace_is_kept(self, rig: Rig) -> None:
        """No more goes out than the sender's pace allows; the sender rests until more may go."""
        campaign = rig.bench.campaign(*crowd(50), pace=0.01)
        await rig.work()
        assert len(rig.gateway.sent) == 2
        assert rig.bench.value("SELECT rests_until > now() FROM sender")
        assert rig.bench.value("SELECT owner IS NULL AND done_at IS NULL FROM slice")
        assert list(rig.bench.states(campaign).values()).count("pending") == 48


class TestSuppression:
    """Redis's word and Postgres's."""

    async def test_a_cold_set(self, rig: Rig) -> None:
        """While the set is cold Postgres decides alone."""
        campaign = rig.bench.campaign(ANNA, BERT)
        rig.bench.opt_out(BERT)
        await rig.work()
        assert rig.gateway.recipients == [ANNA]
        row = rig.bench.row(campaign, BERT)
        assert (row.state, row.reason, row.gen) == ("suppressed", "stop", 0)

    async def test_a_hit(self, rig: Rig) -> None:
        """A hit is settled with Postgres's reason."""
        campaign = rig.bench.campaign(ANNA, BERT)
        rig.warm(BERT)
        rig.bench.opt_out(BERT)
        await rig.work()
        assert rig.gateway.recipients == [ANNA]
        assert rig.bench.row(campaign, BERT).reason == "stop"

    async def test_hits_here_and_there(self, rig: Rig) -> None:
        """Few hits in a large slice are all settled, whatever is read and settled at a time."""
        people = crowd(2 * READ_AHEAD + 100)
        campaign = rig.bench.campaign(*people)
        hits = [*people[:READ_AHEAD:20], *people[READ_AHEAD : READ_AHEAD + 99 : 2], people[-1]]
        rig.warm(*hits)
        for person in hits:
            rig.bench.opt_out(person)
        await rig.work()
        states = rig.bench.states(campaign)
        assert {who for who, state in states.items() if state == "suppressed"} == set(hits)
        assert sorted(rig.gateway.recipients) == sorted(set(people) - set(hits))
        assert rig.bench.value("SELECT done_at IS NOT NULL FROM slice")

    async def test_a_warm_set_that_lost_somebody(self, rig: Rig) -> None:
        """A set that looks whole and is not leaks nobody."""
        rig.warm()
        rig.bench.campaign(ANNA, BERT)
        rig.bench.opt_out(BERT)
        await rig.work()
        assert rig.gateway.recipients == [ANNA]

    async def test_a_wrong_hit(self, rig: Rig) -> None:
        """A hit that Postgres does not know is repaired, and the message goes at the next run."""
        campaign = rig.bench.campaign(ANNA, BERT)
        rig.warm(BERT)
        await rig.work()
        assert rig.gateway.recipients == [ANNA]
        assert rig.bench.row(campaign, BERT).state == "pending"
        await rig.work()
        assert rig.gateway.recipients == [ANNA, BERT]

    async def test_without_redis(self, rig: Rig) -> None:
        """Without Redis nothing is sent, and the rows wait."""
        campaign = rig.bench.campaign(ANNA)
        with socket.socket() as unheard:
            unheard.bind(("127.0.0.1", 0))
            url = f"redis://127.0.0.1:{unheard.getsockname()[1]}/0"
            async with connect_async(url) as nowhere:
                await rig.with_lookup(SuppressionLookup(nowhere)).work()
        assert rig.gateway.sent == []
        row = rig.bench.row(campaign)
        assert (row.state, row.gen) == ("pending", 0)
        assert rig.bench.value("SELECT owner IS NULL FROM slice")
        assert rig.bench.value("SELECT rests_until > now() FROM sender")
        await rig.work()
        assert rig.gateway.recipients == [ANNA]

    async def test_a_stop_during_the_request(self, rig: Rig) -> None:
        """A STOP that comes during the request waits for it, and is in force for what follows."""
        rig.bench.campaign(ANNA)
        events: list[int] = []

        def stopping(text: OutboundText) -> Outcome:
            events.append(rig.bench.opt_out(ANNA))
            assert not rig.bench.enforced(*events)
            return accepted()

        rig.gateway.answer = stopping
        await rig.work()
        assert rig.bench.enforced(*events)
        later = rig.bench.campaign(ANNA)
        await rig.work()
        assert rig.gateway.recipients == [ANNA]
        assert rig.bench.row(later).state == "suppressed"


class TestOutcomes:
    """What the provider says, and what follows."""

    async def test_throttled(self, rig: Rig) -> None:
        """A 429 rests as long as it was told, and goes again."""
        campaign = rig.bench.campaign(ANNA)
        rig.gateway.answer = _first(Throttled(code=20429, retry_after=timedelta(seconds=40)))
        await rig.work()
        row = rig.bench.row(campaign)
        assert (row.state, row.reason, row.provider_code) == ("pending", "throttled", 20429)
        await rig.work()
        assert len(rig.gateway.sent) == 1
        rig.bench.execute("UPDATE message SET next_at = now()")
        await rig.work()
        assert rig.gateway.recipients == [ANNA, ANNA]
        assert rig.bench.row(campaign).state == "sent"

    async def test_not_begun(self, rig: Rig) -> None:
        """A request that was never begun goes again after a rest."""
        campaign = rig.bench.campaign(ANNA)
        rig.gateway.answer = _first(NotBegun(why="connect_refused"))
        await rig.work()
        assert rig.bench.row(campaign).reason == "connect_refused"
        rig.bench.execute("UPDATE message SET next_at = now()")
        await rig.work()
        assert rig.bench.row(campaign).state == "sent"

    async def test_ambiguous(self, rig: Rig) -> None:
        """What may have been accepted is in doubt, and no run sends it again."""
        campaign = rig.bench.campaign(ANNA)
        rig.gateway.answer = _first(Ambiguous(why="http_500", code=500))
        await rig.work()
        row = rig.bench.row(campaign)
        assert (row.state, row.reason, row.provider_code) == ("in_doubt", "http_500", 500)
        rig.bench.execute("UPDATE slice SET done_at = NULL")
        await rig.work()
        assert rig.gateway.recipients == [ANNA]

    async def test_refused(self, rig: Rig) -> None:
        """A refusal of one message stops no other."""
        campaign = rig.bench.campaign(ANNA, BERT)
        rig.gateway.answer = _first(Refused(kind=RefusalKind.BAD_NUMBER, code=21211))
        await rig.work()
        states = rig.bench.states(campaign)
        assert sorted(states.values()) == ["failed", "sent"]

    async def test_halt(self, rig: Rig) -> None:
        """A refusal that would meet every message holds the sender; its rows wait."""
        campaign = rig.bench.campaign(*crowd(1000))
        rig.gateway.answer = lambda _: Refused(kind=RefusalKind.HALT, code=20003)
        await rig.work()
        begun = len(rig.gateway.sent)
        # As many as a commit takes; this gateway answers at once.
        assert begun < 500
        assert rig.bench.value("SELECT reason FROM hold WHERE level = 'sender'") == "refused_20003"
        assert set(rig.bench.states(campaign).values()) == {"pending"}
        await rig.work()
        assert len(rig.gateway.sent) == begun

    async def test_opted_out(self, rig: Rig) -> None:
        """A 21610 suppresses, opens an incident, reaches Redis at once and is not repeated."""
        rig.warm()
        campaign = rig.bench.campaign(ANNA)
        rig.gateway.answer = _first(OptedOut(code=21610))
        await rig.work()
        row = rig.bench.row(campaign)
        assert (row.state, row.reason, row.provider_code) == (
            "suppressed",
            "provider_block",
            21610,
        )
        (incident,) = rig.bench.execute("SELECT door, cause, began_at FROM incident")
        assert (incident.door, incident.cause) == ("create", "imported_opted_out")
        assert incident.began_at >= row.guarded_at
        later = rig.bench.campaign(ANNA)
        await rig.work()
        assert rig.gateway.recipients == [ANNA]
        assert rig.bench.row(later).state == "suppressed"


class _BrokenGuard(MessageTable):
    """Its guard's commit is done, and the answer lost, as often as told."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures

    def guard(
        self,
        tx: Transaction,
        rows: Sequence[DueMessage],
        *,
        owner: int,
        lease: timedelta,
        seen: Look | None = None,
    ) -> list[Guarded]:
        passed = super().guard(tx, rows, owner=owner, lease=lease, seen=seen)
        if self.failures:
            self.failures -= 1
            tx.commit()
            raise OperationalError("COMMIT", {}, Exception("the connection broke"))
        return passed


class _RefusedGuard(MessageTable):
    """Its first guard breaks before its commit: nothing of it is left."""

    broke = False

    def guard(
        self,
        tx: Transaction,
        rows: Sequence[DueMessage],
        *,
        owner: int,
        lease: timedelta,
        seen: Look | None = None,
    ) -> list[Guarded]:
        passed = super().guard(tx, rows, owner=owner, lease=lease, seen=seen)
        if not self.broke:
            self.broke = True
            raise OperationalError("COMMIT", {}, Exception("the connection broke"))
        return passed


@dataclass(frozen=True)
class _SlowToPutBack(AsyncDatabase):
    """It has no connection free for a put-back until it is told to."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    may_put_back: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if work.__name__ == "put_back":
            self.asked.set()
            await self.may_put_back.wait()
        return await super().run(work, *args, **kwargs)


@dataclass(frozen=True, kw_only=True)
class _HinderedSettlement(Settlement):
    """Its database fails it with these, one at a time."""

    failures: list[Exception]

    async def settle(self, db: AsyncDatabase, batch: Sequence[Handed]) -> None:
        if self.failures:
            raise self.failures.pop()
        await super().settle(db, batch)


class TestStopping:
    """What ends a run early."""

    async def test_a_guard_whose_answer_was_lost(self, rig: Rig) -> None:
        """Rows whose guard may have been committed, and were not sent, go back to pending."""
        people = crowd(40)
        campaign = rig.bench.campaign(*people)
        broken = rig.with_messages(_BrokenGuard(failures=1))
        await broken.work()
        assert rig.gateway.sent == []
        assert set(rig.bench.states(campaign).values()) == {"pending"}
        gens = {row.gen for row in rig.bench.due(campaign)}
        assert gens == {0, 2}
        await broken.work()
        assert sorted(rig.gateway.recipients) == people

    async def test_a_settlement_that_must_wait(self, rig: Rig, loop_redis: Redis) -> None:
        """An answer is kept until Postgres is back, and the message is not sent again."""
        campaign = rig.bench.campaign(ANNA)
        settlement = _HinderedSettlement(
            messages=rig.bench.messages,
            enforcement=ENFORCEMENT,
            cache=RedisCache(loop_redis),
            failures=[OperationalError("UPDATE", {}, Exception("the server went away"))],
        )
        await rig.with_settlement(settlement).work()
        assert rig.gateway.recipients == [ANNA]
        assert rig.bench.row(campaign).state == "sent"

    async def test_a_pause(self, rig: Rig) -> None:
        """A pause ends the run at its next window; a resume goes on where it stood."""
        people = crowd(200)
        campaign = rig.bench.campaign(*people)
        campaigns = Campaigns(db=rig.bench.db, tenant_id=TENANT)

        def pausing(text: OutboundText) -> Outcome:
            campaigns.pause(campaign)
            return accepted(text.recipient)

        rig.gateway.answer = pausing
        await rig.work()
        begun = len(rig.gateway.sent)
        assert 0 < begun < 200
        states = list(rig.bench.states(campaign).values())
        assert (states.count("sent"), states.count("pending")) == (begun, 200 - begun)
        rig.gateway.answer = lambda text: accepted(text.recipient)
        campaigns.resume(campaign)
        await rig.work()
        assert sorted(rig.gateway.recipients) == people

    async def test_a_shutdown(self, rig: Rig) -> None:
        """At shutdown a slice ends at its next window, and all that was begun is settled."""
        people = crowd(200)
        campaign = rig.bench.campaign(*people)

        def stopping(text: OutboundText) -> Outcome:
            rig.pump.stopping.set()
            return accepted(text.recipient)

        rig.gateway.answer = stopping
        await rig.work()
        assert 0 < len(rig.gateway.sent) <= 3 * WINDOW
        assert set(rig.bench.states(campaign).values()) == {"sent", "pending"}
        assert rig.bench.value("SELECT owner IS NULL AND done_at IS NULL FROM slice")

    async def test_a_gateway_with_a_bug(self, rig: Rig) -> None:
        """An error nobody foresaw ends no other message, and its own is not sent again."""
        campaign = rig.bench.campaign(ANNA, BERT, CARL)

        def buggy(text: OutboundText) -> Outcome:
            if text.recipient == BERT:
                raise ZeroDivisionError
            return accepted(text.recipient)

        rig.gateway.answer = buggy
        await rig.work()
        assert rig.bench.states(campaign) == {ANNA: "sent", BERT: "sending", CARL: "sent"}
        await rig.work()
        assert rig.gateway.recipients.count(BERT) == 1
        assert await asyncio.wait_for(rig.pump.permits.take(64), timeout=20) == 64

    async def test_a_slice_is_given_back_after_an_absence(self, rig: Rig) -> None:
        """A slice whose closing fails is closed as soon as Postgres is there again."""
        rig.bench.campaign(ANNA)
        db = AwayOnce(rig.pump.db.engine, ["_close_slice"])
        await replace(rig, pump=replace(rig.pump, db=db)).work()
        assert db.fails == []
        assert rig.bench.value("SELECT owner IS NULL AND done_at IS NOT NULL FROM slice")

    async def test_a_run_that_raises(self, rig: Rig) -> None:
        """A run that raises, from its first step on, gives its slice back to rest."""
        rig.bench.campaign(ANNA)
        rig.bench.execute("UPDATE campaign SET body = 'Hi {'")
        with pytest.raises(TemplateError):
            await rig.work()
        assert rig.bench.value("SELECT owner IS NULL AND due_at > now() FROM slice")

    async def test_postgres_is_away(self, rig: Rig) -> None:
        """Without the guard's commit nothing is sent."""
        campaign = rig.bench.campaign(*crowd(40))
        await rig.with_messages(_BrokenGuard(failures=10**9)).work()
        assert rig.gateway.sent == []
        assert set(rig.bench.states(campaign).values()) == {"pending"}
