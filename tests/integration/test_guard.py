"""The guard: the check and the "I am about to send" are one statement."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import text

from sender.campaigns import Campaigns
from sender.config import LEASE
from sender.domain.consent import PLATFORM
from sender.storage import holds, senders
from sender.storage.holds import Hold, Level
from tests.bench import (
    ANNA,
    BERT,
    CARL,
    ENFORCEMENT,
    NOBODY,
    OTHER_SENDER,
    OTHER_TENANT,
    SENDER,
    SERVICE,
    TENANT,
    Bench,
    crowd,
    eventually,
)


def test_a_clean_row_passes(bench: Bench) -> None:
    """A passed row is sending, one generation later, under its owner's lease."""
    campaign = bench.campaign(ANNA)
    (licence,) = bench.guard(bench.due(campaign), owner=7)
    row = bench.row(campaign)
    assert (row.state, row.gen, row.owner, row.guarded_at) == (
        "sending",
        1,
        7,
        licence.guarded_at,
    )
    assert licence.gen == 1
    assert licence.message_id == row.id
    assert row.lease_until - row.guarded_at >= LEASE


def test_the_rest_of_a_window_passes(bench: Bench) -> None:
    """One suppressed recipient holds up nobody else in the window."""
    campaign = bench.campaign(ANNA, BERT, CARL)
    bench.opt_out(BERT)
    assert set(bench.guard_all(campaign)) == {ANNA, CARL}
    assert bench.states(campaign) == {ANNA: "sending", BERT: "pending", CARL: "sending"}


class TestScopes:
    """Which suppressions cover a sender."""

    def test_the_platform_covers_everybody(self, bench: Bench) -> None:
        """A platform-wide suppression refuses every tenant's messages."""
        bench.second_tenant()
        ours = bench.campaign(ANNA)
        theirs = bench.campaign(ANNA, sender=OTHER_SENDER, tenant_id=OTHER_TENANT)
        bench.opt_out(ANNA, tenant_id=PLATFORM)
        assert not bench.guard_all(ours)
        assert not bench.guard_all(theirs)

    def test_the_tenants_senders_are_covered(self, bench: Bench) -> None:
        """A tenant-wide suppression refuses all of the tenant's senders."""
        bench.opt_out(ANNA)
        assert not bench.guard_all(bench.campaign(ANNA))
        assert not bench.guard_all(bench.campaign(ANNA, sender=OTHER_SENDER))

    def test_another_tenant_is_not_covered(self, bench: Bench) -> None:
        """A tenant's suppression says nothing to another tenant."""
        bench.second_tenant()
        bench.opt_out(ANNA)
        theirs = bench.campaign(ANNA, sender=OTHER_SENDER, tenant_id=OTHER_TENANT)
        assert set(bench.guard_all(theirs)) == {ANNA}

    def test_one_sender_is_covered_alone(self, bench: Bench) -> None:
        """A suppression for one sender refuses that one and no other."""
        bench.opt_out(ANNA, scope=bench.sender_id(SENDER))
        assert not bench.guard_all(bench.campaign(ANNA))
        assert set(bench.guard_all(bench.campaign(ANNA, sender=OTHER_SENDER))) == {ANNA}

    def test_a_service_covers_its_numbers(self, bench: Bench) -> None:
        """A block at the service a number is or was in covers the number."""
        service, number = bench.sender_id(SERVICE), bench.sender_id(SENDER)
        bench.db.run(senders.add_scope, sender_id=number, service_id=service)
        bench.opt_out(ANNA, scope=service)
        assert not bench.guard_all(bench.campaign(ANNA))
        assert set(bench.guard_all(bench.campaign(ANNA, sender=OTHER_SENDER))) == {ANNA}


