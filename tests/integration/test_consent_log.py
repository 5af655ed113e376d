"""The consent log: stored once, folded under the person's lock, read without gaps."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from sender.domain.consent import Direction, NewConsentEvent, ReasonClass
from sender.errors import LiftRefused
from sender.optouts import Lift, OptOuts
from sender.storage import consent, consent_log, inbound
from tests.bench import (
    ANNA,
    BERT,
    ENFORCEMENT,
    SENDER,
    TENANT,
    Bench,
    consent_event,
    crowd,
    eventually,
)

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)
LIFT = Lift(author="ann", reason="signed up again", evidence="form 17")


def _start(minutes: float | None = 1, **facts: object) -> NewConsentEvent:
    at = None if minutes is None else NOON + timedelta(minutes=minutes)
    return consent_event(direction=Direction.OPT_IN, reason=None, provider_at=at, **facts)


def _stop(minutes: float | None = 0, **facts: object) -> NewConsentEvent:
    at = None if minutes is None else NOON + timedelta(minutes=minutes)
    return consent_event(provider_at=at, **facts)


def test_the_same_event_is_stored_once(bench: Bench) -> None:
    """Storing an event again gives its first id and adds nothing."""
    first = bench.db.run(consent.append, _stop())
    assert bench.db.run(consent.append, _stop()) == first
    assert bench.db.run(consent.append, _start()) != first
    assert bench.db.run(consent.append, _start()) == first + 2  # ids are spent by repeats
    assert len(bench.db.run(consent.history, tenant_id=TENANT, recipient=ANNA)) == 2


def test_an_event_in_two_scopes_is_two(bench: Bench) -> None:
    """One message may opt out of several scopes; each is an event of its own."""
    one = _stop(source_id="SM1")
    two = _stop(source_id="SM1", scope=bench.sender_id())
    assert bench.db.run(consent.append, one) != bench.db.run(consent.append, two)


@pytest.mark.parametrize("start_first", [False, True])
def test_the_order_of_arrival_does_not_count(bench: Bench, *, start_first: bool) -> None:
    """An older STOP that arrives after the START does not suppress again."""
    events = [_stop(), _start()]
    for event in reversed(events) if start_first else events:
        bench.db.run(consent.append, event)
    assert not bench.is_suppressed()


def test_a_start_without_a_time_lifts_nothing_yet(bench: Bench) -> None:
    """A START lifts from the moment its provider time is known and the person folded again."""
    bench.stop(ANNA, sid="SM1")
    bench.text("START", ANNA, sid="SM2")
    assert bench.is_suppressed()
    _date(bench, "SM1", NOON)
    assert bench.is_suppressed()
    _date(bench, "SM2", NOON + timedelta(seconds=1))
    assert not bench.is_suppressed()


def _date(bench: Bench, sid: str, at: datetime) -> None:
    bench.db.run(inbound.set_provider_time, sid, at)
    with bench.db.transaction() as tx:
        consent.lock_person(tx, tenant_id=TENANT, recipient=ANNA)
        consent.refold(tx, tenant_id=TENANT, recipient=ANNA)


def test_the_first_provider_time_stands(bench: Bench) -> None:
    """A second answer about the time of an inbound message is not believed over the first."""
    bench.stop(ANNA, sid="SM1")
    bench.db.run(inbound.set_provider_time, "SM1", NOON)
    bench.db.run(inbound.set_provider_time, "SM1", NOON + timedelta(days=1))
    (event,) = bench.db.run(consent.history, tenant_id=TENANT, recipient=ANNA)
    assert event.provider_at == NOON


@pytest.mark.parametrize("first", ["stop", "start"])
def test_stop_and_start_at_once_are_folded_one_after_the_other(bench: Bench, first: str) -> None:
    """Of two transactions on one person the second waits, and folds with the first's event."""
    stop, start = _stop(), _start()
    early, late = (stop, start) if first == "stop" else (start, stop)
    with ThreadPoolExecutor(1) as pool:
        with bench.db.transaction() as tx:
            consent.append(tx, early)
            waiting = pool.submit(bench.db.run, consent.append, late)
            eventually(lambda: bench.waiting_for_locks() == 1)
        waiting.result(timeout=20)
    assert not bench.is_suppressed()


def test_people_do_not_wait_for_each_other(bench: Bench) -> None:
    """Another person's events are not held up."""
    with bench.db.transaction() as tx:
        consent.append(tx, _stop())
        bench.db.run(consent.append, _stop(recipient=BERT))
    assert bench.is_suppressed(BERT)


