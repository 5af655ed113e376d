"""From evidence to the cause of a 21610: each cause on the list, and what it must not be."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sender.domain.consent import ConsentEvent, Direction, ReasonClass
from sender.domain.incident import (
    CROSSING,
    LATE,
    LONGEST_QUEUED,
    RACE_WINDOW,
    Cause,
    Evidence,
    LoggedKeyword,
    Trace,
    trace,
)

BEGAN = datetime(2025, 6, 1, 12, tzinfo=UTC)
SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
#: The sender's own scope, and another sender's.
OWN, OTHER = 5, 7


def _event(after: timedelta, **facts: Any) -> ConsentEvent:
    """A STOP that was received this long after the request began."""
    plain: dict[str, Any] = {
        "id": 1,
        "tenant_id": 1,
        "recipient": 14155552671,
        "scope": 0,
        "direction": Direction.OPT_OUT,
        "reason": ReasonClass.STOP,
        "source": "inbound",
        "source_id": "SM1",
        "provider_at": None,
        "received_at": BEGAN + after,
    }
    return ConsentEvent(**plain | facts)


def _logged(after: timedelta, **facts: Any) -> LoggedKeyword:
    """A STOP that Twilio's log has this long after the request began."""
    plain: dict[str, Any] = {"sid": "SM9", "at": BEGAN + after, "is_stop": True, "to_sender": True}
    return LoggedKeyword(**plain | facts)


def _evidence(*events: ConsentEvent, **facts: Any) -> Evidence:
    plain: dict[str, Any] = {
        "events": events,
        "scopes": frozenset({0, OWN}),
        "began_at": BEGAN,
        "guarded_at": BEGAN - timedelta(milliseconds=3),
        "told_at": BEGAN + timedelta(milliseconds=90),
        "texted_before": True,
    }
    return Evidence(**plain | facts)


def _trace(*events: ConsentEvent, **facts: Any) -> Trace:
    return trace(_evidence(*events, **facts))


START: dict[str, Any] = {"id": 2, "direction": Direction.OPT_IN, "reason": None, "source_id": "SM2"}


class TestRacedStop:
    """The STOP and our request crossed."""

    @pytest.mark.parametrize("after", [-CROSSING, timedelta(milliseconds=40), RACE_WINDOW])
    def test_received_at_about_the_same_time(self, after: timedelta) -> None:
        """A STOP that crossed the request explains its 21610, and by how much they crossed."""
        found = _trace(_event(after))
        assert found == Trace(cause=Cause.RACED_STOP, raced_by=after, stop="SM1")
        assert found.detail == {"raced_by_ms": after.total_seconds() * 1000, "stop": "SM1"}

    def test_the_closest_stop_counts(self) -> None:
        """Of several STOPs the one that is closest to the request is the one that raced it."""
        found = _trace(_event(9 * SECOND), _event(-SECOND, id=2, source_id="SM2"))
        assert (found.raced_by, found.stop) == (-SECOND, "SM2")

    def test_while_it_was_queued_at_twilio(self) -> None:
        """A STOP between acceptance and a 21610 that came later in a callback is a race too."""
        found = _trace(_event(90 * SECOND), told_at=BEGAN + 100 * SECOND)
        assert found.cause is Cause.RACED_STOP
        assert _trace(_event(110 * SECOND), told_at=BEGAN + 100 * SECOND).cause is Cause.UNKNOWN

    def test_no_longer_than_twilio_keeps_a_message(self) -> None:
        """A 21610 found days later is not explained by a STOP of the day between."""
        found = _trace(_event(LONGEST_QUEUED + SECOND), told_at=BEGAN + 2 * DAY)
        assert found.cause is Cause.UNKNOWN

    def test_no_webhook_could_have_been_in_time(self) -> None:
        """A STOP that Twilio had as the request began is a race, however late we heard of it."""
        late = _event(HOUR, provider_at=BEGAN - SECOND)
        assert (_trace(late).cause, _trace(late).raced_by) == (Cause.RACED_STOP, -SECOND)
        assert _trace(logged=[_logged(SECOND)]).raced_by == SECOND

    def test_a_slow_webhook(self) -> None:
        """A STOP that Twilio had in time for a race is one, though its webhook came after that."""
        slow = _event(RACE_WINDOW + SECOND, provider_at=BEGAN + 15 * SECOND)
        assert _trace(slow).raced_by == 15 * SECOND

    def test_another_senders_stop(self) -> None:
        """A STOP that was for another sender only raced nothing of this one."""
        assert _trace(_event(SECOND, scope=OTHER)).cause is Cause.UNKNOWN
        assert _trace(_event(SECOND, scope=OWN)).cause is Cause.RACED_STOP


