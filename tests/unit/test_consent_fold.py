"""The fold: which suppressions one person's consent events amount to."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sender.domain.consent import (
    ALL_SENDERS,
    CLOSED_BY_START,
    ConsentEvent,
    Direction,
    ReasonClass,
    fold,
)

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)
RECEIVED = datetime(2025, 7, 1, tzinfo=UTC)
ONE_SENDER, OTHER_SENDER = 7, 8


def _event(number: int, direction: Direction, minute: float | None, **facts: Any) -> ConsentEvent:
    plain: dict[str, Any] = {
        "tenant_id": 1,
        "recipient": 14155552671,
        "scope": ALL_SENDERS,
        "reason": None,
        "source": "inbound",
        "source_id": f"SM{number}",
    }
    at = None if minute is None else NOON + timedelta(minutes=minute)
    return ConsentEvent(
        id=number, direction=direction, provider_at=at, received_at=RECEIVED, **plain | facts
    )


def _out(
    number: int, minute: float | None, reason: ReasonClass = ReasonClass.STOP, **facts: Any
) -> ConsentEvent:
    return _event(number, Direction.OPT_OUT, minute, reason=reason, **facts)


def _start(number: int, minute: float | None, **facts: Any) -> ConsentEvent:
    return _event(number, Direction.OPT_IN, minute, **facts)


def _reasons(events: Iterable[ConsentEvent]) -> set[str]:
    return {entry.reason.value for entry in fold(events)}


@st.composite
def _histories(draw: st.DrawFn) -> list[ConsentEvent]:
    """Any events of one person: few minutes, so that ties are common, and unknown times.

    Opt-outs by keyword, by hand and by import; opt-ins by START, by hand, and undone imports.
    """
    events = []
    for number in range(1, draw(st.integers(0, 8)) + 1):
        minute = draw(st.none() | st.integers(0, 4))
        facts: dict[str, Any] = {
            "scope": draw(st.sampled_from([ALL_SENDERS, ONE_SENDER])),
            "batch_id": draw(st.none() | st.integers(1, 2)),
        }
        reason = draw(st.sampled_from(ReasonClass))
        if draw(st.booleans()):
            events.append(_out(number, minute, reason, **facts))
        elif facts["batch_id"] is not None:
            events.append(_start(number, None, reason=reason, author="ann", **facts))
        else:
            by_hand = draw(st.booleans())
            facts |= {"reason": reason, "author": "ann"} if by_hand else {}
            events.append(_start(number, minute, **facts))
    return events


def _by_high_waters(events: list[ConsentEvent]) -> dict[tuple[int, str], int]:
    """The same rules, written the long way round: each opt-in crosses out what it may.

    Of what is left, the latest of its scope and class decides.
    """
    left = [one for one in events if one.direction is Direction.OPT_OUT]
    for opt_in in (one for one in events if one.direction is Direction.OPT_IN):
        left = [one for one in left if not _crosses_out(opt_in, one)]
    latest = sorted(
        left, key=lambda one: (one.provider_at is None, one.provider_at or NOON, one.id)
    )
    return {(one.scope, one.reason.value): one.id for one in latest if one.reason}


def _crosses_out(opt_in: ConsentEvent, opt_out: ConsentEvent) -> bool:
    by_hand = bool(opt_in.author)
    if opt_in.scope != opt_out.scope:
        return False
    if opt_out.reason not in ({opt_in.reason} if by_hand else CLOSED_BY_START):
        return False
    if opt_in.batch_id is not None and opt_out.batch_id != opt_in.batch_id:
        return False
    if by_hand:
        return opt_in.id > opt_out.id
    if opt_in.provider_at is None or opt_out.provider_at is None:
        return False
    return opt_in.provider_at > opt_out.provider_at


def _active(events: Iterable[ConsentEvent]) -> set[tuple[int, str]]:
    return {(one.scope, one.reason.value) for one in fold(events)}


@st.composite
def _anything(draw: st.DrawFn, number: int) -> ConsentEvent:
    """One event of any kind."""
    minute, reason = draw(st.none() | st.integers(0, 4)), draw(st.sampled_from(ReasonClass))
    if draw(st.booleans()):
        return _out(number, minute, reason)
    by_hand = draw(st.booleans())
    return _start(number, minute, **({"reason": reason, "author": "ann"} if by_hand else {}))


class TestAnySet:
    """Rules for any history."""

    @given(_histories(), st.randoms(use_true_random=False), st.integers(0, 8))
    def test_order_and_duplicates(self, events: list[ConsentEvent], chance: Any, more: int) -> None:
        """Neither the order of arrival nor repetition changes the answer."""
        expected = fold(events)
        again = events + events[:more]
        chance.shuffle(again)
        assert fold(again) == expected

    @given(_histories())
    def test_another_way_to_compute_it(self, events: list[ConsentEvent]) -> None:
        """The fold says what the rules say when they are computed in an entirely different way."""
        found = {(one.scope, one.reason.value): one.event_id for one in fold(events)}
        assert found == _by_high_waters(events)

    @given(_histories(), _anything(99), st.integers(0, 8))
    def test_one_more_event(
        self, events: list[ConsentEvent], more: ConsentEvent, place: int
    ) -> None:
        """One more opt-out ends no suppression, one more opt-in begins none, whenever it came."""
        story = [*events[:place], more, *events[place:]]
        numbered = [replace(one, id=number) for number, one in enumerate(story, 1)]
        before, after = _active(numbered[:place] + numbered[place + 1 :]), _active(numbered)
        assert before <= after if more.direction is Direction.OPT_OUT else after <= before

    @given(_histories())
    def test_scopes_and_classes_are_independent(self, events: list[ConsentEvent]) -> None:
        """What other scopes' events say, and opt-outs of other classes, changes nothing."""
        for scope, reason in [(s, r) for s in (ALL_SENDERS, ONE_SENDER) for r in ReasonClass]:
            alone = [
                one
                for one in events
                if one.scope == scope
                and (one.direction is Direction.OPT_IN or one.reason is reason)
            ]
            assert _active(alone) == _active(events) & {(scope, reason)}

    @given(_histories())
    def test_ignorance_suppresses(self, events: list[ConsentEvent]) -> None:
        """Forgetting when things happened ends no suppression."""
        undated = [replace(one, provider_at=None) for one in events]
        assert _active(events) <= _active(undated)

    @given(_histories(), st.integers(5, 9))
    def test_what_start_leaves(self, events: list[ConsentEvent], minute: int) -> None:
        """After a START later than all else, only what it may not close is left in its scope."""
        dated = [one for one in events if one.provider_at is not None]
        left = fold([*dated, _start(99, minute)])
        assert not {one.reason for one in left if one.scope == ALL_SENDERS} & CLOSED_BY_START

    @given(_histories())
    def test_the_event_that_decided(self, events: list[ConsentEvent]) -> None:
        """Each suppression names an opt-out of its own scope and class, once."""
        by_id = {event.id: event for event in events}
        entries = list(fold(events))
        assert len({(one.scope, one.reason) for one in entries}) == len(entries)
        for entry in entries:
            event = by_id[entry.event_id]
            assert event.direction is Direction.OPT_OUT
            assert (event.scope, event.reason) == (entry.scope, entry.reason)
            assert entry.since == (event.provider_at or event.received_at)


