"""Campaigns: created whole or not at all, steered from state to state, told as they are."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import column, select, table

from sender.audience import Audience, from_iterable, read_csv
from sender.campaigns import RESULTS_PAGE, Campaigns, Plan
from sender.domain.campaign import CampaignState
from sender.domain.slicing import SMALLEST
from sender.domain.template import TemplateError
from sender.errors import (
    ConfigurationError,
    IdempotencyConflict,
    InvalidAudience,
    NotFound,
    WrongState,
)
from sender.storage.holds import Hold, Level, place
from sender.storage.queries import from_select
from tests.bench import (
    ANNA,
    BERT,
    CARL,
    NOBODY,
    OTHER_TENANT,
    SENDER,
    TENANT,
    Bench,
    crowd,
)


@pytest.fixture
def campaigns(bench: Bench) -> Campaigns:
    """The default tenant's campaigns."""
    return Campaigns(db=bench.db, tenant_id=TENANT)


def _plan(rows: Iterable[str | Mapping[str, object]] | Audience = (), **facts: Any) -> Plan:
    audience = rows if isinstance(rows, Audience) else from_iterable(rows or [f"+{ANNA}"])
    plain: dict[str, Any] = {"name": "Spring", "sender": SENDER, "body": "Hi", "audience": audience}
    return Plan(**plain | facts)