def test_many_events_at_once_fold_as_one_by_one(bench: Bench) -> None:
    """Whatever the interleaving, the table says what the fold of all events says."""
    events = [
        _stop(n, source_id=f"SM{n}") if n % 3 else _start(n, source_id=f"SM{n}") for n in range(24)
    ]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda event: bench.db.run(consent.append, event), events))
    entries = bench.db.run(consent.suppressions_of, tenant_id=TENANT, recipient=ANNA)
    assert [entry.since for entry in entries] == [NOON + timedelta(minutes=23)]
    with bench.db.transaction() as tx:
        assert consent.refold(tx, tenant_id=TENANT, recipient=ANNA) == frozenset(entries)


def _read(bench: Bench, position: int) -> tuple[int, set[tuple[int, int]]]:
    """Whose consent changed from a position on, and the position to go on from."""
    with bench.db.transaction() as tx:
        running = consent_log.running(tx, position)
        pages = list(consent_log.changed_between(tx, position, running.oldest))
    found = {person for page in pages for person in page}
    assert running.changed or not found
    return running.oldest, found


class TestReadingTheLog:
    """What the mirror's position sees."""

    def test_a_late_commit_is_not_missed(self, bench: Bench) -> None:
        """An event is read though it commits after events that were written later."""
        position = bench.db.run(consent_log.running, None).oldest
        with bench.db.transaction() as slow:
            consent.append(slow, _stop())
            bench.db.run(consent.append, _stop(recipient=BERT))
            upto, early = _read(bench, position)
        _, late = _read(bench, upto)
        assert (TENANT, ANNA) not in early
        assert (TENANT, ANNA) in late
        assert (TENANT, BERT) in early | late

    def test_no_stretch_leaves_a_gap(self, bench: Bench) -> None:
        """Readers among many writers see everybody's event once the writers have ended."""
        position = bench.db.run(consent_log.running, None).oldest
        seen: set[tuple[int, int]] = set()
        people = crowd(60)
        with ThreadPoolExecutor(6) as pool:
            writers = [
                pool.submit(bench.db.run, consent.append, _stop(recipient=who)) for who in people
            ]
            while not all(writer.done() for writer in writers):
                position, found = _read(bench, position)
                seen |= found
        _, found = _read(bench, position)
        assert seen | found == {(TENANT, who) for who in people}

    def test_whether_anything_changed(self, bench: Bench) -> None:
        """An event says so until it was read, and nothing else does."""
        before = bench.db.run(consent_log.running, None)
        bench.db.run(consent.append, _stop())
        assert bench.db.run(consent_log.running, before.oldest).changed
        after, _ = _read(bench, before.oldest)
        bench.execute("SELECT pg_current_xact_id()")
        for position in (after, None):
            assert not bench.db.run(consent_log.running, position).changed

    def test_what_may_still_change(self, bench: Bench) -> None:
        """What was written after one that is still running is nobody's change before it ends."""
        before = bench.db.run(consent_log.running, None)
        with bench.db.transaction() as slow:
            consent.append(slow, _stop())
            bench.db.run(consent.append, _stop(recipient=BERT))
            assert not bench.db.run(consent_log.running, before.oldest).changed
        assert bench.db.run(consent_log.running, before.oldest).changed

    def test_a_stretch_that_was_read_is_over(self, bench: Bench) -> None:
        """What was read is not read again."""
        bench.db.run(consent.append, _stop())
        upto, found = _read(bench, 0)
        assert found == {(TENANT, ANNA)}
        assert _read(bench, upto)[1] == set()