@pytest.mark.parametrize("level", list(Level))
def test_a_hold_stops_its_level(bench: Bench, level: Level) -> None:
    """A hold refuses what it names, and nothing once it is released."""
    campaign, sender = bench.campaign(ANNA), bench.sender_id(SENDER)
    subject = {Level.ALL: 0, Level.TENANT: TENANT, Level.SENDER: sender, Level.CAMPAIGN: campaign}
    hold = Hold(level=level, subject=subject[level], reason="test", detail="")
    bench.db.run(holds.place, hold)
    bench.db.run(holds.place, hold)  # placing it twice is one hold
    assert not bench.guard_all(campaign)
    assert bench.db.run(holds.on_campaign, campaign) == [hold]
    assert bench.db.run(holds.release, level, subject[level], author="ann") == 1
    assert set(bench.guard_all(campaign)) == {ANNA}


@pytest.mark.parametrize("level", [Level.TENANT, Level.SENDER, Level.CAMPAIGN])
def test_a_hold_elsewhere_stops_nothing(bench: Bench, level: Level) -> None:
    """A hold on another tenant, sender or campaign does not count."""
    campaign = bench.campaign(ANNA)
    bench.db.run(holds.place, Hold(level=level, subject=77, reason="test", detail=""))
    assert set(bench.guard_all(campaign)) == {ANNA}


@pytest.mark.parametrize("state", ["DRAFT", "SCHEDULED", "PAUSED", "COMPLETED", "CANCELED"])
def test_only_a_running_campaign_sends(bench: Bench, state: str) -> None:
    """Nothing passes while its campaign is in any state but RUNNING."""
    campaign = bench.campaign(ANNA)
    bench.execute("UPDATE campaign SET state = :state", state=state)
    assert not bench.guard_all(campaign)


def test_a_campaign_past_its_deadline_sends_nothing(bench: Bench) -> None:
    """Nothing passes after the campaign's deadline."""
    campaign = bench.campaign(ANNA)
    bench.execute("UPDATE campaign SET deadline_at = now() - interval '1 second'")
    assert not bench.guard_all(campaign)


def test_a_row_of_another_generation_is_refused(bench: Bench) -> None:
    """What was read before the row went round once is no licence to send it."""
    campaign = bench.campaign(ANNA)
    (row,) = bench.due(campaign)
    assert not bench.guard([replace(row, gen=row.gen + 1)])
    assert not bench.guard([replace(row, gen=row.gen - 1)])
    assert bench.row(campaign).state == "pending"


@pytest.mark.parametrize(
    "state", ["sending", "sent", "delivered", "suppressed", "failed", "in_doubt", "unknown"]
)
def test_only_a_pending_row_passes(bench: Bench, state: str) -> None:
    """Nothing that was begun or settled passes again, in doubt least of all."""
    campaign = bench.campaign(ANNA)
    bench.put(campaign, state)
    assert not bench.guard(bench.due(campaign))


def test_a_window_in_no_order(bench: Bench) -> None:
    """Each licence is its own row's, and names its generation, wherever in the window it is."""
    campaign = bench.campaign(*crowd(9))
    bench.execute("UPDATE message SET gen = 2 * (recipient % 4)")
    rows = bench.due(campaign)
    window = [*rows[1::2], replace(rows[4], gen=rows[4].gen + 1), *rows[8::-2]]
    window.remove(rows[4])
    passed = {one.message_id: one.gen for one in bench.guard(window)}
    assert passed == {row.id: row.gen + 1 for row in rows if row is not rows[4]}
    stored = {row.recipient: row.gen for row in bench.due(campaign)}
    assert stored == {row.recipient: row.gen + (row is not rows[4]) for row in rows}


def test_two_guards_never_share_a_row(bench: Bench) -> None:
    """However many guards run over the same rows, each row passes exactly one."""
    campaign = bench.campaign(*crowd(60))
    rows = bench.due(campaign)
    with ThreadPoolExecutor(6) as pool:
        windows = [(rows if n % 2 else rows[::-1], n) for n in range(6)]
        passed = list(pool.map(lambda one: bench.guard(one[0], owner=one[1]), windows))
    licences = [licence.message_id for window in passed for licence in window]
    assert sorted(licences) == sorted(row.id for row in rows)


