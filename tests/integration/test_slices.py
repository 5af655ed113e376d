"""Slices: offered, leased, given back; and what repairs the rest."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, text

from sender.campaigns import Campaigns
from sender.config import LEASE
from sender.domain.slicing import SMALLEST
from sender.recovery import Kicker, Sweeper
from sender.storage import holds, senders, slices, sweeping, workers
from sender.storage.holds import Hold, Level
from sender.storage.offers import FED_BY_A_SLICE
from sender.storage.slices import SliceTable, SliceWork
from sender.storage.sweeping import Swept
from tests.bench import (
    ANNA,
    BERT,
    NOBODY,
    OTHER_SENDER,
    SENDER,
    SERVICE,
    TENANT,
    Bench,
    crowd,
    eventually,
)

TABLE = SliceTable()


def _offer(bench: Bench) -> list[int]:
    return list(bench.db.run(TABLE.offer))


def _lease(bench: Bench, slice_id: int, owner: int) -> SliceWork | None:
    return bench.db.run(TABLE.lease, slice_id, owner=owner, lease=LEASE)


def _close(bench: Bench, slice_id: int, owner: int, rest: timedelta = timedelta()) -> bool:
    span = _span(bench, slice_id)
    return bench.db.run(TABLE.close, slice_id, span=span, owner=owner, rest=rest)


def _span(bench: Bench, slice_id: int) -> tuple[UUID, UUID]:
    (row,) = bench.execute("SELECT first_id, last_id FROM slice WHERE id = :id", id=slice_id)
    return row.first_id, row.last_id


def _only_slice(bench: Bench) -> int:
    return int(bench.value("SELECT id FROM slice"))


def _sliced(bench: Bench, slices_wanted: int, **facts: Any) -> int:
    """A campaign cut into this many slices of one row each."""
    campaign = bench.campaign(*crowd(slices_wanted), **facts)
    bench.execute("DELETE FROM slice WHERE campaign_id = :id", id=campaign)
    spans = [(row.id, row.id) for row in bench.due(campaign)]
    bench.db.run(slices.insert, campaign, spans)
    return campaign


def _stop(bench: Bench, why: str, campaign: int = 0, sender: str = SENDER) -> None:
    """Have a campaign not send for this reason."""
    match why:
        case "held":
            hold = Hold(level=Level.CAMPAIGN, subject=campaign, reason="test", detail="")
            bench.db.run(holds.place, hold)
        case "resting":
            bench.db.run(senders.rest, bench.sender_id(sender), timedelta(minutes=1))
        case "late":
            bench.execute("UPDATE campaign SET deadline_at = now() WHERE id = :id", id=campaign)


def _campaigns_of(bench: Bench, offered: list[int]) -> list[int]:
    found = bench.execute("SELECT campaign_id FROM slice WHERE id = ANY (:ids)", ids=offered)
    return [row.campaign_id for row in found]


class TestOffer:
    """What the kicker hands out."""

    def test_no_more_than_the_fleet_can_take(self, bench: Bench) -> None:
        """As many slices are in play as live workers have room for, and each is offered once."""
        _sliced(bench, 9)
        assert _offer(bench) == []
        with bench.live_worker(slices=2), bench.live_worker(slices=3):
            assert len(_offer(bench)) == 5
            assert _offer(bench) == []

    def test_a_dead_worker_has_no_room(self, bench: Bench) -> None:
        """A registered worker that holds no lock counts for nothing."""
        _sliced(bench, 3)
        with bench.live_worker():
            pass
        eventually(lambda: bench.db.run(workers.count_live) == 0)
        assert _offer(bench) == []

    def test_fair_from_the_start(self, bench: Bench) -> None:
        """Campaigns that run at the same time get equal shares."""
        one, two = _sliced(bench, 10), _sliced(bench, 10, sender=OTHER_SENDER)
        with bench.live_worker(slices=6):
            shares = _campaigns_of(bench, _offer(bench))
        assert (shares.count(one), shares.count(two)) == (3, 3)

    def test_fair_to_the_later_one(self, bench: Bench) -> None:
        """Room that an older, larger campaign gives up goes to one that has none yet."""
        _sliced(bench, 20)
        with bench.live_worker(slices=4) as worker:
            working = _offer(bench)
            for slice_id in working:
                assert _lease(bench, slice_id, worker)
            later = _sliced(bench, 20, sender=OTHER_SENDER)
            for slice_id in working[:2]:
                _close(bench, slice_id, worker)
            assert _campaigns_of(bench, _offer(bench)) == [later, later]

    def test_nobody_starves_for_one_place(self, bench: Bench) -> None:
        """With room for a single slice every campaign has its turn sooner or later."""
        wanted = {_sliced(bench, 2), _sliced(bench, 2, sender=OTHER_SENDER)}
        seen: set[int] = set()

        def offer_again() -> bool:
            bench.execute("UPDATE slice SET offered_at = NULL")
            seen.update(_campaigns_of(bench, _offer(bench)))
            return seen == wanted

        with bench.live_worker(slices=1):
            eventually(offer_again)

    def test_a_lost_hint_is_offered_again(self, bench: Bench) -> None:
        """An offer that nobody took in time got lost and is made again."""
        campaign = bench.campaign(ANNA)
        with bench.live_worker():
            first = _offer(bench)
            assert _campaigns_of(bench, first) == [campaign]
            assert _offer(bench) == []
            bench.execute("UPDATE slice SET offered_at = now() - interval '16 seconds'")
            assert _offer(bench) == first

    @pytest.mark.parametrize("state", ["DRAFT", "SCHEDULED", "PAUSED", "CANCELED", "COMPLETED"])
    def test_only_running_campaigns(self, bench: Bench, state: str) -> None:
        """Slices of campaigns that do not run are not offered."""
        bench.campaign(ANNA)
        bench.execute("UPDATE campaign SET state = :state", state=state)
        with bench.live_worker():
            assert _offer(bench) == []

    def test_one_kicker_at_a_time(self, bench: Bench) -> None:
        """While one kicker offers, another has nothing to do."""
        bench.campaign(ANNA)
        with bench.live_worker(), bench.db.transaction() as tx:
            assert TABLE.offer(tx)
            assert _offer(bench) == []

    def test_a_dead_owners_slice_is_offered_at_once(self, bench: Bench) -> None:
        """A slice comes back the moment its owner's lock is gone."""
        bench.campaign(ANNA)
        with bench.live_worker():
            with bench.live_worker() as doomed:
                assert _lease(bench, _offer(bench)[0], doomed)
                assert _offer(bench) == []
            eventually(lambda: _offer(bench) == [_only_slice(bench)])

    def test_a_slice_that_is_taken_meanwhile(self, bench: Bench) -> None:
        """A slice that a worker takes while it is being offered stays that worker's."""
        bench.campaign(ANNA)
        slice_id = _only_slice(bench)
        with bench.live_worker() as worker, ThreadPoolExecutor() as kickers:
            with bench.db.transaction() as tx:
                assert TABLE.lease(tx, slice_id, owner=worker, lease=LEASE)
                offered = kickers.submit(_offer, bench)
                eventually(bench.waiting_for_locks)
            assert offered.result() == []
            assert bench.value("SELECT owner FROM slice") == worker

    def test_a_slice_that_is_given_back_meanwhile(self, bench: Bench) -> None:
        """A slice whose worker gives it back while it is being offered rests as it was asked to."""
        bench.campaign(ANNA)
        slice_id = _only_slice(bench)
        with bench.live_worker() as worker, ThreadPoolExecutor() as kickers:
            assert _lease(bench, slice_id, worker)
            bench.execute("UPDATE slice SET leased_until = now()")
            with bench.db.transaction() as tx:
                span, rest = _span(bench, slice_id), timedelta(minutes=1)
                TABLE.close(tx, slice_id, span=span, owner=worker, rest=rest)
                offered = kickers.submit(_offer, bench)
                eventually(bench.waiting_for_locks)
            assert offered.result() == []

    def test_a_slow_sender_has_one_slice_in_play(self, bench: Bench) -> None:
        """A sender has no more slices in play, over all its campaigns, than its pace needs."""
        _sliced(bench, 5, pace=1), _sliced(bench, 5, pace=1)
        with bench.live_worker(slices=9) as worker:
            (slice_id,) = _offer(bench)
            assert _offer(bench) == []
            assert _lease(bench, slice_id, worker)
            assert _offer(bench) == []
            _close(bench, slice_id, worker)
            assert len(_offer(bench)) == 1

    def test_as_many_as_the_pace_needs(self, bench: Bench) -> None:
        """A faster sender has more, so that no pace is out of reach."""
        _sliced(bench, 9, pace=4 * FED_BY_A_SLICE)
        with bench.live_worker(slices=9):
            assert len(_offer(bench)) == 4

    def test_a_slow_sender_leaves_the_room_to_others(self, bench: Bench) -> None:
        """Threads that a slow sender does not need go to the others at once."""
        slow = _sliced(bench, 9, pace=1)
        fast = _sliced(bench, 9, sender=OTHER_SENDER)
        with bench.live_worker(slices=7):
            shares = _campaigns_of(bench, _offer(bench))
        assert (shares.count(slow), shares.count(fast)) == (1, 6)

    @pytest.mark.parametrize("why", ["held", "resting", "late"])
    def test_what_may_not_be_sent_takes_no_turn(self, bench: Bench, why: str) -> None:
        """A held, resting or late campaign is neither offered nor leased, and others are."""
        stopped = _sliced(bench, 3)
        slice_id = bench.value("SELECT min(id) FROM slice")
        _stop(bench, why, stopped)
        other = bench.campaign(ANNA, sender=OTHER_SENDER)
        with bench.live_worker() as worker:
            assert _campaigns_of(bench, _offer(bench)) == [other]
            assert not _lease(bench, slice_id, worker)

    @pytest.mark.parametrize("level", Level)
    def test_a_hold_at_any_level(self, bench: Bench, level: Level) -> None:
        """Whatever is held, its slices are neither offered nor leased."""
        campaign = bench.campaign(ANNA)
        subjects = {
            Level.ALL: 0,
            Level.TENANT: TENANT,
            Level.SENDER: bench.sender_id(),
            Level.CAMPAIGN: campaign,
        }
        hold = Hold(level=level, subject=subjects[level], reason="test", detail="")
        bench.db.run(holds.place, hold)
        with bench.live_worker() as worker:
            assert _offer(bench) == []
            assert not _lease(bench, _only_slice(bench), worker)

    def test_a_rest_ends_by_itself(self, bench: Bench) -> None:
        """A rest ends with its time; an offer that it made vain is made again at once."""
        bench.campaign(ANNA)
        with bench.live_worker() as worker:
            offered = _offer(bench)
            _stop(bench, "resting")
            assert not _lease(bench, offered[0], worker)
            bench.execute("UPDATE sender SET rests_until = now()")
            assert _offer(bench) == offered
            assert _lease(bench, offered[0], worker)

    def test_a_rest_is_never_shortened(self, bench: Bench) -> None:
        """Of two rests the longer counts; a new pace ends both."""
        bench.campaign(ANNA)
        for seconds in (30, 5):
            bench.db.run(senders.rest, bench.sender_id(), timedelta(seconds=seconds))
        assert bench.value("SELECT rests_until > now() + interval '20 seconds' FROM sender")
        bench.db.run(senders.set_pace, bench.sender_id(), 5.0)
        assert bench.value("SELECT rests_until IS NULL FROM sender")