class TestCreate:
    """From a plan to rows."""

    def test_from_an_iterable(self, campaigns: Campaigns) -> None:
        """Rows = recipients + duplicates + rejected, and each of them can be looked up."""
        rows = ["+1 415 555 2001", "+14155552002", "junk", "(415) 555-2001", ""]
        created = campaigns.create(_plan(rows, region="US"))
        progress = campaigns.progress(created)
        assert progress.state is CampaignState.DRAFT
        assert (progress.file_rows, progress.recipients) == (5, 2)
        assert (progress.duplicates, progress.rejected) == (1, 2)
        assert progress.states == {"pending": 2}
        assert [(r.line, r.recipient) for r in campaigns.results(created)] == [
            (1, ANNA),
            (2, BERT),
        ]
        assert [(o.line, o.value, o.reason, o.first_line) for o in campaigns.left_out(created)] == [
            (3, "junk", "not_a_number", None),
            (4, "(415) 555-2001", "duplicate", 1),
            (5, "", "empty", None),
        ]

    def test_from_a_csv(self, campaigns: Campaigns, tmp_path: Path) -> None:
        """A CSV's columns fill the body's fields; columns the body does not use are not kept."""
        path = tmp_path / "audience.csv"
        path.write_text("Mobile,First Name,Note\n+14155552001,Änne,secret\n", encoding="utf-8-sig")
        created = campaigns.create(_plan(read_csv(path), body="Hi {first_name}"))
        (row,) = campaigns.db.run(
            lambda tx: tx.exec_driver_sql("SELECT line, fields FROM message").all()
        )
        assert row.fields == {"first_name": "Änne"}
        assert campaigns.progress(created).recipients == 1

    def test_from_a_select(self, bench: Bench, campaigns: Campaigns) -> None:
        """A select on the user's own table is an audience as well."""
        bench.execute("CREATE TABLE customer (phone text, name text)")
        bench.execute(
            "INSERT INTO customer VALUES (:a, 'Anna'), (:b, NULL)", a=f"+{ANNA}", b=f"+{BERT}"
        )
        statement = select(table("customer", column("phone"), column("name")))
        audience = from_select(statement, bench.db.engine)
        created = campaigns.create(_plan(audience, body="Hi {name}!"))
        assert campaigns.progress(created).recipients == 2
        assert bench.row(created, BERT).fields == {"name": ""}

    def test_many(self, bench: Bench, campaigns: Campaigns) -> None:
        """Every recipient gets one message, in audience order, in one slice or another."""
        people = crowd(SMALLEST * 3)
        created = campaigns.create(_plan([f"+{who}" for who in people]))
        assert [result.recipient for result in campaigns.results(created)] == people
        assert bench.value("SELECT count(*) FROM slice") == 3

    @pytest.mark.parametrize("nasty", ["\x00", "+1415555\x002003", "\ud800", "\ud800+14155552003"])
    def test_what_postgres_cannot_hold(
        self, bench: Bench, campaigns: Campaigns, nasty: str
    ) -> None:
        """A character that Postgres cannot hold costs no other row of the audience."""
        rows = [f"+{ANNA}", nasty, f"+{CARL}", nasty, f"+{BERT}"]
        created = campaigns.create(_plan(rows))
        progress = campaigns.progress(created)
        assert progress.file_rows == 5
        assert set(bench.states(created)) == {ANNA, BERT, CARL}

    def test_a_field_that_postgres_cannot_hold(self, bench: Bench, campaigns: Campaigns) -> None:
        """A lone surrogate in a field, which no text message can carry either, stops nothing."""
        rows = [{"phone": f"+{ANNA}", "name": "\ud800"}, {"phone": f"+{BERT}", "name": "Bert"}]
        created = campaigns.create(_plan(rows, body="Hi {name}"))
        assert bench.row(created, BERT).fields == {"name": "Bert"}
        assert campaigns.progress(created).recipients == 2

    def test_an_unknown_field(self, bench: Bench, campaigns: Campaigns) -> None:
        """A body that uses a column the audience lacks creates nothing."""
        with pytest.raises(TemplateError, match="first_name"):
            campaigns.create(_plan([{"phone": f"+{ANNA}"}], body="Hi {first_name}"))
        assert bench.value("SELECT count(*) FROM campaign") == 0

    @pytest.mark.parametrize("rows", [["junk", ""], ["+442079460000"]])
    def test_nobody_to_text(self, bench: Bench, campaigns: Campaigns, rows: list[str]) -> None:
        """An audience without a single recipient creates nothing."""
        with pytest.raises(InvalidAudience, match="rejected"):
            campaigns.create(_plan(rows))
        assert bench.value("SELECT count(*) FROM campaign") == 0

    def test_an_audience_that_breaks(self, bench: Bench, campaigns: Campaigns) -> None:
        """When reading the audience fails in the middle, nothing is left behind."""

        def rows() -> Iterable[str]:
            yield from (f"+{who}" for who in crowd(10))
            raise OSError("the file system went away")

        with pytest.raises(OSError, match="went away"):
            campaigns.create(_plan(rows()))
        assert bench.value("SELECT count(*) FROM campaign") == 0
        assert bench.value("SELECT count(*) FROM message") == 0

    def test_another_tenants_sender(self, bench: Bench, campaigns: Campaigns) -> None:
        """A sender belongs to one tenant."""
        campaigns.create(_plan())
        bench.second_tenant()
        with pytest.raises(ConfigurationError, match="another tenant"):
            Campaigns(db=bench.db, tenant_id=OTHER_TENANT).create(_plan())

    def test_the_same_person_in_two_campaigns(self, campaigns: Campaigns) -> None:
        """A recipient is unique in a campaign, not beyond it."""
        assert campaigns.create(_plan()) != campaigns.create(_plan())


class TestIdempotency:
    """Creating it again after a lost answer."""

    def test_the_same_again(self, bench: Bench, campaigns: Campaigns) -> None:
        """The same key and arguments give the same campaign, however far it is."""
        created = campaigns.create(_plan(idempotency_key="k"))
        campaigns.enqueue(created)
        assert campaigns.create(_plan(idempotency_key="k")) == created
        assert bench.value("SELECT count(*) FROM message") == 1

    @pytest.mark.parametrize(
        "other",
        [
            {"body": "Bye"},
            {"name": "Summer"},
            {"sender": "+14155550009"},
            {"validity": timedelta(hours=1)},
            {"time_limit": timedelta(hours=1)},
        ],
    )
    def test_something_else(self, campaigns: Campaigns, other: dict[str, Any]) -> None:
        """A key that was used for something else is refused."""
        campaigns.create(_plan(idempotency_key="k"))
        with pytest.raises(IdempotencyConflict):
            campaigns.create(_plan(idempotency_key="k", **other))

    def test_at_once(self, bench: Bench, campaigns: Campaigns) -> None:
        """Of several creations with one key at the same time one counts, and all get its id."""
        with ThreadPoolExecutor(5) as pool:
            ids = list(pool.map(lambda _: campaigns.create(_plan(idempotency_key="k")), range(10)))
        assert len(set(ids)) == 1
        assert bench.value("SELECT count(*) FROM campaign") == 1

    def test_a_failure_frees_the_key(self, campaigns: Campaigns) -> None:
        """A creation that failed can be repeated with the same key."""
        with pytest.raises(InvalidAudience):
            campaigns.create(_plan(["junk"], idempotency_key="k"))
        assert campaigns.create(_plan(idempotency_key="k"))

    def test_a_key_belongs_to_a_tenant(self, bench: Bench, campaigns: Campaigns) -> None:
        """Two tenants may use the same key."""
        bench.second_tenant()
        others = Campaigns(db=bench.db, tenant_id=OTHER_TENANT)
        first = campaigns.create(_plan(idempotency_key="k"))
        assert others.create(_plan(idempotency_key="k", sender="+14155550009")) != first


