"""Doubts that people decide: refused while a request may be under way, and nothing is ever sent."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from sender.domain.receipt import Receipt
from sender.doubting import Doubts
from sender.errors import NotFound, VerdictRefused
from sender.gateway.codes import callback_verdict
from sender.receipts import CONTRADICTION, Counted, Receipts
from sender.storage import cursors, doubts
from sender.storage.database import AsyncDatabase
from tests.answers import settle
from tests.bench import (
    ACCOUNT,
    ANNA,
    BERT,
    CARL,
    ENFORCEMENT,
    HORIZON,
    OTHER_TENANT,
    SENDER,
    TENANT,
    Bench,
    accepted,
    new_sid,
)
from tests.pump_rig import Rig

BY = {"author": "ann", "evidence": "Console, 12:30"}


@pytest.fixture
def judge(bench: Bench) -> Doubts:
    """The default tenant's doubts."""
    return Doubts(db=bench.db, tenant_id=TENANT, horizon=HORIZON)


def _doubt(bench: Bench, campaign: int, recipient: int = ANNA, *, old: bool = True) -> UUID:
    """Put a guarded row in doubt, long ago unless told otherwise."""
    message_id = bench.put(campaign, "in_doubt", recipient, reason="read_timeout")
    if old:
        bench.execute(
            "UPDATE message SET changed_at = now() - interval '1 hour' WHERE id = :id",
            id=message_id,
        )
        bench.execute(
            "UPDATE doubt SET since = now() - interval '1 hour' WHERE message_id = :id",
            id=message_id,
        )
    return message_id


def _told(message_id: UUID, status: str, code: int | None = None) -> Receipt:
    """A status callback."""
    return Receipt(
        message_id=message_id,
        account_sid=ACCOUNT,
        sid=new_sid(1),
        status=status,
        code=code,
        to=f"+{ANNA}",
        from_=SENDER,
        service_sid=None,
        raw_dlr_done=None,
        verdict=callback_verdict(status, code, toll_free=False),
    )


class TestVerdict:
    """What a person found out."""

    @pytest.mark.parametrize("was", ["in_doubt", "unknown"])
    @pytest.mark.parametrize(
        ("sent", "end"),
        [(True, ("sent", "verdict_sent")), (False, ("failed", "verdict_not_sent"))],
    )
    def test_it_is_recorded(
        self, bench: Bench, judge: Doubts, *, was: str, sent: bool, end: tuple[str, str]
    ) -> None:
        """A verdict ends the doubt, and stays with its author, evidence and what it was about."""
        campaign = bench.campaign(ANNA)
        message_id = _doubt(bench, campaign)
        bench.put(campaign, was)
        judge.resolve(message_id, sent=sent, **BY)
        row = bench.row(campaign)
        assert (row.state, row.reason) == end
        decision = judge.show(message_id).decision
        assert decision is not None
        assert (decision.sent, decision.author, decision.evidence, decision.reason) == (
            sent,
            "ann",
            "Console, 12:30",
            "read_timeout",
        )
        assert judge.waiting() == []

    @pytest.mark.parametrize("sent", [True, False])
    async def test_nothing_is_sent_by_it(self, rig: Rig, *, sent: bool) -> None:
        """Whatever the verdict, no run sends the message again."""
        bench = rig.bench
        campaign = bench.campaign(ANNA)
        bench.guard_all(campaign)
        message_id = _doubt(bench, campaign)
        judge = Doubts(db=bench.db, tenant_id=TENANT, horizon=HORIZON)
        judge.resolve(message_id, sent=sent, **BY)
        bench.execute("UPDATE slice SET done_at = NULL")
        await rig.work()
        assert rig.gateway.sent == []

    @pytest.mark.parametrize(
        "state",
        [
            *("pending", "sending", "sent", "delivered", "undelivered"),
            *("suppressed", "failed", "expired", "canceled"),
        ],
    )
    def test_only_a_doubt_is_decided(self, bench: Bench, judge: Doubts, state: str) -> None:
        """A row whose outcome is known, or that was not begun, takes no verdict."""
        campaign = bench.campaign(ANNA)
        message_id = bench.put(campaign, state)
        with pytest.raises(VerdictRefused, match=f"is {state}"):
            judge.resolve(message_id, sent=True, **BY)
        assert bench.row(campaign).state == state
        assert bench.value("SELECT count(*) FROM verdict") == 0

    @pytest.mark.parametrize("missing", ["author", "evidence"])
    def test_author_and_evidence(self, bench: Bench, judge: Doubts, missing: str) -> None:
        """A verdict has an author and evidence."""
        message_id = _doubt(bench, bench.campaign(ANNA))
        with pytest.raises(VerdictRefused, match="needs an author"):
            judge.resolve(message_id, sent=True, **{**BY, missing: ""})

    def test_another_tenants_message(self, bench: Bench, judge: Doubts) -> None:
        """Nobody sees or decides another tenant's doubts."""
        bench.second_tenant()
        others = Doubts(db=bench.db, tenant_id=OTHER_TENANT, horizon=HORIZON)
        campaign = bench.campaign(ANNA)
        message_id = _doubt(bench, campaign)
        for unknown in (message_id, uuid4()):
            with pytest.raises(NotFound):
                others.resolve(unknown, sent=True, **BY)
            with pytest.raises(NotFound):
                others.show(unknown)
        assert others.waiting() == []
        with pytest.raises(VerdictRefused, match="has 0 doubts"):
            others.resolve_all(campaign, sent=True, expect=1, **BY)

    def test_a_fresh_doubt_is_not_decided(self, bench: Bench, judge: Doubts) -> None:
        """While its request may be under way nobody decides it: a STOP waits for it as before."""
        campaign = bench.campaign(ANNA)
        message_id = _doubt(bench, campaign, old=False)
        stop = bench.opt_out(ANNA)
        with pytest.raises(VerdictRefused, match="still be under way"):
            judge.resolve(message_id, sent=False, **BY)
        with pytest.raises(VerdictRefused, match="still be under way"):
            judge.resolve_all(campaign, sent=False, expect=1, **BY)
        assert not bench.enforced(stop)
        bench.execute("UPDATE message SET changed_at = now() - interval '121 seconds'")
        assert bench.enforced(stop)
        judge.resolve(message_id, sent=False, **BY)

    def test_a_verdict_given_early(self, bench: Bench) -> None:
        """Where its giver knew a shorter horizon, a STOP waits for the fleet's all the same."""
        campaign = bench.campaign(ANNA)
        message_id = _doubt(bench, campaign, old=False)
        stop = bench.opt_out(ANNA)
        hasty = Doubts(db=bench.db, tenant_id=TENANT, horizon=timedelta())
        hasty.resolve(message_id, sent=False, **BY)
        assert not bench.enforced(stop)
        bench.execute("UPDATE verdict SET doubted_at = now() - interval '121 seconds'")
        assert bench.enforced(stop)

    def test_many_at_once(self, bench: Bench, judge: Doubts) -> None:
        """All of a campaign's doubts, if there are as many as somebody looked at."""
        campaign = bench.campaign(ANNA, BERT, CARL)
        _doubt(bench, campaign, ANNA)
        with pytest.raises(VerdictRefused, match="has 1 doubts, not 2"):
            judge.resolve_all(campaign, sent=True, expect=2, **BY)
        _doubt(bench, campaign, BERT)
        bench.put(campaign, "unknown", BERT)
        assert judge.resolve_all(campaign, sent=True, expect=2, **BY) == 2
        assert bench.states(campaign) == {ANNA: "sent", BERT: "sent", CARL: "pending"}