class TestStories:
    """What people do, from beginning to end."""

    def test_complaint_stop_start(self) -> None:
        """A START after a complaint and a STOP lifts the STOP, never the complaint."""
        complaint = _out(1, 0, ReasonClass.COMPLAINT)
        assert _reasons([complaint, _out(2, 1), _start(3, 2)]) == {"complaint"}

    def test_a_late_block_after_a_start(self) -> None:
        """A 21610 of a request that began before the START, reported after it, lifts nothing."""
        stop, start = _out(1, 0), _start(2, 2)
        late = _out(3, 1, ReasonClass.PROVIDER_BLOCK, source="create")
        assert _reasons([stop, start, late]) == set()
        assert _reasons([stop, start, replace(late, provider_at=None)]) == {"provider_block"}

    def test_a_start_here_and_a_block_there(self) -> None:
        """A START to one sender leaves the block of another, which has its own scope."""
        stop = _out(1, 0, scope=ONE_SENDER)
        start = _start(2, 1, scope=ONE_SENDER)
        block = _out(3, 2, ReasonClass.PROVIDER_BLOCK, scope=OTHER_SENDER)
        assert {(one.scope, one.reason.value) for one in fold([stop, start, block])} == {
            (OTHER_SENDER, "provider_block")
        }

    def test_an_import_undone(self) -> None:
        """Undoing an import closes what came with it, and not the same class from elsewhere."""
        mine, other = (_out(n, 0, ReasonClass.IMPORT, batch_id=n) for n in (1, 2))
        undo = _start(3, None, reason=ReasonClass.IMPORT, author="ann", batch_id=1)
        assert not fold([mine, undo])
        assert _reasons([mine, other, undo]) == {"import"}
        assert _reasons([undo, replace(mine, id=4)]) == {"import"}

    def test_a_review(self) -> None:
        """A START does not end a review; a person's decision does, and not a later doubt."""
        doubt = _out(1, 0, ReasonClass.REVIEW)
        assert _reasons([doubt, _start(2, 1)]) == {"review"}
        decided = _start(3, None, reason=ReasonClass.REVIEW, author="ann")
        assert not fold([doubt, decided])
        assert _reasons([doubt, decided, _out(4, 0, ReasonClass.REVIEW)]) == {"review"}