class TestLease:
    """One worker at a time works on a slice."""

    def test_what_the_pump_is_told(self, bench: Bench) -> None:
        """A lease tells all that sending needs: pace, body, span, and every scope that covers."""
        service, number = bench.sender_id(SERVICE), bench.sender_id(SENDER)
        bench.execute("INSERT INTO sender_scope VALUES (:n, :s)", n=number, s=service)
        campaign = bench.campaign(ANNA, body="Hi", pace=7.5, validity=timedelta(minutes=3))
        work = _lease(bench, _only_slice(bench), NOBODY)
        assert work is not None
        assert (work.campaign_id, work.sender, work.segments_per_second) == (campaign, SENDER, 7.5)
        assert (work.body, work.validity) == ("Hi", timedelta(minutes=3))
        assert set(work.scopes) == {(0, 0), (TENANT, 0), (TENANT, number), (TENANT, service)}
        assert work.first_id <= bench.row(campaign).id <= work.last_id

    def test_a_repeated_hint_is_harmless(self, bench: Bench) -> None:
        """A second hint finds the slice taken, by its own owner or by another live one."""
        bench.campaign(ANNA)
        with bench.live_worker() as one, bench.live_worker() as two:
            assert _lease(bench, _only_slice(bench), one)
            assert not _lease(bench, _only_slice(bench), one)
            assert not _lease(bench, _only_slice(bench), two)

    def test_two_hints_at_once(self, bench: Bench) -> None:
        """Of two workers that take a slice at the same moment one gets it."""
        bench.campaign(ANNA)
        slice_id = _only_slice(bench)
        with (
            bench.live_worker() as one,
            bench.live_worker() as two,
            ThreadPoolExecutor(4) as pool,
        ):
            taken = list(
                pool.map(lambda owner: _lease(bench, slice_id, owner), [one, two, one, two])
            )
        assert len([work for work in taken if work]) == 1

    def test_a_dead_owner_is_replaced_at_once(self, bench: Bench) -> None:
        """The lease of a worker whose lock is gone does not count."""
        bench.campaign(ANNA)
        with bench.live_worker() as doomed:
            assert _lease(bench, _only_slice(bench), doomed)
        eventually(lambda: _lease(bench, _only_slice(bench), NOBODY))

    def test_a_lease_that_ran_out(self, bench: Bench) -> None:
        """Even a live owner loses a slice after its lease; its late close changes nothing."""
        bench.campaign(ANNA)
        slice_id = _only_slice(bench)
        with bench.live_worker() as slow, bench.live_worker() as fresh:
            assert _lease(bench, slice_id, slow)
            bench.execute("UPDATE slice SET leased_until = now() - interval '1 second'")
            assert _lease(bench, slice_id, fresh)
            assert not _close(bench, slice_id, slow)
            assert bench.value("SELECT owner FROM slice") == fresh

    def test_a_late_hint(self, bench: Bench) -> None:
        """A hint for a slice that is done, resting or paused does nothing."""
        campaign = bench.campaign(ANNA)
        slice_id = _only_slice(bench)
        Campaigns(db=bench.db, tenant_id=TENANT).pause(campaign)
        assert not _lease(bench, slice_id, NOBODY)
        Campaigns(db=bench.db, tenant_id=TENANT).resume(campaign)
        bench.execute("UPDATE slice SET due_at = now() + interval '1 minute'")
        assert not _lease(bench, slice_id, NOBODY)
        bench.execute("UPDATE slice SET due_at = NULL, done_at = now()")
        assert not _lease(bench, slice_id, NOBODY)


