"""What the provider took and did not pass on is taken back: of canceled campaigns, after STOPs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from sender.campaigns import Campaigns
from sender.domain.provider import MessageRecord
from sender.errors import ProviderUnavailable
from sender.gateway import NOT_PASSED_ON, callback_verdict
from sender.recalling import DECIDED_AT_A_TIME, Recaller
from sender.storage import recalls
from sender.storage.database import AsyncDatabase
from tests.bench import (
    ACCOUNT,
    ANNA,
    BERT,
    CARL,
    NOBODY,
    OTHER_SENDER,
    SENDER,
    TENANT,
    Bench,
    crowd,
    new_sid,
)


@dataclass
class _Provider:
    """Twilio, which cancels what it still keeps."""

    kept: set[str] = field(default_factory=set)
    #: What it says of a message that it does not keep.
    status: str = "sent"
    away: bool = False
    asked: list[str] = field(default_factory=list)

    async def of(self, _tenant_id: int) -> "_Provider":
        """Every tenant's."""
        return self

    async def cancel(self, sid: str) -> bool:
        """Too late for what it does not keep."""
        self.asked.append(sid)
        if self.away:
            raise ProviderUnavailable("away")
        return sid in self.kept

    async def fetch(self, sid: str) -> MessageRecord | None:
        """Its record."""
        return MessageRecord(
            sid=sid,
            account_sid=ACCOUNT,
            direction="outbound-api",
            from_=SENDER,
            to=f"+{ANNA}",
            body="",
            status=self.status,
            error_code=None,
            date_created=datetime.now(UTC),
            service_sid=None,
            num_media=0,
            verdict=callback_verdict(self.status, None, toll_free=False),
        )


Recall = Callable[[_Provider], Recaller]


@pytest.fixture
def recaller(bench: Bench, loop_db: AsyncDatabase) -> Recall:
    """Takes back at this provider."""
    return lambda provider: Recaller(
        db=loop_db, messages=bench.messages, providers=provider, kept=NOT_PASSED_ON
    )


@pytest.fixture
def campaigns(bench: Bench) -> Campaigns:
    """The default tenant's campaigns."""
    return Campaigns(db=bench.db, tenant_id=TENANT)


def _accepted(bench: Bench, *people: int, sender: str = SENDER) -> int:
    """A campaign whose messages Twilio has taken."""
    campaign = bench.campaign(*people, sender=sender)
    bench.guard_all(campaign)
    for person in people:
        bench.put(campaign, "sent", person, sid=_sid(person), reason="accepted")
    return campaign


def _sid(person: int) -> str:
    return new_sid(person)


def _receipt(bench: Bench, campaign: int, person: int, status: str) -> None:
    bench.execute(
        "INSERT INTO receipt (message_id, sid, status) VALUES (:id, :sid, :status)",
        id=bench.row(campaign, person).id,
        sid=_sid(person),
        status=status,
    )


class TestCanceledCampaign:
    """After a cancel."""

    async def test_what_is_still_there(
        self, bench: Bench, recaller: Recall, campaigns: Campaigns
    ) -> None:
        """What Twilio put off is canceled there; what left, as its callback says, is not asked."""
        campaign = _accepted(bench, ANNA, BERT, CARL)
        _receipt(bench, campaign, ANNA, "scheduled")
        _receipt(bench, campaign, BERT, "sent")
        campaigns.cancel(campaign)
        provider = _Provider(kept={_sid(ANNA)})
        assert await recaller(provider).recall() == 1
        assert sorted(provider.asked) == [_sid(ANNA), _sid(CARL)]
        row = bench.row(campaign)
        assert (row.state, row.reason) == ("canceled", "canceled_at_provider")
        assert (bench.row(campaign, BERT).state, bench.row(campaign, CARL).state) == (
            "sent",
            "sent",
        )
        assert bench.value("SELECT count(*) FROM recall") == 0
        assert await recaller(provider).recall() == 0
        assert len(provider.asked) == 2

    async def test_nothing_without_a_cancel(self, bench: Bench, recaller: Recall) -> None:
        """A campaign that nobody canceled is left alone."""
        _accepted(bench, ANNA)
        provider = _Provider(kept={_sid(ANNA)})
        assert await recaller(provider).recall() == 0
        assert provider.asked == []

    async def test_a_request_that_is_under_way(
        self, bench: Bench, recaller: Recall, campaigns: Campaigns
    ) -> None:
        """A message that is being sent at the cancel is taken back once it was accepted."""
        campaign = bench.campaign(ANNA, BERT)
        bench.guard(bench.due(campaign)[:1], owner=NOBODY)
        campaigns.cancel(campaign)
        provider = _Provider(kept={_sid(ANNA)})
        assert await recaller(provider).recall() == 0
        bench.put(campaign, "sent", ANNA, sid=_sid(ANNA))
        assert await recaller(provider).recall() == 1
        assert bench.states(campaign) == {ANNA: "canceled", BERT: "canceled"}

    async def test_not_while_anything_is_pending(
        self, bench: Bench, recaller: Recall, campaigns: Campaigns
    ) -> None:
        """Nothing is listed before the cancel has passed all rows: none can slip by."""
        campaign = _accepted(bench, ANNA)
        campaigns.cancel(campaign)
        bench.put(campaign, "pending", ANNA)
        bench.execute("UPDATE slice SET done_at = NULL")
        await recaller(_Provider()).recall()
        assert bench.value("SELECT recall_due FROM campaign")
        bench.put(campaign, "sent", ANNA)
        assert await recaller(_Provider(kept={_sid(ANNA)})).recall() == 1
        assert not bench.value("SELECT recall_due FROM campaign")

    async def test_a_completed_one(
        self, bench: Bench, recaller: Recall, campaigns: Campaigns
    ) -> None:
        """Canceling a completed campaign takes back what waits for the morning; it stays so."""
        campaign = _accepted(bench, ANNA)
        bench.execute("UPDATE campaign SET state = 'COMPLETED'")
        bench.execute("UPDATE slice SET done_at = now()")
        assert campaigns.cancel(campaign) == 0
        assert campaigns.progress(campaign).state == "COMPLETED"
        assert await recaller(_Provider(kept={_sid(ANNA)})).recall() == 1
        assert bench.row(campaign).state == "canceled"

    async def test_twilio_is_away(
        self, bench: Bench, recaller: Recall, campaigns: Campaigns
    ) -> None:
        """Without Twilio nothing changes, and it is asked again later; a day later no more."""
        campaign = _accepted(bench, ANNA)
        campaigns.cancel(campaign)
        assert await recaller(_Provider(away=True)).recall() == 0
        assert bench.row(campaign).state == "sent"
        assert bench.value("SELECT next_try > now() AND tries = 1 FROM recall")
        provider = _Provider(kept={_sid(ANNA)})
        assert await recaller(provider).recall() == 0
        bench.execute("UPDATE message SET guarded_at = now() - interval '25 hours'")
        bench.execute("UPDATE recall SET next_try = now()")
        assert await recaller(provider).recall() == 0
        assert provider.asked == []
        assert bench.value("SELECT count(*) FROM recall") == 0

    async def test_an_answer_that_was_lost(
        self, bench: Bench, recaller: Recall, campaigns: Campaigns
    ) -> None:
        """Too late because we canceled it ourselves is canceled."""
        campaign = _accepted(bench, ANNA)
        campaigns.cancel(campaign)
        assert await recaller(_Provider(status="canceled")).recall() == 1
        assert bench.row(campaign).state == "canceled"