class TestLaterWord:
    """The provider's, after a person's."""

    @pytest.fixture
    def receipts(self, bench: Bench) -> Receipts:
        """Applies status callbacks."""
        return Receipts(messages=bench.messages, enforcement=ENFORCEMENT)

    @pytest.mark.parametrize(
        ("word", "end", "alarms"),
        [
            (("queued", None), "sent", 1),
            (("sent", None), "sent", 1),
            (("delivered", None), "delivered", 1),
            (("undelivered", 30003), "undelivered", 1),
            (("failed", 30007), "failed", 0),
            (("canceled", None), "canceled", 0),
        ],
    )
    def test_it_beats_not_sent(
        self,
        bench: Bench,
        judge: Doubts,
        receipts: Receipts,
        *,
        word: tuple[str, int | None],
        end: str,
        alarms: int,
    ) -> None:
        """A callback overrules "not sent", and is an alarm where the text left after all."""
        campaign = bench.campaign(ANNA)
        message_id = _doubt(bench, campaign)
        judge.resolve(message_id, sent=False, **BY)
        told = [_told(message_id, *word)] * 2  # Twilio repeats itself
        assert bench.db.run(receipts.apply, told) == [Counted()] * 2
        bench.db.run(receipts.apply, told)
        row = bench.row(campaign)
        assert (row.state, row.sid) == (end, new_sid(1))
        assert row.reason != "verdict_not_sent"
        kind = bench.execute("SELECT kind FROM alarm")
        assert [one.kind for one in kind] == [CONTRADICTION] * alarms

    def test_it_adds_to_sent(self, bench: Bench, judge: Doubts, receipts: Receipts) -> None:
        """A message that a person found sent takes what the provider says later, like any other."""
        campaign = bench.campaign(ANNA)
        message_id = _doubt(bench, campaign)
        judge.resolve(message_id, sent=True, **BY)
        bench.db.run(receipts.apply, [_told(message_id, "failed", 30007)])
        assert bench.row(campaign).state == "failed"
        assert bench.value("SELECT count(*) FROM alarm") == 0

    async def test_a_21610_beats_not_sent(
        self, bench: Bench, judge: Doubts, receipts: Receipts
    ) -> None:
        """A 21610 that comes after "not sent" suppresses as always."""
        campaign = bench.campaign(ANNA)
        message_id = _doubt(bench, campaign)
        judge.resolve(message_id, sent=False, **BY)
        bench.db.run(receipts.apply_block, _told(message_id, "failed", 21610))
        assert (bench.row(campaign).state, bench.is_suppressed()) == ("suppressed", True)

    async def test_a_late_answer_beats_not_sent(
        self, bench: Bench, judge: Doubts, loop_db: AsyncDatabase
    ) -> None:
        """The answer to our own request, settled after the verdict, counts and is an alarm."""
        campaign = bench.campaign(ANNA)
        licence = bench.guard_all(campaign)[ANNA]
        message_id = _doubt(bench, campaign)
        judge.resolve(message_id, sent=False, **BY)
        await settle(bench, loop_db, licence, accepted(1))
        assert (bench.row(campaign).state, bench.row(campaign).sid) == ("sent", new_sid(1))
        (alarm,) = bench.execute("SELECT kind, detail FROM alarm")
        assert alarm.kind == "answer_contradicts_verdict"
        assert alarm.detail == {"message_id": str(message_id), "sid": new_sid(1)}

    async def test_a_second_sid(self, bench: Bench, loop_db: AsyncDatabase) -> None:
        """An answer that names another message than a callback did before it is an alarm."""
        campaign = bench.campaign(ANNA)
        licence = bench.guard_all(campaign)[ANNA]
        bench.put(campaign, "delivered", sid=new_sid(1))
        await settle(bench, loop_db, licence, accepted(2))
        assert (bench.row(campaign).state, bench.row(campaign).sid) == ("delivered", new_sid(1))
        (alarm,) = bench.execute("SELECT kind, detail FROM alarm")
        assert (alarm.kind, alarm.detail["sid"]) == ("answer_second_sid", new_sid(2))

    def test_an_ordinary_failure_stays(self, bench: Bench, receipts: Receipts) -> None:
        """Only a person's word gives way: what Twilio failed is not revived by a late callback."""
        campaign = bench.campaign(ANNA)
        message_id = bench.put(campaign, "failed", reason="content", sid=new_sid(1))
        bench.db.run(receipts.apply, [_told(message_id, "sent")])
        assert bench.row(campaign).state == "failed"