class TestWebhookMissed:
    """Twilio had the STOP in time, and its webhook did not tell us."""

    def test_it_came_an_hour_later(self) -> None:
        """A STOP that reached us long after Twilio had it, and after the request."""
        found = _trace(_event(HOUR, provider_at=BEGAN - HOUR))
        assert (found.cause, found.stop, found.late_by) == (Cause.WEBHOOK_MISSED, "SM1", 2 * HOUR)
        assert found.detail["late_by_ms"] == 7_200_000
        assert found.detail["stop_at"] == "2025-06-01T11:00:00+00:00"

    def test_it_was_pulled(self) -> None:
        """A STOP that came out of Twilio's log and not by a webhook, however soon."""
        stop = _event(SECOND, provider_at=BEGAN - 20 * SECOND)
        assert _trace(stop).cause is Cause.RACED_STOP
        assert _trace(stop, pulled=frozenset({"SM1"})).cause is Cause.WEBHOOK_MISSED

    def test_it_never_came(self) -> None:
        """Twilio's log has a STOP to this sender that we have no record of."""
        found = _trace(logged=[_logged(-DAY)])
        assert (found.cause, found.stop, found.stop_at) == (
            Cause.WEBHOOK_MISSED,
            "SM9",
            BEGAN - DAY,
        )

    def test_nobody_knew_the_person(self) -> None:
        """It is no lost import once Twilio's log shows the STOP."""
        assert _trace(texted_before=False).cause is Cause.IMPORTED_OPTED_OUT
        found = _trace(texted_before=False, logged=[_logged(-DAY)])
        assert found.cause is Cause.WEBHOOK_MISSED

    def test_the_last_word_decides(self) -> None:
        """A STOP that a START followed blocks nobody; a STOP after it does."""
        started = _logged(-HOUR, sid="SM8", is_stop=False)
        assert _trace(logged=[_logged(-DAY), started]).cause is Cause.UNKNOWN
        assert _trace(logged=[started, _logged(-SECOND * 60)]).cause is Cause.WEBHOOK_MISSED
        late = _event(HOUR, provider_at=BEGAN - DAY)
        start = _event(-HOUR, provider_at=BEGAN - HOUR, **START)
        assert _trace(late, start).cause is Cause.UNKNOWN

    def test_a_webhook_within_its_attempts_is_not_late(self) -> None:
        """What came within the time of a webhook's attempts was not missed."""
        stop = _event(SECOND, provider_at=BEGAN + SECOND - LATE)
        assert _trace(stop).cause is Cause.RACED_STOP

    def test_what_we_have_was_not_missed(self) -> None:
        """A STOP in Twilio's log that we have as well explains nothing by itself."""
        seen = _event(-DAY, source_id="SM9")
        start = _event(-HOUR, provider_at=BEGAN - HOUR, **START)
        seen = replace(seen, provider_at=BEGAN - DAY)
        assert _trace(seen, start, logged=[_logged(-DAY)]).cause is Cause.UNKNOWN