class TestTimes:
    """The latest by the provider's clock decides."""

    def test_nothing(self) -> None:
        """Without events a person may be texted."""
        assert fold([]) == frozenset()

    def test_stop_then_start(self) -> None:
        """A START after the STOP opens again."""
        assert not fold([_out(1, 0), _start(2, 1)])

    def test_start_then_stop(self) -> None:
        """A STOP after the START suppresses."""
        assert _reasons([_start(1, 0), _out(2, 1)]) == {"stop"}

    def test_a_tie(self) -> None:
        """At the same time STOP wins, whichever arrived first."""
        assert _reasons([_out(1, 0), _start(2, 0)]) == {"stop"}
        assert _reasons([_start(1, 0), _out(2, 0)]) == {"stop"}

    def test_a_stop_without_a_time(self) -> None:
        """A STOP whose time is unknown counts as latest."""
        assert _reasons([_out(1, None), _start(2, 10**6)]) == {"stop"}

    def test_a_start_without_a_time(self) -> None:
        """A START whose time is unknown lifts nothing yet."""
        assert _reasons([_out(1, 0), _start(2, None)]) == {"stop"}

    def test_stop_start_stop(self) -> None:
        """Each change of mind counts, whatever order it is read in."""
        assert fold([_out(3, 4), _start(2, 3), _out(1, 2), _start(4, 5)]) == frozenset()
        assert _reasons([_start(4, 3), _out(3, 4), _start(2, 1), _out(1, 0)]) == {"stop"}


class TestClasses:
    """Reason classes are independent; one is enough."""

    def test_a_complaint_survives_start(self) -> None:
        """START after a complaint and a STOP closes the STOP alone."""
        events = [_out(1, 0, ReasonClass.COMPLAINT), _out(2, 1), _start(3, 2)]
        assert _reasons(events) == {"complaint"}

    def test_a_late_block(self) -> None:
        """A 21610 of a request from before the START cannot override it, however late it comes."""
        assert not fold([_start(1, 5), _out(2, 4, ReasonClass.PROVIDER_BLOCK)])

    def test_a_new_block(self) -> None:
        """A 21610 of a request from after the START suppresses."""
        events = [_out(1, 0), _start(2, 5), _out(3, 6, ReasonClass.PROVIDER_BLOCK)]
        assert _reasons(events) == {"provider_block"}

    def test_a_lift_by_hand(self) -> None:
        """A lift closes the class it names and no other."""
        events = [
            _out(1, 0, ReasonClass.MANUAL),
            _out(2, 0, ReasonClass.IMPORT),
            _start(3, 1, reason=ReasonClass.MANUAL),
        ]
        assert _reasons(events) == {"import"}

    def test_what_a_start_closes(self) -> None:
        """A person's START closes their STOP, their own words and the provider's block: no more."""
        events = [_out(number, 0, reason) for number, reason in enumerate(ReasonClass, 1)]
        assert _reasons([*events, _start(99, 1)]) == set(ReasonClass) - CLOSED_BY_START


