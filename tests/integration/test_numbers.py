"""What failures say about numbers, and what campaigns make of it."""

import json

import pytest
from typer.testing import CliRunner

from sender.cli import app
from sender.domain.number_health import NumberFault
from sender.domain.outcome import RefusalKind, Refused
from sender.errors import ErasureRefused, InvalidRecipient
from sender.numbers import PAGE, Numbers
from sender.receipts import Receipts
from sender.storage.database import AsyncDatabase
from tests.answers import callback, fail, refuse, report
from tests.bench import (
    ANNA,
    BERT,
    CARL,
    DORA,
    ENFORCEMENT,
    OTHER_ACCOUNT,
    OTHER_TENANT,
    TENANT,
    Bench,
)
from tests.pump_rig import Rig


class TestLearning:
    """Both doors tell of numbers."""

    @staticmethod
    def _health(bench: Bench, recipient: int = ANNA) -> list[tuple[int, int, bool]]:
        """Tenant, strikes, and whether it is skipped now."""
        found = bench.execute(
            "SELECT tenant_id, strikes, coalesce(bad_until > now(), false) AS bad "
            "FROM number_health WHERE recipient = :r ORDER BY 1",
            r=recipient,
        )
        return [tuple(row) for row in found]

    @staticmethod
    def _sent(bench: Bench, *people: int, **plan: object) -> int:
        campaign = bench.campaign(*people, **plan)  # type: ignore[arg-type]  # a test's own words
        assert len(bench.guard_all(campaign)) == len(people)
        return campaign

    @staticmethod
    def _days_pass(bench: Bench, days: int) -> None:
        """As if everything known of numbers were older by so much."""
        bench.execute(
            "UPDATE number_health SET changed_at = changed_at - make_interval(days => :days), "
            "first_strike_at = first_strike_at - make_interval(days => :days), "
            "bad_until = bad_until - make_interval(days => :days)",
            days=days,
        )

    async def test_a_refused_number_is_marked(self, bench: Bench, loop_db: AsyncDatabase) -> None:
        """At create a landline is bad for half a year."""
        licences = bench.guard_all(bench.campaign(ANNA)).values()
        landline = Refused(kind=RefusalKind.BAD_NUMBER, code=21635, fault=NumberFault.LANDLINE)
        await refuse(bench, loop_db, [*licences], landline)
        assert self._health(bench) == [(TENANT, 0, True)]
        self._days_pass(bench, 179)
        assert self._health(bench) == [(TENANT, 0, True)]
        self._days_pass(bench, 1)
        assert self._health(bench) == [(TENANT, 0, False)]

    def test_a_callback_marks_too(self, bench: Bench) -> None:
        """The other door says the same."""
        fail(bench, self._sent(bench, ANNA), 30006)
        assert self._health(bench) == [(TENANT, 0, True)]

    def test_from_a_short_code_it_is_a_strike(self, bench: Bench) -> None:
        """A short code's network takes more numbers for landlines than are."""
        fail(bench, self._sent(bench, ANNA, sender="55555"), 30006)
        assert self._health(bench) == [(TENANT, 1, False)]

    def test_strikes_over_days(self, bench: Bench) -> None:
        """Silence marks a number at the third strike, a week after the first."""
        for strikes, days, bad in [(1, 4, False), (2, 4, False), (3, 0, True)]:
            campaign = self._sent(bench, ANNA)
            fail(bench, campaign, 30003)
            fail(bench, campaign, 30003)  # a repeated callback is no second strike
            assert self._health(bench) == [(TENANT, strikes, bad)]
            self._days_pass(bench, days)

    def test_two_strikes_in_one_batch(self, bench: Bench) -> None:
        """Two campaigns' failures to one number that come together both count."""
        batch = [
            callback(bench.row(one).id, ANNA, "undelivered", 30003)
            for one in (self._sent(bench, ANNA), self._sent(bench, ANNA))
        ]
        report(bench, *batch)
        assert self._health(bench) == [(TENANT, 2, False)]

    def test_a_delivery_wipes_it(self, bench: Bench) -> None:
        """A number that was reached has no history, with this tenant; another's stays."""
        bench.second_tenant()
        fail(bench, self._sent(bench, ANNA, BERT), 30006)
        foreign = self._sent(bench, ANNA, sender="+14155550003", tenant_id=OTHER_TENANT)
        fail(bench, foreign, 30006, account=OTHER_ACCOUNT)
        campaign = self._sent(bench, ANNA)
        report(bench, callback(bench.row(campaign).id, ANNA, "delivered", None))
        assert self._health(bench) == [(OTHER_TENANT, 0, True)]

    def test_a_late_delivery_wipes_its_own_strike(self, bench: Bench) -> None:
        """Undelivered first and delivered later says that the handset has it."""
        campaign = self._sent(bench, ANNA)
        fail(bench, campaign, 30003)
        report(bench, callback(bench.row(campaign).id, ANNA, "delivered", None))
        assert self._health(bench) == []

    def test_both_in_one_batch(self, bench: Bench) -> None:
        """The handset's word counts, whichever stands first."""
        message_id = bench.row(self._sent(bench, ANNA)).id
        report(
            bench,
            callback(message_id, ANNA, "undelivered", 30003),
            callback(message_id, ANNA, "delivered", None),
        )
        assert self._health(bench) == []

    def test_an_opt_out_is_no_fault(self, bench: Bench) -> None:
        """Whoever opted out has a good number: the list keeps them from being texted."""
        message_id = bench.row(self._sent(bench, ANNA)).id
        receipts = Receipts(messages=bench.messages, enforcement=ENFORCEMENT)
        bench.db.run(receipts.apply_block, callback(message_id, ANNA, "failed", 21610))
        assert self._health(bench) == []
        assert bench.is_suppressed()


