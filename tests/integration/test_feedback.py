"""What an answer says beyond its own message: holds, and campaigns whose text is filtered."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from sender.domain.outcome import QueueFull, RefusalKind, Refused
from sender.filtering import hold_filtered
from sender.settlement import Handed, Settlement
from sender.storage import holds
from sender.storage.database import AsyncDatabase
from sender.storage.holds import Level
from tests.answers import CACHE, callback, fail, refuse, report
from tests.bench import (
    ANNA,
    BERT,
    CARL,
    ENFORCEMENT,
    OTHER_SENDER,
    OTHER_TENANT,
    TENANT,
    Bench,
    crowd,
    hand_off,
)

Wanted = tuple[str, int, str]


def in_force(bench: Bench) -> list[Wanted]:
    """The holds in force."""
    found = bench.execute(
        "SELECT level, subject, reason FROM hold WHERE released_at IS NULL ORDER BY 1, 2, 3"
    )
    return [(row.level, row.subject, row.reason) for row in found]


def release(bench: Bench, level: Level, subject: int) -> None:
    """Lift a hold by hand."""
    assert bench.db.run(holds.release, level, subject, author="ann")


class TestAtCreate:
    """The first door."""

    async def test_a_sender_code_holds_the_sender(
        self, bench: Bench, loop_db: AsyncDatabase
    ) -> None:
        """Its other messages wait, and another sender of the tenant goes on."""
        campaign = bench.campaign(ANNA, BERT)
        other = bench.campaign(ANNA, sender=OTHER_SENDER)
        licences = bench.guard_all(campaign).values()
        await refuse(bench, loop_db, [*licences], Refused(kind=RefusalKind.HALT, code=21606))
        assert in_force(bench) == [("sender", bench.sender_id(), "refused_21606")]
        assert set(bench.states(campaign).values()) == {"pending"}
        assert not bench.guard_all(campaign)
        assert bench.guard_all(other)

    async def test_an_account_code_holds_the_tenant(
        self, bench: Bench, loop_db: AsyncDatabase
    ) -> None:
        """No sender of the tenant goes on; another tenant does."""
        bench.second_tenant()
        campaign = bench.campaign(ANNA)
        same = bench.campaign(ANNA, sender=OTHER_SENDER)
        foreign = bench.campaign(ANNA, sender="+14155550003", tenant_id=OTHER_TENANT)
        licences = bench.guard_all(campaign).values()
        await refuse(bench, loop_db, [*licences], Refused(kind=RefusalKind.ACCOUNT, code=20003))
        assert in_force(bench) == [("tenant", TENANT, "refused_20003")]
        assert not bench.guard_all(campaign)
        assert not bench.guard_all(same)
        assert bench.guard_all(foreign)

    async def test_an_answer_from_before_the_release(
        self, bench: Bench, loop_db: AsyncDatabase
    ) -> None:
        """A refusal of a request begun before the release does not hold the sender again."""
        campaign = bench.campaign(ANNA, BERT)
        licences = bench.guard_all(campaign)
        halted = Refused(kind=RefusalKind.HALT, code=21606)
        await refuse(bench, loop_db, [licences[ANNA]], halted)
        release(bench, Level.SENDER, bench.sender_id())
        await refuse(bench, loop_db, [licences[BERT]], halted)
        assert in_force(bench) == []
        again = bench.guard_all(campaign)
        await refuse(bench, loop_db, [again[BERT]], halted)
        assert in_force(bench) == [("sender", bench.sender_id(), "refused_21606")]

    async def test_a_full_queue_holds_nobody(self, bench: Bench, loop_db: AsyncDatabase) -> None:
        """Its row waits with a reason of its own, for as long as was asked."""
        campaign = bench.campaign(ANNA)
        full = QueueFull(code=21611, retry_after=timedelta(minutes=10))
        settlement = Settlement(messages=bench.messages, enforcement=ENFORCEMENT, cache=CACHE)
        (licence,) = bench.guard_all(campaign).values()
        handed = Handed(guarded=licence, hand_off=hand_off(full))
        await settlement.settle(loop_db, [handed])
        row = bench.row(campaign)
        assert (row.state, row.reason, row.provider_code) == ("pending", "queue_full", 21611)
        assert row.next_at - row.changed_at > timedelta(minutes=9)
        assert in_force(bench) == []


class TestInACallback:
    """The second door."""

    @pytest.mark.parametrize(
        ("code", "level", "reason"), [(30034, "sender", "halt"), (30002, "tenant", "account")]
    )
    def test_a_halting_code_holds(self, bench: Bench, code: int, level: str, reason: str) -> None:
        """The same hold as at create; its message has failed for good."""
        campaign = bench.campaign(ANNA, BERT, CARL)
        licences = bench.guard_all(campaign)
        batch = [callback(licences[who].message_id, who, "failed", code) for who in (ANNA, BERT)]
        report(bench, *batch)
        report(bench, *batch)
        subject = {"sender": bench.sender_id(), "tenant": TENANT}[level]
        assert in_force(bench) == [(level, subject, f"refused_{code}")]
        assert bench.value("SELECT count(*) FROM hold") == 1
        row = bench.row(campaign)
        assert (row.state, row.reason) == ("failed", reason)
        assert not bench.guard_all(bench.campaign(ANNA))

    def test_a_late_one_does_not_undo_a_release(self, bench: Bench) -> None:
        """Only what was sent after the release can hold the sender again, and it does."""
        campaign = bench.campaign(ANNA, BERT, CARL)
        rows = bench.due(campaign)
        early = bench.guard(rows[:2])
        fail(bench, campaign, 30034, ANNA)
        release(bench, Level.SENDER, bench.sender_id())
        assert len(early) == 2
        fail(bench, campaign, 30034, BERT)
        assert in_force(bench) == []
        assert bench.guard(rows[2:])
        fail(bench, campaign, 30034, CARL)
        assert in_force(bench) == [("sender", bench.sender_id(), "refused_30034")]

    def test_of_a_message_that_was_never_guarded_here(self, bench: Bench) -> None:
        """After a restore a code is believed where nobody released it, and not where one did."""
        campaign = bench.campaign(ANNA, BERT)
        fail(bench, campaign, 30034, ANNA)
        assert len(in_force(bench)) == 1
        release(bench, Level.SENDER, bench.sender_id())
        fail(bench, campaign, 30034, BERT)
        assert in_force(bench) == []

    @pytest.mark.parametrize("code", [30001, 30022, 30003, 30047, 30410, 30450])
    def test_nothing_is_tried_again(self, bench: Bench, code: int) -> None:
        """What Twilio advises to retry is final here: the first one may still arrive."""
        campaign = bench.campaign(ANNA)
        bench.guard_all(campaign)
        fail(bench, campaign, code)
        assert bench.row(campaign).state == "undelivered"
        assert not bench.guard_all(campaign)
        assert in_force(bench) == []

    def test_failures_are_counted_once(self, bench: Bench) -> None:
        """By campaign and code, however often they are told; deliveries are not counted."""
        campaign = bench.campaign(ANNA, BERT, CARL)
        licences = bench.guard_all(campaign)
        batch = [
            callback(licences[ANNA].message_id, ANNA, "failed", 30007),
            callback(licences[BERT].message_id, BERT, "undelivered", None),
            callback(licences[CARL].message_id, CARL, "delivered", None),
        ]
        report(bench, *batch, *batch)
        report(bench, *batch)
        found = bench.execute("SELECT code, cause, messages FROM failure_count ORDER BY code")
        assert [tuple(row) for row in found] == [(0, "unclear", 1), (30007, "filtered", 1)]


class TestFiltered:
    """A campaign whose text is filtered."""

    def _campaign(self, bench: Bench, *, accepted: int, filtered: int, pending: int = 0) -> int:
        """A campaign of which so many were accepted, the first of them filtered."""
        people = crowd(accepted + pending)
        campaign = bench.campaign(*people)
        rows = bench.due(campaign)[:accepted]
        self._send(bench, campaign, [row.recipient for row in rows])
        self._filter(bench, campaign, [row.recipient for row in rows[:filtered]])
        return campaign

    @staticmethod
    def _send(bench: Bench, campaign: int, people: Sequence[int]) -> None:
        wanted = [row for row in bench.due(campaign) if row.recipient in set(people)]
        licences = bench.guard(wanted)
        assert len(licences) == len(people)
        bench.execute(
            "UPDATE message SET state = 'sent', sid = 'SM' || replace(id::text, '-', '') "
            "WHERE id = ANY (:ids)",
            ids=[one.message_id for one in licences],
        )

    @staticmethod
    def _filter(bench: Bench, campaign: int, people: Sequence[int]) -> None:
        rows = [row for row in bench.due(campaign) if row.recipient in set(people)]
        report(bench, *[callback(row.id, row.recipient, "undelivered", 30007) for row in rows])

    def test_it_is_held(self, bench: Bench) -> None:
        """Twenty that make a twentieth are enough; the others wait and nothing is sent again."""
        campaign = self._campaign(bench, accepted=400, filtered=20, pending=3)
        assert hold_filtered(bench.db) == 1
        assert in_force(bench) == [("campaign", campaign, "filtered")]
        assert bench.value("SELECT detail FROM hold").startswith("20 of 400 ")
        assert not bench.guard_all(campaign)
        assert list(bench.states(campaign).values()).count("undelivered") == 20
        assert bench.guard_all(bench.campaign(ANNA))
        assert hold_filtered(bench.db) == 0

    @pytest.mark.parametrize(("accepted", "filtered"), [(19, 19), (401, 20)])
    def test_it_goes_on(self, bench: Bench, accepted: int, filtered: int) -> None:
        """A few, or a small part, are a carrier's ordinary moods."""
        campaign = self._campaign(bench, accepted=accepted, filtered=filtered, pending=1)
        assert hold_filtered(bench.db) == 0
        assert bench.guard_all(campaign)

    def test_it_is_judged_again_when_they_grow(self, bench: Bench) -> None:
        """A campaign that went free is looked at again once there are a tenth more."""
        campaign = self._campaign(bench, accepted=401, filtered=20)
        people = [row.recipient for row in bench.due(campaign)]
        assert hold_filtered(bench.db) == 0
        self._filter(bench, campaign, people[20:21])
        assert hold_filtered(bench.db) == 0
        self._filter(bench, campaign, people[21:22])
        assert hold_filtered(bench.db) == 1

    def test_a_release_forgives_what_was_sent_before(self, bench: Bench) -> None:
        """After it only what was sent since counts, and late callbacks do not."""
        campaign = self._campaign(bench, accepted=60, filtered=20, pending=40)
        people = [row.recipient for row in bench.due(campaign)]
        assert hold_filtered(bench.db) == 1
        release(bench, Level.CAMPAIGN, campaign)
        self._filter(bench, campaign, people[20:60])
        assert hold_filtered(bench.db) == 0
        self._send(bench, campaign, people[60:])
        self._filter(bench, campaign, people[60:80])
        assert hold_filtered(bench.db) == 1
        assert in_force(bench) == [("campaign", campaign, "filtered")]

    def test_what_has_ended_is_left_alone(self, bench: Bench) -> None:
        """Nothing is held that sends nothing any more."""
        campaign = self._campaign(bench, accepted=20, filtered=20)
        bench.execute("UPDATE campaign SET state = 'COMPLETED' WHERE id = :id", id=campaign)
        assert hold_filtered(bench.db) == 0