#: What may be asked for in which state, and the state it leads to.
STEPS = {
    "enqueue": {
        "DRAFT": "RUNNING",
        "SCHEDULED": "RUNNING",
        "RUNNING": "RUNNING",
        "COMPLETED": "COMPLETED",
    },
    "pause": {"RUNNING": "PAUSED", "PAUSED": "PAUSED"},
    "resume": {"PAUSED": "RUNNING", "RUNNING": "RUNNING"},
    "cancel": {
        "DRAFT": "CANCELED",
        "SCHEDULED": "CANCELED",
        "RUNNING": "CANCELED",
        "PAUSED": "CANCELED",
        "CANCELED": "CANCELED",
        "COMPLETED": "COMPLETED",
    },
}


class TestSteering:
    """Moves a person may ask for."""

    @pytest.mark.parametrize("verb", list(STEPS))
    def test_every_state(self, bench: Bench, campaigns: Campaigns, verb: str) -> None:
        """Each verb is allowed in its states, repeating it is harmless, and others are refused."""
        created = campaigns.create(_plan())
        for state in CampaignState:
            bench.execute("UPDATE campaign SET state = :state", state=state.value)
            expected = STEPS[verb].get(state.value)
            if expected is None:
                with pytest.raises(WrongState, match=state.value):
                    getattr(campaigns, verb)(created)
            else:
                getattr(campaigns, verb)(created)
            assert campaigns.progress(created).state == (expected or state)

    def test_the_deadline_starts_with_the_first_start(
        self, bench: Bench, campaigns: Campaigns
    ) -> None:
        """A pause does not lengthen a campaign's time."""
        created = campaigns.create(_plan(time_limit=timedelta(hours=3)))
        campaigns.enqueue(created)
        deadline = bench.value("SELECT deadline_at FROM campaign")
        assert deadline - bench.value("SELECT started_at FROM campaign") == timedelta(hours=3)
        campaigns.pause(created, why="lunch")
        assert campaigns.progress(created).why == "lunch"
        campaigns.resume(created)
        assert bench.value("SELECT deadline_at FROM campaign") == deadline
        assert campaigns.progress(created).why == ""

    def test_resume_wakes_resting_slices(self, bench: Bench, campaigns: Campaigns) -> None:
        """After a resume nothing waits for a rest that began before."""
        created = campaigns.create(_plan())
        campaigns.enqueue(created)
        campaigns.pause(created)
        bench.execute("UPDATE slice SET due_at = now() + interval '1 hour'")
        campaigns.resume(created)
        assert bench.value("SELECT due_at FROM slice") is None

    def test_schedule(self, bench: Bench, campaigns: Campaigns) -> None:
        """A campaign may be scheduled, and scheduled anew; a time that has passed is now."""
        created = campaigns.create(_plan())
        later = datetime.now(UTC) + timedelta(days=1)
        for start_at in (later, later + timedelta(days=1)):
            campaigns.enqueue(created, start_at=start_at)
            assert campaigns.progress(created).state is CampaignState.SCHEDULED
            assert bench.value("SELECT start_at FROM campaign") == start_at
        campaigns.enqueue(created, start_at=datetime.now(UTC) - timedelta(hours=1))
        assert campaigns.progress(created).state is CampaignState.RUNNING

    def test_cancel_leaves_nothing_pending(self, bench: Bench, campaigns: Campaigns) -> None:
        """A cancel ends what has not begun and tells how much that was; the rest is finished."""
        created = bench.campaign(ANNA, BERT, CARL)
        bench.guard(bench.due(created)[:1], owner=NOBODY)
        assert campaigns.cancel(created, why="typo") == 2
        assert bench.states(created) == {ANNA: "sending", BERT: "canceled", CARL: "canceled"}
        assert bench.row(created, BERT).reason == "campaign_canceled"
        assert campaigns.progress(created).completed_at is not None

    def test_another_tenants_campaign(self, bench: Bench, campaigns: Campaigns) -> None:
        """Nobody sees or steers another tenant's campaign."""
        created = campaigns.create(_plan())
        bench.second_tenant()
        others = Campaigns(db=bench.db, tenant_id=OTHER_TENANT)
        for verb in ("enqueue", "pause", "resume", "cancel", "progress", "left_out"):
            with pytest.raises(NotFound):
                getattr(others, verb)(created)
        with pytest.raises(NotFound):
            next(others.results(created))
        with pytest.raises(NotFound):
            campaigns.progress(created + 1)