class TestClose:
    """Giving a slice back."""

    def test_done_when_nothing_is_open(self, bench: Bench) -> None:
        """A slice is done when none of its rows is pending or sending."""
        campaign = bench.campaign(ANNA, BERT)
        slice_id = _only_slice(bench)
        assert _lease(bench, slice_id, NOBODY)
        bench.put(campaign, "in_doubt", ANNA)
        assert not _close(bench, slice_id, NOBODY)
        assert _lease(bench, slice_id, NOBODY)
        bench.put(campaign, "sent", BERT)
        assert _close(bench, slice_id, NOBODY)

    def test_a_row_under_way_keeps_it_open(self, bench: Bench) -> None:
        """A slice whose row is still sending is not done."""
        campaign = bench.campaign(ANNA)
        _lease(bench, _only_slice(bench), NOBODY)
        bench.put(campaign, "sending")
        assert not _close(bench, _only_slice(bench), NOBODY)

    def test_it_rests_as_long_as_asked(self, bench: Bench) -> None:
        """A slice that was stopped is due again after its rest."""
        bench.campaign(ANNA)
        _lease(bench, _only_slice(bench), NOBODY)
        _close(bench, _only_slice(bench), NOBODY, rest=timedelta(seconds=30))
        wait = bench.value("SELECT due_at - now() FROM slice")
        assert timedelta(seconds=20) < wait <= timedelta(seconds=30)

    def test_it_rests_until_its_first_row_is_due(self, bench: Bench) -> None:
        """When all that is left rests, the slice rests until the first of it is due."""
        campaign = bench.campaign(ANNA, BERT)
        later = datetime.now(UTC) + timedelta(hours=1)
        bench.put(campaign, "pending", ANNA, next_at=later)
        bench.put(campaign, "pending", BERT, next_at=later + timedelta(hours=1))
        _lease(bench, _only_slice(bench), NOBODY)
        _close(bench, _only_slice(bench), NOBODY)
        assert bench.value("SELECT due_at FROM slice") == later

    def test_one_resting_row_holds_up_no_other(self, bench: Bench) -> None:
        """A row that was throttled does not delay those that are due."""
        campaign = bench.campaign(ANNA, BERT)
        later = datetime.now(UTC) + timedelta(hours=1)
        bench.put(campaign, "pending", ANNA, next_at=later)
        _lease(bench, _only_slice(bench), NOBODY)
        _close(bench, _only_slice(bench), NOBODY)
        assert _lease(bench, _only_slice(bench), NOBODY)

    def test_it_rests_while_all_that_is_left_is_under_way(self, bench: Bench) -> None:
        """A slice with nothing left to begin is not due at once, or it would be run in a circle."""
        campaign = bench.campaign(ANNA)
        _lease(bench, _only_slice(bench), NOBODY)
        bench.put(campaign, "sending")
        _close(bench, _only_slice(bench), NOBODY)
        assert bench.value("SELECT due_at > now() FROM slice")