class TestShowing:
    """What a person sees."""

    def test_the_oldest_first(self, bench: Bench, judge: Doubts) -> None:
        """Doubts are listed by age, by campaign if asked, each with how far its search is."""
        first, second = bench.campaign(ANNA), bench.campaign(BERT)
        young = _doubt(bench, first, old=False)
        aged = _doubt(bench, second, BERT)
        bench.db.run(doubts.note, aged, "nothing")
        assert [one.message_id for one in judge.waiting()] == [aged, young]
        assert [one.message_id for one in judge.waiting(campaign=first)] == [young]
        (old,) = judge.waiting(older_than=timedelta(minutes=30))
        assert (old.recipient, old.reason, old.found) == (BERT, "read_timeout", "nothing")
        assert timedelta(minutes=59) < old.age < timedelta(minutes=70)

    def test_everything_about_one(self, bench: Bench, judge: Doubts) -> None:
        """One doubt is shown with its guard, worker, reason, receipts and search."""
        with bench.live_worker() as owner:
            campaign = bench.campaign(ANNA)
            guarded = bench.guard_all(campaign, owner=owner)[ANNA]
            message_id = _doubt(bench, campaign)
            case = judge.show(message_id)
        assert (case.worker, case.guarded_at) == ("test", guarded.guarded_at)
        assert (case.sender, case.recipient, case.body) == (SENDER, ANNA, "Sale today")
        assert (case.state, case.reason, case.checks) == ("in_doubt", "read_timeout", 0)
        receipts = Receipts(messages=bench.messages, enforcement=ENFORCEMENT)
        bench.db.run(receipts.apply, [_told(message_id, "delivered")])
        case = judge.show(message_id)
        assert [(one.status, one.sid) for one in case.receipts] == [("delivered", new_sid(1))]

    def test_the_report_is_once_a_day(self, bench: Bench) -> None:
        """Whoever asks first on a day tells of the unknown messages, by campaign."""
        assert bench.db.run(cursors.first_of_day, "report")
        assert not bench.db.run(cursors.first_of_day, "report")
        bench.execute("UPDATE cursor_position SET position = position - 1")
        assert bench.db.run(cursors.first_of_day, "report")
        campaign = bench.campaign(ANNA)
        _doubt(bench, campaign)
        assert bench.db.run(doubts.unknown) == {}
        bench.put(campaign, "unknown")
        assert bench.db.run(doubts.unknown) == {campaign: 1}