class TestTelling:
    """Progress, results, waiting."""

    def test_progress_counts_states_and_reasons(self, bench: Bench, campaigns: Campaigns) -> None:
        """Messages are counted by state and by reason, and holds are named."""
        created = bench.campaign(ANNA, BERT, CARL)
        bench.put(created, "failed", ANNA, reason="bad_number")
        bench.put(created, "failed", BERT, reason="content")
        hold = Hold(level=Level.CAMPAIGN, subject=created, reason="too_many_failures", detail="")
        bench.db.run(place, hold)
        progress = campaigns.progress(created)
        assert progress.states == {"failed": 2, "pending": 1}
        assert progress.reasons == {
            ("failed", "bad_number"): 1,
            ("failed", "content"): 1,
            ("pending", ""): 1,
        }
        assert progress.holds == ("too_many_failures",)
        assert progress.open == 1

    def test_results_by_the_page(self, bench: Bench, campaigns: Campaigns) -> None:
        """Results come whole and in order, however many pages they take."""
        people = crowd(2 * RESULTS_PAGE)
        created = campaigns.create(_plan([f"+{who}" for who in people]))
        bench.execute("UPDATE message SET state = 'sent' WHERE recipient % 2 = 0")
        assert [result.recipient for result in campaigns.results(created)] == people
        sent = [result.recipient for result in campaigns.results(created, state="sent")]
        assert sent == people[::2]

    def test_one_result(self, bench: Bench, campaigns: Campaigns) -> None:
        """A result tells our state and reason, and the provider's words beside them."""
        created = bench.campaign(ANNA)
        message_id = bench.put(
            created,
            "undelivered",
            reason="unreachable",
            sid="SM1",
            provider_status="undelivered",
            provider_code=30003,
        )
        (result,) = campaigns.results(created)
        assert isinstance(result.message_id, UUID)
        assert (result.message_id, result.recipient, result.line) == (message_id, ANNA, 1)
        assert (result.state, result.reason, result.sid) == ("undelivered", "unreachable", "SM1")
        assert (result.provider_status, result.provider_code) == ("undelivered", 30003)

    def test_waiting_for_the_end(self, bench: Bench, campaigns: Campaigns) -> None:
        """Waiting ends with the campaign, or with its patience."""
        created = bench.campaign(ANNA)
        with pytest.raises(TimeoutError, match="RUNNING"):
            campaigns.wait(created, timeout=timedelta(), every=0.001)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(
                campaigns.wait, created, timeout=timedelta(seconds=20), every=0.005
            )
            bench.execute("UPDATE campaign SET state = 'COMPLETED'")
            assert waiting.result(timeout=20).state is CampaignState.COMPLETED

    @pytest.mark.parametrize("pace", [0, -1, float("nan")])
    def test_a_pace_is_positive(self, campaigns: Campaigns, pace: float) -> None:
        """A sender cannot be stopped by its pace; that is what holds are for."""
        with pytest.raises(ValueError, match="hold"):
            campaigns.set_pace(SENDER, pace)