class TestOthersWait:
    """Whether a run's thread, or its sender, is wanted by others."""

    def _waiting(self, bench: Bench, campaign: int, sender: str = SENDER) -> tuple[bool, bool]:
        found = bench.db.run(
            TABLE.others_wait, campaign_id=campaign, sender_id=bench.sender_id(sender)
        )
        return found.same_sender, found.other_senders

    def test_nobody_else(self, bench: Bench) -> None:
        """The other slices of a campaign are not others."""
        assert self._waiting(bench, _sliced(bench, 3)) == (False, False)

    def test_another_sender_and_no_room(self, bench: Bench) -> None:
        """Another sender's slice waits when it is due and no worker has a thread left."""
        one = bench.campaign(ANNA)
        with bench.live_worker(slices=1) as worker:
            assert _lease(bench, _offer(bench)[0], worker)
            bench.campaign(ANNA, sender=OTHER_SENDER)
            assert self._waiting(bench, one) == (False, True)

    def test_another_sender_and_room(self, bench: Bench) -> None:
        """It does not wait for a thread that is free: the kicker will offer it."""
        one = bench.campaign(ANNA)
        bench.campaign(ANNA, sender=OTHER_SENDER)
        with bench.live_worker(slices=2):
            assert self._waiting(bench, one) == (False, False)

    def test_more_senders_than_room(self, bench: Bench) -> None:
        """A thread that is free for a moment is not enough for several that wait."""
        one = bench.campaign(ANNA)
        for number in range(2):
            bench.campaign(ANNA, sender=f"+1415556000{number}")
        with bench.live_worker(slices=1):
            assert self._waiting(bench, one) == (False, True)

    def test_a_sender_that_has_enough(self, bench: Bench) -> None:
        """A sender with as many slices in play as its pace needs does not wait for a thread."""
        one = bench.campaign(ANNA)
        _sliced(bench, 3, sender=OTHER_SENDER, pace=1)
        with bench.live_worker(slices=2):
            assert len(_offer(bench)) == 2
            assert self._waiting(bench, one) == (False, False)

    def test_another_campaign_of_the_sender(self, bench: Bench) -> None:
        """Campaigns of one sender share its pace, so one waits for the other."""
        one = bench.campaign(ANNA)
        bench.campaign(ANNA)
        assert self._waiting(bench, one) == (True, False)

    @pytest.mark.parametrize("why", ["held", "resting", "late"])
    def test_who_may_not_send_waits_for_nobody(self, bench: Bench, why: str) -> None:
        """A campaign that may not be sent now needs no thread."""
        one = bench.campaign(ANNA)
        another = bench.campaign(ANNA, sender=OTHER_SENDER)
        _stop(bench, why, another, OTHER_SENDER)
        assert self._waiting(bench, one) == (False, False)