class TestSkipping:
    """Campaigns of a tenant do not text its bad numbers."""

    @staticmethod
    def _mark(bench: Bench, recipient: int, *, days: int, tenant_id: int = TENANT) -> None:
        """As if a failure had marked the number, to be skipped for so many more days."""
        bench.execute(
            "INSERT INTO number_health (tenant_id, recipient, code, bad_until) "
            "VALUES (:tenant_id, :recipient, 21635, now() + make_interval(days => :days))",
            tenant_id=tenant_id,
            recipient=recipient,
            days=days,
        )

    async def test_no_request_is_made(self, rig: Rig) -> None:
        """A bad number's row fails with its reason; marks that ran out and strikes do not count."""
        self._mark(rig.bench, ANNA, days=1)
        self._mark(rig.bench, BERT, days=-1)
        rig.bench.execute(
            "INSERT INTO number_health (tenant_id, recipient, strikes, code) "
            "VALUES (:tenant, :carl, 2, 30003)",
            tenant=TENANT,
            carl=CARL,
        )
        campaign = rig.bench.campaign(ANNA, BERT, CARL, DORA)
        await rig.work()
        row = rig.bench.row(campaign)
        assert (row.state, row.reason) == ("failed", "known_bad_number")
        assert row.guarded_at is None
        assert sorted(rig.gateway.recipients) == [BERT, CARL, DORA]

    async def test_only_bad_numbers(self, rig: Rig) -> None:
        """A slice of nothing else is done all the same."""
        self._mark(rig.bench, ANNA, days=1)
        campaign = rig.bench.campaign(ANNA)
        await rig.work()
        assert rig.bench.states(campaign) == {ANNA: "failed"}
        assert rig.bench.value("SELECT count(*) FROM slice WHERE done_at IS NULL") == 0
        assert not rig.gateway.sent

    async def test_another_tenants_mark_is_theirs(self, rig: Rig) -> None:
        """What one tenant learnt of a number keeps no other from texting it."""
        rig.bench.second_tenant()
        self._mark(rig.bench, ANNA, days=1, tenant_id=OTHER_TENANT)
        rig.bench.campaign(ANNA)
        await rig.work()
        assert rig.gateway.recipients == [ANNA]

    async def test_from_refusal_to_skip(self, rig: Rig) -> None:
        """The whole way: refused in one campaign, skipped by the next, texted once forgotten."""
        landline = Refused(kind=RefusalKind.BAD_NUMBER, code=21635, fault=NumberFault.LANDLINE)
        goes_well = rig.gateway.answer
        rig.gateway.answer = lambda _: landline
        rig.bench.campaign(ANNA)
        await rig.work()
        rig.gateway.answer = goes_well
        rig.bench.campaign(ANNA)
        await rig.work()
        assert len(rig.gateway.sent) == 1
        numbers = Numbers(db=rig.bench.db, tenant_id=TENANT)
        assert numbers.forget(f"+{ANNA}", author="ann")
        rig.bench.campaign(ANNA)
        await rig.work()
        assert len(rig.gateway.sent) == 2