class TestOptOuts:
    """The suppression list by hand."""

    @pytest.fixture
    def opt_outs(self, bench: Bench) -> OptOuts:
        """The default tenant's list."""
        return OptOuts(db=bench.db, tenant_id=TENANT, enforcement=ENFORCEMENT)

    def test_add_check_lift(self, opt_outs: OptOuts) -> None:
        """What is added by hand is found in any spelling, and gone after a lift on record."""
        assert opt_outs.check(f"+{ANNA}") == []
        assert opt_outs.add(f"+{ANNA}", author="ann", evidence="letter")
        (entry,) = opt_outs.check("+1 (415) 555-2001")
        assert (entry.reason, entry.scope) == (ReasonClass.MANUAL, 0)
        assert opt_outs.lift(f"+{ANNA}", LIFT) == []
        assert opt_outs.check(f"+{ANNA}") == []

    def test_history_tells_who_and_why(self, opt_outs: OptOuts) -> None:
        """The history keeps author and evidence of what was done by hand, oldest first."""
        opt_outs.add(f"+{ANNA}", author="bob", evidence="letter")
        opt_outs.lift(f"+{ANNA}", LIFT)
        added, lifted = opt_outs.history(f"+{ANNA}")
        assert (added.direction, added.author, added.evidence) == (
            "opt_out",
            "bob",
            {"evidence": "letter"},
        )
        assert (lifted.direction, lifted.author, lifted.reason) == ("opt_in", "ann", "manual")
        assert lifted.evidence == {"reason": "signed up again", "evidence": "form 17"}

    def test_adding_waits_for_what_is_under_way(self, bench: Bench, opt_outs: OptOuts) -> None:
        """An opt-out by hand is in force only when no request can be under way."""
        campaign = bench.campaign(ANNA)
        bench.guard_all(campaign)
        assert not opt_outs.add(f"+{ANNA}", author="ann", wait=timedelta())
        assert bench.is_suppressed()

    @pytest.mark.parametrize("reason", [ReasonClass.COMPLAINT, ReasonClass.IMPORT])
    def test_a_complaint_needs_an_override(self, opt_outs: OptOuts, reason: ReasonClass) -> None:
        """A complaint or an import is lifted only by an override, which is on record."""
        opt_outs.add(f"+{ANNA}", author="ann", reason=reason)
        with pytest.raises(LiftRefused, match="override"):
            opt_outs.lift(f"+{ANNA}", LIFT)
        override = Lift(author="ann", reason="court", evidence="file 3", override=True)
        assert opt_outs.lift(f"+{ANNA}", override) == []
        assert opt_outs.history(f"+{ANNA}")[-1].source == "override"

    @pytest.mark.parametrize("missing", ["author", "reason", "evidence"])
    def test_a_lift_names_author_reason_evidence(self, missing: str) -> None:
        """Nothing is lifted by hand without an author, a reason and evidence."""
        given = {"author": "ann", "reason": "form", "evidence": "17"} | {missing: " "}
        with pytest.raises(LiftRefused):
            Lift(**given)  # type: ignore[arg-type]  # texts only

    def test_the_platforms_list_is_the_operators(self, bench: Bench, opt_outs: OptOuts) -> None:
        """A tenant's lift neither touches nor is refused for the platform-wide list."""
        platform = OptOuts(db=bench.db, tenant_id=0, enforcement=ENFORCEMENT)
        platform.add(f"+{ANNA}", author="operator", reason=ReasonClass.COMPLAINT)
        opt_outs.add(f"+{ANNA}", author="ann")
        (left,) = opt_outs.lift(f"+{ANNA}", LIFT)
        assert (left.tenant_id, left.reason) == (0, ReasonClass.COMPLAINT)


class TestYes:
    """YES opts in only who is opted out."""

    def test_yes_of_a_person_who_is_opted_out(self, bench: Bench) -> None:
        """From somebody opted out YES is START."""
        sender = bench.sender_id(SENDER)
        bench.stop(ANNA, sid="SM1")
        bench.text("Yes!", ANNA, sid="SM2")
        assert bench.value("SELECT keyword FROM inbound WHERE sid = 'SM2'") == "START"
        events = bench.db.run(consent.history, tenant_id=TENANT, recipient=ANNA)
        assert [(one.direction, one.scope) for one in events] == [
            ("opt_out", 0),
            ("opt_in", 0),
            ("opt_in", sender),
        ]

    def test_yes_of_anybody_else(self, bench: Bench) -> None:
        """From anybody else YES is an answer to whatever was asked."""
        bench.text("yes", ANNA, sid="SM1")
        assert bench.value("SELECT keyword FROM inbound") == "NONE"
        assert bench.db.run(consent.history, tenant_id=TENANT, recipient=ANNA) == []

    def test_a_repeated_yes_keeps_its_first_meaning(self, bench: Bench) -> None:
        """A webhook repeated after a STOP does not turn an old YES into a START."""
        bench.text("yes", ANNA, sid="SM1")
        bench.stop(ANNA, sid="SM2")
        bench.text("yes", ANNA, sid="SM1")
        events = bench.db.run(consent.history, tenant_id=TENANT, recipient=ANNA)
        assert [one.direction for one in events] == ["opt_out"]
