"""Why a 21610 got past suppression: rules from evidence to a cause on a closed list."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from sender.domain.consent import ConsentEvent, Direction, ReasonClass, fold


class Cause(StrEnum):
    """How a request to somebody the provider blocks could begin."""

    #: The STOP and our request crossed each other.
    RACED_STOP = "raced_stop"
    #: The provider's log has a STOP whose webhook never reached us, or came far too late.
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


#: What Twilio's log may still explain better; the other causes are proven by our own records.
OPEN_CAUSES = frozenset({Cause.UNKNOWN, Cause.IMPORTED_OPTED_OUT, Cause.OTHER_SENDER})


class Because(StrEnum):
    """What led to a cause: every change is kept with it."""

    #: What was known when we were told of the 21610.
    OPENED = "opened"
    #: The person's STOP reached us, by webhook or out of Twilio's log.
    STOP_RECEIVED = "stop_received"
    #: Twilio told when it had received their STOP or START.
    KEYWORD_DATED = "keyword_dated"
    #: Twilio's log was asked about the person.
    PROVIDER_LOG = "provider_log"


#: STOPs that arrive this long after our request began still explain its 21610: Twilio blocks
#: first and calls our webhook then, at most 15 seconds of attempts.
RACE_WINDOW = timedelta(seconds=30)

#: A STOP is dated before it is committed, and a request begins up to 2 s after its guard; the rest
#: is for the two clocks. A STOP that is older than this should have stopped the request.
CROSSING = timedelta(seconds=5)

#: A STOP that reached us later than this after Twilio had it did not come by a webhook's first
#: attempts: those take 15 s at most.
LATE = timedelta(seconds=30)

#: Twilio decides about what it accepted within the longest validity it grants, not later.
LONGEST_QUEUED = timedelta(hours=10)


@dataclass(frozen=True, kw_only=True)
class LoggedKeyword:
    """A STOP or START in the provider's own log."""

    sid: str
    #: When the provider received it.
    at: datetime
    #: A STOP, or else a START.
    is_stop: bool
    #: Whether it was sent to the refused message's sender, or a service or number that goes with
    #: it: a block there covers that sender.
    to_sender: bool


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is known about one 21610."""

    #: The person's consent events with the tenant, without this 21610's own.
    events: Sequence[ConsentEvent]
    #: The suppression scopes that cover the sender, ``ALL_SENDERS`` among them.
    scopes: frozenset[int]
    #: When the refused request began, by our clock.
    began_at: datetime
    #: When the guard let it pass, by the database's clock; ``None``: not known.
    guarded_at: datetime | None
    #: When we were told of the 21610.
    told_at: datetime
    #: Whether the provider ever accepted a message of ours to this person.
    texted_before: bool
    #: When each opt-out was enforced, by event and by the database's clock: no guard lets anything
    #: pass later.
    enforced: Mapping[int, datetime] = field(default_factory=dict)
    #: What the provider's log has of the person, as far as it was asked.
    logged: Sequence[LoggedKeyword] = ()
    #: Texts of the person that came out of that log and not by a webhook, by MessageSid.
    pulled: frozenset[str] = frozenset()

    @property
    def until(self) -> datetime:
        """What happened later than this cannot have caused it."""
        told_at = min(self.told_at, self.began_at + LONGEST_QUEUED)
        return max(told_at, self.began_at + RACE_WINDOW)


@dataclass(frozen=True, kw_only=True)
class Trace:
    """A cause with the evidence that decided it."""

    cause: Cause
    #: STOP received minus request begun, for a race; negative when the STOP came first.
    raced_by: timedelta | None = None
    #: The STOP that explains it, by its MessageSid.
    stop: str | None = None
    #: When the provider had that STOP.
    stop_at: datetime | None = None
    #: How long after that it reached us; ``None`` where it never did.
    late_by: timedelta | None = None

    @property
    def detail(self) -> dict[str, float | str]:
        """The evidence as it is stored beside the incident."""
        found: dict[str, float | str | None] = {
            "raced_by_ms": _milliseconds(self.raced_by),
            "stop": self.stop,
            "stop_at": self.stop_at.isoformat() if self.stop_at else None,
            "late_by_ms": _milliseconds(self.late_by),
        }
        return {name: value for name, value in found.items() if value is not None}


def _milliseconds(span: timedelta | None) -> float | None:
    return None if span is None else round(span.total_seconds() * 1000, 1)


def trace(evidence: Evidence) -> Trace:
    """The cause, from what is known now; the gravest and the best proven first."""
    known = [one for one in evidence.events if _moment(one) <= evidence.until]
    rules = (_list_lost_data, _raced, _missed, _lifted_by_hand, _other_sender, _imported)
    found = (rule(evidence, known) for rule in rules)
    return next(filter(None, found), Trace(cause=Cause.UNKNOWN))


def _moment(event: ConsentEvent) -> datetime:
    """When it happened: by the provider's clock as soon as that is known."""
    return event.provider_at or event.received_at


def _list_lost_data(evidence: Evidence, known: Sequence[ConsentEvent]) -> Trace | None:
    """An opt-out that covers the sender stood well before the guard, or was enforced."""
    if _scopes_before(evidence, known) & evidence.scopes:
        return Trace(cause=Cause.LIST_LOST_DATA)
    return None


