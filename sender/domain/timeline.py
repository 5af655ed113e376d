"""What happened to one recipient, as entries in time order."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sender.domain.consent import ALL_SENDERS, ConsentEvent, Direction
from sender.domain.message import State
from sender.domain.story import IncidentStory, Known, MessageStory, StoredText


class Happening(StrEnum):
    """What kind of thing happened."""

    #: A campaign was created with them in its audience.
    AUDIENCE = "audience"
    #: They texted us: as Twilio received it (by its clock), or as it reached us.
    TEXT = "text"
    #: A consent event was recorded.
    CONSENT = "consent"
    #: From then on no request that the opt-out covers could begin.
    ENFORCED = "enforced"
    #: The guard let a message pass, right after the Redis set had no hit.
    GUARD = "guard"
    #: A request that met a 21610 began.
    REQUEST = "request"
    #: A message came to its present state.
    STATE = "state"
    #: A status callback arrived.
    CALLBACK = "callback"
    #: A person decided about a doubt.
    VERDICT = "verdict"
    #: We were told of a 21610, and its cause was decided, at first or anew.
    INCIDENT = "incident"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One thing that happened."""

    at: datetime
    what: Happening
    #: A plain sentence.
    text: str
    campaign_id: int | None = None
    message_id: UUID | None = None
    #: By the provider's clock, in whole seconds; else by ours.
    by_provider: bool = False


def timeline(known: Known) -> tuple[Entry, ...]:
    """Everything in time order, the two clocks side by side."""
    entries = [
        *_told_by_texts(known),
        *_told_by_events(known),
        *(entry for one in known.messages for entry in _told_by_message(one)),
        *(entry for one in known.incidents for entry in _told_by_incident(one)),
    ]
    return tuple(sorted(entries, key=lambda entry: entry.at))


def _told_by_texts(known: Known) -> Iterator[Entry]:
    for one in known.texts:
        yield from _told_by_text(one)
    stored = {one.sid for one in known.texts}
    logged = {one.sid: one for story in known.incidents for one in story.logged}
    for keyword in logged.values():
        if keyword.sid not in stored:
            word = "STOP" if keyword.is_stop else "START"
            to = "the sender" if keyword.to_sender else "another address"
            said = f"Twilio received {word} to {to} ({keyword.sid}); it never reached us"
            yield Entry(at=keyword.at, what=Happening.TEXT, text=said, by_provider=True)


def _told_by_text(one: StoredText) -> Iterator[Entry]:
    word = "a text" if one.keyword == "NONE" else one.keyword
    to = one.sender or "an address that is no sender of ours"
    how = "was pulled from Twilio's log" if one.pulled else "reached us by its webhook"
    said = f"{word} to {to} {how} ({one.sid})"
    yield Entry(at=one.received_at, what=Happening.TEXT, text=said)
    if one.provider_at:
        said = f"Twilio received {word} ({one.sid})"
        yield Entry(at=one.provider_at, what=Happening.TEXT, text=said, by_provider=True)


def _told_by_events(known: Known) -> Iterator[Entry]:
    for one in known.events:
        covers = "all senders"
        if one.scope != ALL_SENDERS:
            covers = known.senders.get(one.scope, "another sender")
        what = _consent(one, known, covers)
        yield Entry(at=one.received_at, what=Happening.CONSENT, text=what)
        if at := known.enforced.get(one.id):
            said = f"enforced ({one.reason}, {covers}): nothing more can begin"
            yield Entry(at=at, what=Happening.ENFORCED, text=said)


def _consent(one: ConsentEvent, known: Known, covers: str) -> str:
    direction = "opted out" if one.direction is Direction.OPT_OUT else "opted in"
    source = f"from {one.source}"
    if one.batch_id is not None:
        source = f"with import {one.batch_id} ({known.batches.get(one.batch_id, 'a list')})"
    by = f", by {one.author}" if one.author else ""
    return f"{direction}: {one.reason or 'START'}, {covers}, {source}{by}"


def _told_by_message(one: MessageStory) -> Iterator[Entry]:
    for entry in _happened_to(one):
        yield replace(entry, campaign_id=one.campaign_id, message_id=one.message_id)


def _happened_to(one: MessageStory) -> Iterator[Entry]:
    came = f"campaign {one.campaign_id} ({one.campaign}) was created with them, line {one.line}"
    yield Entry(at=one.created_at, what=Happening.AUDIENCE, text=came)
    if one.guarded_at:
        said = "the Redis set had no hit, and the guard let it pass"
        yield Entry(at=one.guarded_at, what=Happening.GUARD, text=said)
    for told in one.told:
        said = f"{told.source}: {told.status}{f', code {told.code}' if told.code else ''}"
        yield Entry(at=told.received_at, what=Happening.CALLBACK, text=said)
    if one.verdict:
        found = "sent" if one.verdict.sent else "not sent"
        said = f"found {found} by {one.verdict.author}: {one.verdict.evidence}"
        yield Entry(at=one.verdict.given_at, what=Happening.VERDICT, text=said)
    if one.state is not State.PENDING or one.reason:
        said = f"{one.state}{f' ({one.reason})' if one.reason else ''}"
        said += f", {one.sid}" if one.sid else ""
        yield Entry(at=one.changed_at, what=Happening.STATE, text=said)


def _told_by_incident(one: IncidentStory) -> Iterator[Entry]:
    for entry in _happened_in(one):
        yield replace(entry, campaign_id=one.campaign_id, message_id=one.message_id)


def _happened_in(one: IncidentStory) -> Iterator[Entry]:
    at_create = one.door == "create"
    if at_create:
        said = "our request began, which met the 21610"
        yield Entry(at=one.began_at, what=Happening.REQUEST, text=said)
    for number, record in enumerate(one.causes):
        door = "as its answer" if at_create else "in a later report"
        said = f"21610 {door}: incident {one.id}, {record.cause}"
        if number:
            said = f"incident {one.id} is now {record.cause} ({record.because})"
        yield Entry(at=record.decided_at, what=Happening.INCIDENT, text=said)