class TestListLostData:
    """Our own log says suppressed, yet the guard let it pass."""

    @pytest.mark.parametrize("before", [DAY, 20 * SECOND])
    def test_a_stop_that_we_had(self, before: timedelta) -> None:
        """A STOP that we had long before the guard passed the row is an alarm, not a race."""
        assert _trace(_event(-before)).cause is Cause.LIST_LOST_DATA

    @pytest.mark.parametrize("reason", [ReasonClass.IMPORT, ReasonClass.PROVIDER_BLOCK])
    def test_of_any_reason(self, reason: ReasonClass) -> None:
        """So is every other opt-out that covers the sender."""
        assert _trace(_event(-DAY, reason=reason)).cause is Cause.LIST_LOST_DATA
        own = _event(-DAY, reason=reason, scope=OWN)
        assert _trace(own).cause is Cause.LIST_LOST_DATA

    def test_it_is_graver_than_a_race(self) -> None:
        """Another STOP at the moment of the request does not hide it."""
        again = _event(SECOND, id=2, source_id="SM2")
        assert _trace(_event(-DAY), again).cause is Cause.LIST_LOST_DATA

    def test_an_enforced_stop_is_no_race(self) -> None:
        """However close they were: once it was enforced no guard may let anything pass."""
        stop = _event(-SECOND)
        before, after = (timedelta(milliseconds=ms) for ms in (-4, 4))
        assert _trace(stop, enforced={1: BEGAN + before}).cause is Cause.LIST_LOST_DATA
        assert _trace(stop, enforced={1: BEGAN + after}).cause is Cause.RACED_STOP

    def test_what_was_lifted_is_not_lost(self) -> None:
        """An opt-out that a START ended is not on the list any more."""
        stop = _event(-DAY, provider_at=BEGAN - DAY)
        start = _event(-HOUR, provider_at=BEGAN - HOUR, **START)
        assert _trace(stop, start).cause is Cause.UNKNOWN

    def test_what_was_just_lifted_is_not_lost(self) -> None:
        """Nor is one that a START ended a moment before the guard."""
        stop = _event(-DAY, provider_at=BEGAN - DAY)
        start = _event(-2 * SECOND, provider_at=BEGAN - 3 * SECOND, **START)
        assert _trace(stop, start, enforced={1: BEGAN - DAY}).cause is Cause.UNKNOWN

    def test_without_a_guard(self) -> None:
        """Where the time of the guard is not known, nothing is said about what it should see."""
        assert _trace(_event(-DAY), guarded_at=None).cause is Cause.UNKNOWN


class TestOtherSender:
    """Opted out by way of another sender, or of another system."""

    def test_a_stop_to_another_sender(self) -> None:
        """An opt-out known for another sender only does not cover this one."""
        assert _trace(_event(-DAY, scope=OTHER)).cause is Cause.OTHER_SENDER

    def test_in_twilios_log_only(self) -> None:
        """So does a STOP in Twilio's log that went to another address than this sender's."""
        found = _trace(logged=[_logged(-DAY, to_sender=False)], texted_before=False)
        assert (found.cause, found.stop) == (Cause.OTHER_SENDER, "SM9")


def test_lifted_by_hand() -> None:
    """Our suppression was lifted by somebody; the provider's block was not."""
    lifted = _event(-DAY, **START | {"reason": ReasonClass.STOP, "author": "ann"})
    assert _trace(_event(-2 * DAY), lifted).cause is Cause.LIFTED_BY_HAND


class TestImportedOptedOut:
    """Blocked before we ever texted them."""

    def test_nothing_is_known(self) -> None:
        """Somebody we know nothing of and never texted was opted out before they came to us."""
        assert _trace(texted_before=False).cause is Cause.IMPORTED_OPTED_OUT

    def test_another_campaigns_21610_says_nothing(self) -> None:
        """The 21610 of a message that went at the same time is no earlier knowledge."""
        other = _event(SECOND, reason=ReasonClass.PROVIDER_BLOCK, source="create")
        assert _trace(other, texted_before=False).cause is Cause.IMPORTED_OPTED_OUT

    def test_what_came_later_says_nothing(self) -> None:
        """A STOP of the next day does not make it anything else."""
        found = _trace(_event(DAY), texted_before=False, logged=[_logged(DAY)])
        assert found.cause is Cause.IMPORTED_OPTED_OUT


def test_unknown() -> None:
    """What our records cannot show is not guessed."""
    assert _trace() == Trace(cause=Cause.UNKNOWN)
    assert _trace().detail == {}
    assert _trace(_event(-DAY, **START)).cause is Cause.UNKNOWN
    assert _trace(_event(RACE_WINDOW + SECOND)).cause is Cause.UNKNOWN