def test_a_stop_before_the_statement_is_seen(bench: Bench) -> None:
    """A STOP committed before the guard's statement is seen, however old its transaction is."""
    campaign = bench.campaign(ANNA)
    rows = bench.due(campaign)
    with bench.db.transaction() as tx:
        tx.execute(text("SELECT count(*) FROM suppression"))
        bench.opt_out(ANNA)
        assert not bench.messages.guard(tx, rows, owner=NOBODY, lease=LEASE)


def test_a_guard_that_looked_too_early_is_stopped_by_the_withdrawal(bench: Bench) -> None:
    """A guard that looked before the STOP but got the row after it refuses the row."""
    campaign = bench.campaign(ANNA, BERT)
    first, second = bench.due(campaign)
    with ThreadPoolExecutor(1) as pool:
        with bench.db.transaction() as blocker:
            blocker.execute(text("SELECT FROM message WHERE id = :id FOR UPDATE"), {"id": first.id})
            guarded = pool.submit(bench.guard, [first, second])
            eventually(lambda: bench.waiting_for_locks() == 1)
            assert bench.enforced(bench.opt_out(second.recipient))
        passed = guarded.result(timeout=20)
    assert [licence.message_id for licence in passed] == [first.id]
    assert bench.states(campaign) == {first.recipient: "sending", second.recipient: "suppressed"}


def test_a_withdrawal_waits_for_the_guard_that_was_first(bench: Bench) -> None:
    """A guard that has the row decides: the STOP waits for it, and then for its request."""
    campaign = bench.campaign(ANNA)
    with ThreadPoolExecutor(1) as pool:
        with bench.db.transaction() as tx:
            (licence,) = bench.messages.guard(tx, bench.due(campaign), owner=NOBODY, lease=LEASE)
            event = bench.opt_out(ANNA)
            step = pool.submit(ENFORCEMENT.step, bench.db, [event])
            eventually(lambda: bench.waiting_for_locks() == 1)
        assert step.result(timeout=20) == {event}
    assert bench.row(campaign).state == "sending"
    bench.db.run(
        bench.messages.put_back, {licence.message_id: licence.gen}, owner=NOBODY, reason="test"
    )
    assert bench.enforced(event)
    assert bench.row(campaign).state == "suppressed"


def test_stops_and_guards_race_to_one_of_two_ends(bench: Bench) -> None:
    """After any race a row is withdrawn and its STOP enforced, or sending and its STOP waits."""
    people = crowd(30)
    campaign = bench.campaign(*people)
    rows = bench.due(campaign)
    events: dict[int, int] = {}

    def stop(recipient: int) -> None:
        events[recipient] = bench.opt_out(recipient)
        ENFORCEMENT.step(bench.db, [events[recipient]])

    with ThreadPoolExecutor(6) as pool:
        stops = [pool.submit(stop, recipient) for recipient in people[::2]]
        guards = [pool.submit(bench.guard, [row]) for row in rows]
        passed = [licence for guard in guards for licence in guard.result(timeout=20)]
        for one in stops:
            one.result(timeout=20)
    enforced = {
        row.recipient
        for row in bench.execute("SELECT recipient FROM enforcement WHERE enforced_at IS NOT NULL")
    }
    states = bench.states(campaign)
    assert {who for who in events if states[who] == "suppressed"} == enforced
    assert {states[who] for who in events.keys() - enforced} <= {"sending"}
    assert {states[who] for who in people[1::2]} == {"sending"}
    assert len(passed) == list(states.values()).count("sending")


def test_a_pause_holds_from_its_commit_on(bench: Bench) -> None:
    """A paused campaign begins nothing; resumed, it goes on."""
    campaign = bench.campaign(ANNA)
    campaigns = Campaigns(db=bench.db, tenant_id=TENANT)
    campaigns.pause(campaign)
    assert not bench.guard_all(campaign)
    campaigns.resume(campaign)
    assert set(bench.guard_all(campaign)) == {ANNA}