class TestLongList:
    """A list of which nobody reads the whole."""

    def _forget(self, bench: Bench, *, limit: int) -> int:
        return bench.db.run(recalls.forget_decided, kept=NOT_PASSED_ON, limit=limit)

    def _listed(self, bench: Bench, *people: int) -> int:
        """A campaign on the list, in this order."""
        campaign = _accepted(bench, *people)
        for place, person in enumerate(people):
            bench.execute(
                "INSERT INTO recall (message_id, next_try) "
                "VALUES (:id, now() - interval '1 minute' + make_interval(secs => :place))",
                id=bench.row(campaign, person).id,
                place=place,
            )
        return campaign

    def _line(self, bench: Bench) -> list[int]:
        """Who is due, in turn."""
        found = bench.execute(
            "SELECT m.recipient FROM recall r JOIN message m ON m.id = r.message_id "
            "WHERE r.next_try <= now() ORDER BY r.next_try"
        )
        return [row.recipient for row in found]

    def test_only_its_head_is_looked_at(self, bench: Bench) -> None:
        """What was decided is forgotten when its turn comes, a few at a time."""
        campaign = self._listed(bench, *(people := crowd(5)))
        bench.execute("UPDATE message SET state = 'delivered' WHERE campaign_id = :id", id=campaign)
        assert self._forget(bench, limit=2) == 2
        assert self._line(bench) == people[2:]
        bench.execute("UPDATE recall SET next_try = now() + interval '1 hour'")
        assert self._forget(bench, limit=2) == 0
        assert bench.value("SELECT count(*) FROM recall") == 3

    def test_a_doubt_does_not_hold_up_the_line(self, bench: Bench) -> None:
        """What cannot be asked for yet steps back for those behind it, and stays on the list."""
        campaign = self._listed(bench, ANNA, BERT, CARL)
        bench.put(campaign, "in_doubt", ANNA, sid=None)
        assert self._forget(bench, limit=2) == 1
        assert self._line(bench) == [BERT, CARL]
        assert bench.value("SELECT count(*) FROM recall") == 3

    async def test_a_round_works_through_all_that_is_decided(
        self, bench: Bench, recaller: Recall
    ) -> None:
        """However many before it were decided, one that is still there is taken back."""
        bench.campaign(*crowd(DECIDED_AT_A_TIME + 100), run=False)
        bench.execute("INSERT INTO recall (message_id) SELECT id FROM message")
        campaign = _accepted(bench, ANNA)
        bench.execute("INSERT INTO recall (message_id) VALUES (:id)", id=bench.row(campaign).id)
        assert await recaller(_Provider(kept={_sid(ANNA)})).recall() == 1
        assert bench.row(campaign).state == "canceled"
        assert bench.value("SELECT count(*) FROM recall") == 0


class TestStop:
    """After a STOP."""

    async def test_theirs_alone(self, bench: Bench, recaller: Recall) -> None:
        """Once it is enforced, what Twilio keeps for that person is taken back, nobody else's."""
        campaign = _accepted(bench, ANNA, BERT)
        stop = bench.opt_out(ANNA)
        provider = _Provider(kept={_sid(ANNA), _sid(BERT)})
        assert await recaller(provider).recall() == 0
        assert bench.enforced(stop)
        assert await recaller(provider).recall() == 1
        assert bench.states(campaign) == {ANNA: "canceled", BERT: "sent"}
        assert not bench.value("SELECT recall_due FROM enforcement")

    async def test_in_its_scope(self, bench: Bench, recaller: Recall) -> None:
        """A STOP to one sender takes back nothing of another's."""
        ours = _accepted(bench, ANNA)
        assert bench.enforced(bench.opt_out(ANNA, scope=bench.sender_id(OTHER_SENDER)))
        assert await recaller(_Provider(kept={_sid(ANNA)})).recall() == 0
        assert bench.row(ours).state == "sent"
