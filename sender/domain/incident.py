"""Why a 21610 got past suppression: rules from our own records to a cause on a closed list."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sender.domain.consent import ConsentEvent, Direction, ReasonClass


class Cause(StrEnum):
    """How a request to somebody the provider blocks could begin."""

    #: The STOP and our request crossed each other.
    RACED_STOP = "raced_stop"
    #: The provider's log has a STOP that never reached us.
    WEBHOOK_MISSED = "webhook_missed"
    #: Blocked before we ever texted this person: their opt-out was lost on import.
    IMPORTED_OPTED_OUT = "imported_opted_out"
    #: Opted out by way of another sender or another system.
    OTHER_SENDER = "other_sender"
    #: Somebody lifted our suppression by hand, but not the provider's block.
    LIFTED_BY_HAND = "lifted_by_hand"
    #: Our own log says suppressed, yet the guard let it pass: an alarm.
    LIST_LOST_DATA = "list_lost_data"
    #: None of the above can be shown yet.
    UNKNOWN = "unknown"


#: STOPs that arrive this long after our request began still explain its 21610: Twilio blocks
#: first and calls our webhook then, at most 15 seconds of attempts.
RACE_WINDOW = timedelta(seconds=30)

#: A STOP is dated before it is committed, and a request begins up to 2 s after its guard; the rest
#: is for the two clocks. A STOP that is older than this should have stopped the request.
CROSSING = timedelta(seconds=5)


@dataclass(frozen=True, kw_only=True)
class Trace:
    """A cause with the evidence that decided it."""

    cause: Cause
    #: STOP received minus request begun, for a race; negative when the STOP came first.
    raced_by: timedelta | None = None

    @property
    def detail(self) -> dict[str, float]:
        """The evidence as it is stored beside the incident."""
        if self.raced_by is None:
            return {}
        return {"raced_by_ms": round(self.raced_by.total_seconds() * 1000, 1)}


def trace(
    events: Sequence[ConsentEvent],
    *,
    began_at: datetime,
    guarded_at: datetime | None,
    texted_before: bool,
) -> Trace:
    """The first trace, from what we know at once.

    Args:
        events: the person's consent events with the tenant, without this 21610's own.
        began_at: when the refused request began, by our clock.
        guarded_at: when the guard let it pass, by the database's clock.
        texted_before: whether the provider ever accepted a message of ours to this person.
    """
    stops = [event for event in events if event.reason is ReasonClass.STOP]
    races = [event.received_at - began_at for event in stops]
    if close := [gap for gap in races if -CROSSING <= gap <= RACE_WINDOW]:
        return Trace(cause=Cause.RACED_STOP, raced_by=min(close, key=abs))
    last = events[-1] if events else None
    if last is not None and last.direction is Direction.OPT_IN and last.author:
        return Trace(cause=Cause.LIFTED_BY_HAND)
    if last is not None and last.direction is Direction.OPT_OUT and _was_known(last, guarded_at):
        return Trace(cause=Cause.LIST_LOST_DATA if last.scope == 0 else Cause.OTHER_SENDER)
    if not events and not texted_before:
        return Trace(cause=Cause.IMPORTED_OPTED_OUT)
    return Trace(cause=Cause.UNKNOWN)


def _was_known(event: ConsentEvent, guarded_at: datetime | None) -> bool:
    return guarded_at is not None and event.received_at < guarded_at
