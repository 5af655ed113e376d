"""A STOP looks among the messages that may be under way, whatever month they lie in."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from sender.domain.campaign import MAX_RECIPIENTS, MessageIds
from sender.storage import id_range
from tests.bench import ANNA, BERT, HORIZON, SENDER, Bench
from tests.months import at_time, months_on

NOW = datetime.now(UTC)
#: When campaigns were created: three months ago, at a month's first moment, now and tomorrow.
CREATED = [months_on(NOW, -3), months_on(NOW, 0), NOW, NOW + timedelta(days=1)]


@pytest.mark.parametrize("created_at", CREATED)
@pytest.mark.parametrize("state", ["RUNNING", "PAUSED"])
def test_it_withdraws_from_every_month(bench: Bench, state: str, created_at: datetime) -> None:
    """A campaign that has started and not ended is found by its creation, however long ago."""
    campaign = at_time(bench, created_at, ANNA, BERT)
    bench.execute("UPDATE campaign SET state = :state", state=state)
    bench.campaign(ANNA, run=False)
    assert bench.enforced(bench.opt_out(ANNA))
    assert bench.states(campaign) == {ANNA: "suppressed", BERT: "pending"}


@pytest.mark.parametrize("created_at", CREATED)
def test_it_waits_in_every_month(bench: Bench, created_at: datetime) -> None:
    """What is being sent, and what came in doubt right before its campaign ended, is waited for."""
    campaign = at_time(bench, created_at, ANNA)
    bench.execute("UPDATE campaign SET state = 'RUNNING', deadline_at = now() + interval '1 day'")
    assert bench.guard_all(campaign)
    event = bench.opt_out(ANNA)
    assert not bench.enforced(event)
    bench.put(campaign, "in_doubt", changed_at=datetime.now(UTC))
    bench.execute("UPDATE campaign SET state = 'COMPLETED', completed_at = now()")
    assert not bench.enforced(event)
    bench.execute("UPDATE message SET changed_at = now() - :age", age=HORIZON)
    assert bench.enforced(event)


@pytest.mark.parametrize("ended", ["COMPLETED", "CANCELED"])
def test_it_stays_out_of_what_ended_long_ago(bench: Bench, ended: str) -> None:
    """Such a campaign's months are not even looked at; only its horizon ago it still was."""
    at_time(bench, months_on(NOW, -3), ANNA)
    for age, is_in in ((HORIZON, True), (HORIZON + id_range.AFTER_THE_END, False)):
        bench.execute(
            "UPDATE campaign SET state = :state, completed_at = now() - :age",
            state=ended,
            age=age,
        )
        found = bench.db.run(id_range.of_open, ended=HORIZON)
        assert (found["lowest"] is not None) is is_in


def test_every_id_is_in_its_range(bench: Bench) -> None:
    """However the fractions of its creation are rounded on the way to its ids and back."""
    campaign = bench.campaign(ANNA)
    for _ in range(300):
        created = months_on(NOW, random.randrange(-9, 9)) + timedelta(
            microseconds=random.choice([0, 1, 999, 1000, 999_999, random.randrange(10**10)])
        )
        bench.execute("UPDATE campaign SET created_at = :at", at=created)
        found = bench.db.run(id_range.of_open)
        first, last = MessageIds(created_at=created, campaign_id=campaign).span(1, MAX_RECIPIENTS)
        assert found["lowest"] is not None
        assert found["highest"] is not None
        assert found["lowest"] < first < last < found["highest"]


def test_without_campaigns_there_is_no_range(bench: Bench) -> None:
    """A STOP of somebody whom nobody texts is enforced at once."""
    bench.sender_id(SENDER)
    assert bench.db.run(id_range.of_open) == id_range.bounds([])
    assert bench.enforced(bench.opt_out(ANNA))