async def test_holds_of_one_batch_are_placed_in_order(bench: Bench, loop_db: AsyncDatabase) -> None:
    """Two batches that place the same two holds in other orders do not block each other."""
    campaign, other = bench.campaign(ANNA, BERT), bench.campaign(ANNA, sender=OTHER_SENDER)
    licences = [*bench.guard_all(campaign).values(), *bench.guard_all(other).values()]
    settlement = Settlement(messages=bench.messages, enforcement=ENFORCEMENT, cache=CACHE)
    kinds = [RefusalKind.HALT, RefusalKind.ACCOUNT, RefusalKind.HALT]
    answered = [
        Handed(
            guarded=licence,
            hand_off=hand_off(Refused(kind=kind, code=21606)),
        )
        for licence, kind in zip(licences, kinds, strict=True)
    ]
    await settlement.settle(loop_db, answered)
    placed = bench.execute("SELECT level, subject FROM hold ORDER BY id")
    assert [tuple(row) for row in placed] == sorted(tuple(row) for row in placed)
    assert len(placed) == 3


async def test_a_refusal_that_says_nothing_more(bench: Bench, loop_db: AsyncDatabase) -> None:
    """A text that is refused holds nobody and says nothing of its number."""
    licences = bench.guard_all(bench.campaign(ANNA)).values()
    await refuse(bench, loop_db, [*licences], Refused(kind=RefusalKind.CONTENT, code=21617))
    assert in_force(bench) == []
    assert bench.value("SELECT count(*) FROM number_health") == 0


def test_an_accepted_message_teaches_nothing(bench: Bench) -> None:
    """What goes well writes nothing beside its row."""
    licence = bench.guard_all(bench.campaign(ANNA))[ANNA]
    report(bench, callback(licence.message_id, ANNA, "sent", None))
    report(bench, callback(licence.message_id, ANNA, "delivered", None))
    for table in ("number_health", "failure_count", "hold"):
        assert bench.value(f"SELECT count(*) FROM {table}") == 0  # noqa: S608  # our own tables
