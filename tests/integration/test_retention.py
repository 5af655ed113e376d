"""Old months of messages go when nothing speaks against it; what must be known for ever stays."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sender.audience import from_iterable
from sender.campaigns import Campaigns, Plan
from sender.config import Settings
from sender.domain.message import State
from sender.doubting import Doubts
from sender.errors import ConfigurationError, ErasureRefused, NotFound
from sender.gateway import receipt_from_form
from sender.receipts import Receipts, Refusal
from sender.retention import Deleted, Retention
from sender.storage import retention as stored
from sender.tracing import Tracing
from tests.bench import (
    ACCOUNT,
    ANNA,
    BERT,
    CARL,
    ENFORCEMENT,
    HORIZON,
    SENDER,
    TENANT,
    Bench,
    new_sid,
)
from tests.months import at_time, month, months_on

AGE = timedelta(days=60)
NOW = datetime.now(UTC)
OLD = months_on(NOW, -4) + timedelta(days=10)
#: Everything that is about people and not about one message.
KEPT = ("campaign", "consent_event", "suppression", "enforcement", "inbound", "incident", "verdict")


@pytest.fixture
def retention(bench: Bench) -> Retention:
    """One that deletes nothing by itself."""
    return Retention(db=bench.db, kept=timedelta())


@pytest.fixture
def old(bench: Bench) -> int:
    """A campaign that is long over, with something of everything."""
    bench.execute("SELECT make_message_month(:at)", at=OLD)
    campaign = at_time(bench, OLD, ANNA, BERT, CARL)
    bench.put(campaign, "delivered", ANNA, sid=new_sid(1), guarded_at=OLD)
    bench.put(campaign, "suppressed", BERT, reason="provider_block", guarded_at=OLD)
    doubted = bench.put(campaign, "in_doubt", CARL, guarded_at=OLD)
    bench.put(campaign, "unknown", CARL)
    bench.execute(
        "UPDATE campaign SET state = 'COMPLETED', recipients = 3, started_at = :at, "
        "completed_at = :at, idempotency_key = 'spring' WHERE id = :id",
        at=OLD,
        id=campaign,
    )
    bench.execute(
        "INSERT INTO receipt (message_id, sid, status) "
        "SELECT id, 'SM1', 'delivered' FROM message WHERE campaign_id = :id",
        id=campaign,
    )
    bench.execute(
        "INSERT INTO incident (tenant_id, campaign_id, message_id, sender_id, recipient, code,"
        " door, began_at, cause) "
        "SELECT 1, campaign_id, id, 1, recipient, 21610, 'create', guarded_at, 'unknown' "
        "FROM message WHERE recipient = :bert",
        bert=BERT,
    )
    bench.execute(
        "INSERT INTO verdict (message_id, sent, reason, doubted_at, author, evidence) "
        "VALUES (:id, true, 'reset', :at, 'ann', 'console')",
        id=doubted,
        at=OLD,
    )
    bench.stop(BERT)
    bench.execute("INSERT INTO alarm (kind, detail, created_at) VALUES ('x', '{}', :at)", at=OLD)
    return campaign


def counts(bench: Bench) -> dict[str, int]:
    """How much there is of what stays."""
    return {
        table: bench.value(f"SELECT count(*) FROM {table}")  # noqa: S608  # names of tables
        for table in KEPT
    }


def test_a_month_goes_whole(bench: Bench, retention: Retention, old: int) -> None:
    """Its messages, receipts and work lists go; campaigns, consent, incidents, verdicts stay."""
    young = bench.campaign(ANNA, BERT)
    before, message = counts(bench), bench.row(old).id
    assert all(before.values())
    done = retention.run(AGE, author="ann")
    assert done == Deleted(months=1, messages=3, receipts=3, alarms=1)
    assert counts(bench) == before
    assert bench.value("SELECT count(*) FROM message") == 2
    assert not bench.value("SELECT count(*) FROM doubt WHERE message_id >= :id", id=message)
    assert not bench.value("SELECT count(*) FROM message_partition WHERE name = :n", n=month(OLD))
    assert bench.execute("SELECT name, messages, author FROM deleted_month") == [
        (month(OLD), 3, "ann")
    ]
    assert set(bench.guard_all(young)) == {ANNA}
    assert retention.run(AGE, author="ann") == Deleted(months=0, messages=0, receipts=0, alarms=0)


def test_its_counts_stay(bench: Bench, retention: Retention, old: int) -> None:
    """Progress and report tell the same as before."""
    campaigns = Campaigns(db=bench.db, tenant_id=TENANT)
    tracing = Tracing(db=bench.db, tenant_id=TENANT)
    told = campaigns.progress(old), tracing.report(old), tracing.incidents()
    assert told[0].states == {"delivered": 1, "suppressed": 1, "unknown": 1}
    retention.run(AGE, author="ann")
    assert (campaigns.progress(old), tracing.report(old), tracing.incidents()) == told


def test_whoever_asks_is_told_plainly(bench: Bench, retention: Retention, old: int) -> None:
    """A trace says since when there are messages, and nothing passes for an empty campaign."""
    campaigns = Campaigns(db=bench.db, tenant_id=TENANT)
    tracing = Tracing(db=bench.db, tenant_id=TENANT)
    doubts = Doubts(db=bench.db, tenant_id=TENANT, horizon=HORIZON)
    message = bench.row(old, CARL).id
    assert tracing.trace(f"+{BERT}").messages_kept_since is None
    retention.run(AGE, author="ann")
    found = tracing.trace(f"+{BERT}")
    assert found.messages_kept_since == months_on(OLD, 1)
    assert not found.messages
    assert [one.campaign_id for one in found.incidents] == [old]
    assert tracing.incident(found.incidents[0].id).incident.campaign_id == old
    for ask in (
        lambda: list(campaigns.results(old)),
        lambda: campaigns.left_out(old),
        lambda: doubts.show(message),
    ):
        with pytest.raises(NotFound, match="were deleted"):
            ask()


def test_it_is_not_sent_again(bench: Bench, retention: Retention, old: int) -> None:
    """Its key still names the campaign that was, which is over: nobody is texted twice."""
    retention.run(AGE, author="ann")
    campaigns = Campaigns(db=bench.db, tenant_id=TENANT)
    bench.execute("UPDATE campaign SET fingerprint = :f", f=_plan().fingerprint)
    assert campaigns.create(_plan()) == old
    campaigns.enqueue(old)
    assert bench.value("SELECT state FROM campaign WHERE id = :id", id=old) == "COMPLETED"
    assert not bench.value("SELECT count(*) FROM message")


def _plan() -> Plan:
    return Plan(
        name="Spring",
        sender=SENDER,
        body="Sale today",
        audience=from_iterable([f"+{ANNA}"]),
        idempotency_key="spring",
    )


def test_a_late_callback_finds_nothing(bench: Bench, retention: Retention, old: int) -> None:
    """One about a deleted message is refused like any other about none of ours."""
    message = bench.row(old).id
    retention.run(AGE, author="ann")
    form = {"AccountSid": ACCOUNT, "MessageSid": new_sid(1), "MessageStatus": "delivered"}
    receipt = receipt_from_form(message, list((form | {"To": f"+{ANNA}"}).items()))
    receipts = Receipts(messages=bench.messages, enforcement=ENFORCEMENT)
    assert bench.db.run(receipts.apply, [receipt]) == [Refusal.UNKNOWN_MESSAGE]


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        ("UPDATE campaign SET state = 'PAUSED', completed_at = NULL", "campaigns_in_use"),
        ("UPDATE campaign SET state = 'DRAFT', completed_at = NULL", "campaigns_in_use"),
        ("UPDATE campaign SET completed_at = now() - interval '59 days'", "campaigns_in_use"),
        ("UPDATE message SET state = 'in_doubt' WHERE state = 'unknown'", "doubts"),
        (
            """INSERT INTO slice (campaign_id, first_id, last_id)
               SELECT campaign_id, id, id FROM message LIMIT 1""",
            "open_slices",
        ),
    ],
)
def test_what_keeps_a_month(
    bench: Bench, retention: Retention, old: int, spoil: str, what: str
) -> None:
    """One campaign that is not over for long enough, one doubt, one open slice: all of it stays."""
    bench.execute(spoil)
    (found,) = [one for one in retention.months(AGE) if one.partition.name == month(OLD)]
    assert getattr(found, what) == 1
    assert not found.may_go
    assert retention.run(AGE, author="ann").months == 0
    assert bench.states(old)


def test_it_is_looked_at_again_when_it_goes(bench: Bench, retention: Retention, old: int) -> None:
    """What came between the look and the deletion keeps it."""
    (found,) = [one for one in retention.months(AGE) if one.may_go]
    bench.put(old, State.IN_DOUBT, CARL)
    assert bench.db.run(stored.delete, found, age=AGE, author="ann") is None
    assert bench.states(old)


def test_this_month_never_goes(bench: Bench, retention: Retention) -> None:
    """However empty it and the months to come are."""
    assert not any(one.may_go for one in retention.months(timedelta(days=30)))
    assert retention.run(timedelta(days=30), author="ann").months == 0
    assert bench.execute("SELECT name FROM message_partition")


@pytest.mark.parametrize(
    "ask",
    [
        lambda retention: retention.run(AGE, author=" "),
        lambda retention: retention.run(timedelta(days=29), author="ann"),
        lambda retention: retention.run(author="ann"),
        lambda retention: retention.months(),
    ],
)
def test_what_is_refused(retention: Retention, ask: Callable[[Retention], Any]) -> None:
    """Deleting without a name, too early, or when nobody said how old."""
    assert not retention.deletes
    with pytest.raises(ErasureRefused):
        ask(retention)


def test_the_setting(bench: Bench, old: int) -> None:
    """It says how old; too short a time is refused at the start."""
    variables = {"DATABASE_URL": bench.url, "REDIS_URL": "redis://localhost"}
    kept = {"SENDER_KEEP_MESSAGES_DAYS": "60"}
    settings = Settings.from_variables(variables | kept)
    retention = Retention(db=bench.db, kept=settings.keep_messages)
    assert retention.deletes
    assert retention.run().messages == 3
    assert not bench.states(old)
    with pytest.raises(ConfigurationError, match="30 at least"):
        Settings.from_variables(variables | {"SENDER_KEEP_MESSAGES_DAYS": "29"})