def _raced(evidence: Evidence, known: Sequence[ConsentEvent]) -> Trace | None:
    """A STOP came while the request, or Twilio's decision about it, was under way."""
    crossed = [one for one in _stops(evidence, known) if one.at - evidence.began_at >= -CROSSING]
    if not crossed:
        return None
    stop = min(crossed, key=lambda one: abs(one.at - evidence.began_at))
    raced_by = stop.at - evidence.began_at
    return Trace(cause=Cause.RACED_STOP, raced_by=raced_by, stop=stop.sid, stop_at=stop.provider_at)


def _missed(evidence: Evidence, known: Sequence[ConsentEvent]) -> Trace | None:
    """Twilio had the STOP in time, and no webhook told us in time."""
    last = max(_own_words(evidence, known), key=_moment, default=None)
    if last is not None and last.reason is ReasonClass.STOP and _is_missed(evidence, last):
        return Trace(
            cause=Cause.WEBHOOK_MISSED,
            stop=last.source_id,
            stop_at=last.provider_at,
            late_by=None if last.provider_at is None else last.received_at - last.provider_at,
        )
    logged = _never_heard(evidence, to_sender=True)
    if logged is None:
        return None
    return Trace(cause=Cause.WEBHOOK_MISSED, stop=logged.sid, stop_at=logged.at)


def _lifted_by_hand(evidence: Evidence, known: Sequence[ConsentEvent]) -> Trace | None:
    """The last word before the request was a lift with an author."""
    before = [one for one in known if one.received_at <= evidence.began_at]
    if before and before[-1].direction is Direction.OPT_IN and before[-1].author:
        return Trace(cause=Cause.LIFTED_BY_HAND)
    return None


def _other_sender(evidence: Evidence, known: Sequence[ConsentEvent]) -> Trace | None:
    """An opt-out stood that does not cover the sender, with us or in the provider's log."""
    if _scopes_before(evidence, known):
        return Trace(cause=Cause.OTHER_SENDER)
    logged = _never_heard(evidence, to_sender=False)
    if logged is None:
        return None
    return Trace(cause=Cause.OTHER_SENDER, stop=logged.sid, stop_at=logged.at)


def _imported(evidence: Evidence, known: Sequence[ConsentEvent]) -> Trace | None:
    """Nothing but other 21610s is known of the person, and nothing ever reached them."""
    own = [one for one in known if one.reason is not ReasonClass.PROVIDER_BLOCK]
    said = [one for one in evidence.logged if one.at <= evidence.until]
    if own or said or evidence.texted_before:
        return None
    return Trace(cause=Cause.IMPORTED_OPTED_OUT)


def _scopes_before(evidence: Evidence, known: Iterable[ConsentEvent]) -> set[int]:
    """Where the guard should have seen the person suppressed."""
    guarded_at = evidence.guarded_at
    if guarded_at is None:
        return set()
    seen = [event for event in known if _was_seen(evidence, event, guarded_at)]
    return {one.scope for one in fold(seen)}


def _was_seen(evidence: Evidence, event: ConsentEvent, guarded_at: datetime) -> bool:
    """Whether the guard knew it.

    When an event was committed is not on record: opt-outs need a margin, or their enforcement.
    Opt-ins need none; with one, what they had lifted would seem lost.
    """
    if event.direction is Direction.OPT_IN:
        return event.received_at <= guarded_at
    enforced_at = evidence.enforced.get(event.id, guarded_at)
    return event.received_at < guarded_at - CROSSING or enforced_at < guarded_at


def _own_words(evidence: Evidence, known: Iterable[ConsentEvent]) -> list[ConsentEvent]:
    """The person's own STOPs and STARTs that concern the sender."""
    return [
        one
        for one in known
        if not one.author
        and one.scope in evidence.scopes
        and (one.reason is ReasonClass.STOP or one.direction is Direction.OPT_IN)
    ]


@dataclass(frozen=True, kw_only=True)
class _Stop:
    """A STOP at the moment that counts for a race."""

    sid: str
    at: datetime
    provider_at: datetime | None


def _stops(evidence: Evidence, known: Iterable[ConsentEvent]) -> list[_Stop]:
    """By the time we received them; by the provider's where that was too late."""
    found = [
        _Stop(
            sid=one.source_id,
            at=one.received_at if _came_in_time(evidence, one) else _moment(one),
            provider_at=one.provider_at,
        )
        for one in _own_words(evidence, known)
        if one.direction is Direction.OPT_OUT
    ]
    if logged := _never_heard(evidence, to_sender=True):
        found.append(_Stop(sid=logged.sid, at=logged.at, provider_at=logged.at))
    return [one for one in found if one.at <= evidence.until]


def _came_in_time(evidence: Evidence, event: ConsentEvent) -> bool:
    return event.received_at <= evidence.until and not _is_missed(evidence, event)


def _is_missed(evidence: Evidence, event: ConsentEvent) -> bool:
    """Whether it came out of the provider's log, or later than webhooks come."""
    if event.source_id in evidence.pulled:
        return True
    return event.provider_at is not None and event.received_at - event.provider_at > LATE


def _never_heard(evidence: Evidence, *, to_sender: bool) -> LoggedKeyword | None:
    """The STOP that was the person's last word to the provider, if we have no record of it."""
    said = [
        one for one in evidence.logged if one.to_sender is to_sender and one.at <= evidence.until
    ]
    last = max(said, key=lambda one: one.at, default=None)
    if last is None or not last.is_stop:
        return None
    return None if any(one.source_id == last.sid for one in evidence.events) else last