class TestScopes:
    """Scopes are independent."""

    def test_a_block_on_another_sender(self) -> None:
        """After a START to one sender a block on another suppresses that other one."""
        events = [
            _out(1, 0),
            _start(2, 1),
            _start(3, 1, scope=ONE_SENDER),
            _out(4, 2, ReasonClass.PROVIDER_BLOCK, scope=OTHER_SENDER),
        ]
        assert {(one.scope, one.reason) for one in fold(events)} == {
            (OTHER_SENDER, ReasonClass.PROVIDER_BLOCK)
        }

    def test_a_start_elsewhere(self) -> None:
        """A START in one scope opens no other."""
        events = [_out(1, 0, scope=ONE_SENDER), _start(2, 1, scope=OTHER_SENDER)]
        assert {one.scope for one in fold(events)} == {ONE_SENDER}


def _by_hand(number: int, minute: float, reason: ReasonClass = ReasonClass.STOP) -> ConsentEvent:
    return _event(number, Direction.OPT_IN, minute, reason=reason, author="anna", source="api")


def test_a_lift_by_hand_ends_what_was_recorded_before_it() -> None:
    """A person's lift counts whatever the provider's time of the STOP, known or not."""
    assert _reasons([_out(1, None), _by_hand(2, 5)]) == set()
    assert _reasons([_out(1, 9), _by_hand(2, 5)]) == set()


def test_a_stop_recorded_after_a_lift_by_hand_stands() -> None:
    """The clock of the host where somebody lifted must not decide about a later STOP."""
    assert _reasons([_by_hand(5, 10), _out(9, 4)]) == {"stop"}
    assert _reasons([_out(1, 1), _by_hand(5, 10), _out(9, 4)]) == {"stop"}


class TestImports:
    """What came with one list can be taken back with it."""

    def _undo(self, number: int, batch_id: int) -> ConsentEvent:
        facts = {"reason": ReasonClass.IMPORT, "author": "anna", "source": "undo"}
        return _event(number, Direction.OPT_IN, 9, batch_id=batch_id, **facts)

    def test_an_undone_import(self) -> None:
        """Undoing an import ends what came with it."""
        assert not fold([_out(1, 0, ReasonClass.IMPORT, batch_id=1), self._undo(2, 1)])

    @pytest.mark.parametrize("batch_id", [None, 2])
    def test_what_else_was_imported_stands(self, batch_id: int | None) -> None:
        """Whoever is on another list too, or came without any, stays suppressed by that."""
        events = [
            _out(1, 0, ReasonClass.IMPORT, batch_id=1),
            _out(2, 0, ReasonClass.IMPORT, batch_id=batch_id),
            self._undo(3, 1),
        ]
        assert [one.event_id for one in fold(events)] == [2]

    def test_the_persons_own_stop_stands(self) -> None:
        """Undoing an import never ends an opt-out that the person sent."""
        events = [_out(1, 0, ReasonClass.IMPORT, batch_id=1), _out(2, 0), self._undo(3, 1)]
        assert _reasons(events) == {"stop"}

    def test_the_same_list_again(self) -> None:
        """What the batch gained after it was undone stands: it was recorded later."""
        events = [_out(1, 0, ReasonClass.IMPORT, batch_id=1), self._undo(2, 1)]
        assert _reasons([*events, _out(3, 0, ReasonClass.IMPORT, batch_id=1)]) == {"import"}

    def test_a_lift_by_hand_ends_every_import(self) -> None:
        """An override by hand names no list and ends them all."""
        events = [_out(n, 0, ReasonClass.IMPORT, batch_id=n) for n in (1, 2)]
        assert not fold([*events, _by_hand(3, 1, ReasonClass.IMPORT)])