class TestApi:
    """``client.numbers``."""

    def test_check_bad_forget(self, bench: Bench) -> None:
        """A marked number is shown, listed, and forgotten by somebody who is named."""
        bench.second_tenant()
        mine, theirs = (Numbers(db=bench.db, tenant_id=one) for one in (TENANT, OTHER_TENANT))
        assert mine.check(f"+{ANNA}") is None
        bench.guard_all(campaign := bench.campaign(ANNA, BERT))
        fail(bench, campaign, 30006, ANNA)
        fail(bench, campaign, 30003, BERT)
        found = mine.check(f"+{ANNA}")
        assert found is not None
        assert (found.recipient, found.code, found.strikes) == (ANNA, 30006, 0)
        assert [one.recipient for one in mine.bad()] == [ANNA]
        assert theirs.check(f"+{ANNA}") is None
        assert list(theirs.bad()) == []
        assert not theirs.forget(f"+{ANNA}", author="eve")
        assert mine.forget(f"+{ANNA}", author="ann")
        assert list(mine.bad()) == []
        forgotten = mine.check(f"+{ANNA}")
        assert forgotten is not None
        assert (forgotten.bad_until, forgotten.forgotten_by) == (None, "ann")

    def test_what_is_refused(self, bench: Bench) -> None:
        """Forgetting needs a name, and both need a number with its country."""
        numbers = Numbers(db=bench.db, tenant_id=TENANT)
        with pytest.raises(ErasureRefused, match="author"):
            numbers.forget(f"+{ANNA}", author=" ")
        with pytest.raises(InvalidRecipient, match="country"):
            numbers.check("4155552001")

    def test_pages(self, bench: Bench) -> None:
        """More numbers than a page holds are read to the last, each once."""
        count = 2 * PAGE + 1
        bench.execute(
            "INSERT INTO number_health (tenant_id, recipient, code, bad_until) "
            "SELECT :tenant, 14155550000 + n, 21635, now() + interval '1 day' "
            "FROM generate_series(1, :count) AS n",
            tenant=TENANT,
            count=count,
        )
        found = [one.recipient for one in Numbers(db=bench.db, tenant_id=TENANT).bad()]
        assert found == [14155550000 + n for n in range(1, count + 1)]


class TestCommand:
    """``sender numbers``."""

    @staticmethod
    def _say(bench: Bench, *words: str) -> str:
        settings = {
            "DATABASE_URL": bench.url,
            "REDIS_URL": "redis://127.0.0.1:1/0",
            "COLUMNS": "100",
        }
        result = CliRunner(env=settings).invoke(app, ["numbers", *words])
        assert result.exit_code == 0, result.output
        return result.stdout

    def test_list_show_forget(self, bench: Bench) -> None:
        """For people and for programs; a list has whole numbers only for who asks."""
        assert "no number is skipped" in self._say(bench, "list")
        assert "nothing speaks against it" in self._say(bench, "show", f"+{ANNA}")
        bench.guard_all(campaign := bench.campaign(ANNA))
        fail(bench, campaign, 30006)
        assert "+1•••••2001" in self._say(bench, "list")
        assert f"+{ANNA}" in self._say(bench, "list", "--reveal")
        assert "30006" in self._say(bench, "show", f"+{ANNA}")
        for reveal, number in (([], "+1•••••2001"), (["--reveal"], f"+{ANNA}")):
            listed = json.loads(self._say(bench, "list", "--json", *reveal))["numbers"]
            assert [one["recipient"] for one in listed] == [number]
        said = self._say(bench, "forget", f"+{ANNA}", "--author", "ann")
        assert "text it again" in said
        shown = json.loads(self._say(bench, "show", f"+{ANNA}", "--json"))["number"]
        assert (shown["bad_until"], shown["forgotten_by"]) == (None, "ann")
        gone = json.loads(self._say(bench, "forget", f"+{BERT}", "--author", "ann", "--json"))
        assert gone == {"forgotten": False}