def test_a_campaign_is_cut_into_slices(bench: Bench) -> None:
    """Slices cover every message once, in order."""
    count = 2 * SMALLEST + 1
    bench.campaign(*crowd(count))
    sizes = bench.execute(
        "SELECT count(m.id) AS size FROM slice s JOIN message m "
        "ON m.id BETWEEN s.first_id AND s.last_id GROUP BY s.id ORDER BY s.id"
    )
    assert [row.size for row in sizes] == [SMALLEST, SMALLEST, 1]


class TestKicker:
    """Starts what is scheduled and offers what there is room for."""

    def test_offers_are_published(self, bench: Bench) -> None:
        """Every committed offer is published once."""
        bench.campaign(ANNA)
        published: list[int] = []
        kicker = Kicker(db=bench.db, slices=TABLE, publish=published.append)
        with bench.live_worker():
            assert (kicker.kick(), kicker.kick()) == (1, 0)
        assert published == [_only_slice(bench)]

    def test_a_broker_that_is_away(self, bench: Bench) -> None:
        """A hint that could not be published is offered again later."""
        bench.campaign(ANNA)

        def broken(_: int) -> None:
            raise ConnectionError("the broker is away")

        with bench.live_worker():
            with pytest.raises(ConnectionError):
                Kicker(db=bench.db, slices=TABLE, publish=broken).kick()
            bench.execute("UPDATE slice SET offered_at = now() - interval '16 seconds'")
            assert Kicker(db=bench.db, slices=TABLE, publish=lambda _: None).kick() == 1

    def test_what_follows_a_slice_is_cheap(self, bench: Bench) -> None:
        """After each slice a turn is taken and slices are offered, and nothing else is asked."""
        bench.campaign(ANNA)
        asked: list[str] = []

        def note(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
            asked.append(statement)

        with bench.live_worker():
            event.listen(bench.db.engine, "before_cursor_execute", note)
            assert Kicker(db=bench.db, slices=TABLE, publish=lambda _: None).offer() == 1
        assert len(asked) == 2

    def test_what_is_scheduled_starts_in_time(self, bench: Bench) -> None:
        """A scheduled campaign starts when its time has come, with its deadline."""
        campaign = bench.campaign(ANNA, run=False, time_limit=timedelta(hours=2))
        campaigns = Campaigns(db=bench.db, tenant_id=TENANT)
        campaigns.enqueue(campaign, start_at=datetime.now(UTC) + timedelta(hours=1))
        kicker = Kicker(db=bench.db, slices=TABLE, publish=lambda _: None)
        kicker.kick()
        assert campaigns.progress(campaign).state == "SCHEDULED"
        bench.execute("UPDATE campaign SET start_at = now() - interval '1 second'")
        kicker.offer()  # after each slice; the beat's kick, once a second, is soon enough
        assert campaigns.progress(campaign).state == "SCHEDULED"
        kicker.kick()
        assert campaigns.progress(campaign).state == "RUNNING"
        assert bench.value("SELECT deadline_at - started_at FROM campaign") == timedelta(hours=2)


class TestSweep:
    """What nobody works on any more gets a state that says so."""

    def _lost(self, bench: Bench, owner: int) -> int:
        campaign = bench.campaign(ANNA)
        assert _lease(bench, _only_slice(bench), owner)
        bench.guard_all(campaign, owner=owner)
        return campaign

    def test_a_lost_worker(self, bench: Bench) -> None:
        """A dead worker's rows are in doubt at once."""
        campaign = self._lost(bench, NOBODY)
        assert Sweeper(db=bench.db).sweep().in_doubt == 1
        row = bench.row(campaign)
        assert (row.state, row.reason, row.lease_until) == ("in_doubt", "worker_lost", None)

    def test_a_live_worker(self, bench: Bench) -> None:
        """A live worker's rows are its own until their lease runs out."""
        with bench.live_worker() as worker:
            campaign = self._lost(bench, worker)
            assert Sweeper(db=bench.db).sweep().in_doubt == 0
            bench.execute("UPDATE message SET lease_until = now() - interval '1 second'")
            assert Sweeper(db=bench.db).sweep().in_doubt == 1
        assert bench.row(campaign).reason == "lease_ran_out"

    @pytest.mark.parametrize("state", ["RUNNING", "PAUSED"])
    def test_too_late(self, bench: Bench, state: str) -> None:
        """Past the deadline what is pending expires and the campaign is completed."""
        campaign = bench.campaign(ANNA, BERT)
        bench.put(campaign, "sent", BERT)
        bench.execute(
            "UPDATE campaign SET state = :s, deadline_at = now() - interval '1 second'", s=state
        )
        swept = Sweeper(db=bench.db).sweep()
        assert (swept.given_up, swept.completed) == (1, 1)
        row = bench.row(campaign, ANNA)
        assert (row.state, row.reason) == ("expired", "campaign_deadline")
        assert bench.value("SELECT state FROM campaign") == "COMPLETED"

    def test_too_late_but_under_way(self, bench: Bench) -> None:
        """A campaign is not completed while a row is sending."""
        with bench.live_worker() as worker:
            campaign = self._lost(bench, worker)
            bench.execute("UPDATE campaign SET deadline_at = now() - interval '1 second'")
            assert Sweeper(db=bench.db).sweep().completed == 0
            bench.put(campaign, "delivered")
            assert Sweeper(db=bench.db).sweep().completed == 1

    def test_a_frozen_sweeper_loses_its_turn(self, bench: Bench) -> None:
        """A sweeper that stands still with its connection open keeps nobody from sweeping."""
        with bench.live_worker() as worker:
            self._lost(bench, worker)
        with bench.db.engine.connect() as frozen:
            assert sweeping.take_turn(frozen, lasting=timedelta(milliseconds=300))
            assert Sweeper(db=bench.db).sweep() == Swept(in_doubt=0, given_up=0, completed=0)
            eventually(lambda: Sweeper(db=bench.db).sweep().in_doubt)
            frozen.invalidate()

    def test_a_frozen_kicker_loses_its_turn(self, bench: Bench) -> None:
        """A kick that stands still is ended by Postgres, and another one can be made."""
        bench.campaign(ANNA)
        with bench.db.transaction() as tx:
            SliceTable().offer(tx)
            limit = tx.execute(text("SHOW idle_in_transaction_session_timeout")).scalar_one()
        assert limit == "10s"

    def test_completed(self, bench: Bench) -> None:
        """A campaign is completed when its slices are done; doubts are counted beside it."""
        campaign = bench.campaign(ANNA)
        assert Sweeper(db=bench.db).sweep().completed == 0
        bench.put(campaign, "in_doubt")
        _lease(bench, _only_slice(bench), NOBODY)
        _close(bench, _only_slice(bench), NOBODY)
        assert Sweeper(db=bench.db).sweep().completed == 1
        assert bench.value("SELECT completed_at IS NOT NULL FROM campaign")

    def test_what_comes_back_after_a_cancel(self, bench: Bench) -> None:
        """A row that was under way at the cancel and comes back is canceled, not left."""
        campaign = bench.campaign(ANNA, BERT)
        licences = bench.guard(bench.due(campaign)[:1])
        assert Campaigns(db=bench.db, tenant_id=TENANT).cancel(campaign) == 1
        mine = {licence.message_id: licence.gen for licence in licences}
        bench.db.run(bench.messages.put_back, mine, owner=NOBODY, reason="test")
        Sweeper(db=bench.db).sweep()
        assert set(bench.states(campaign).values()) == {"canceled"}
        assert bench.value("SELECT done_at IS NOT NULL FROM slice")

    def test_a_pause_is_not_the_end(self, bench: Bench) -> None:
        """A paused campaign waits for whoever paused it."""
        campaign = bench.campaign(ANNA)
        Campaigns(db=bench.db, tenant_id=TENANT).pause(campaign)
        assert Sweeper(db=bench.db).sweep().completed == 0
