"""All that is stored about one recipient, and a plain sentence for each message to them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sender.domain.consent import ConsentEvent
from sender.domain.incident import Because, Cause, LoggedKeyword
from sender.domain.message import VERDICT_NOT_SENT, VERDICT_SENT, State
from sender.domain.receipt import ReceiptSource


@dataclass(frozen=True, kw_only=True)
class Told:
    """A status callback, or what stands for one."""

    status: str
    code: int
    received_at: datetime
    source: ReceiptSource = ReceiptSource.CALLBACK


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a person found out about a doubt."""

    sent: bool
    author: str
    evidence: str
    given_at: datetime


@dataclass(frozen=True, kw_only=True)
class MessageStory:
    """One message to the recipient, and all that is known of it."""

    message_id: UUID
    campaign_id: int
    campaign: str
    campaign_state: str
    #: The From number or Messaging Service SID.
    sender: str
    #: When the campaign was created, and the audience line it came from.
    created_at: datetime
    line: int
    state: State
    reason: str
    guarded_at: datetime | None
    changed_at: datetime
    sid: str | None
    provider_status: str | None
    provider_code: int | None
    #: The reasons of holds that stop it now.
    holds: tuple[str, ...] = ()
    has_incident: bool = False
    told: tuple[Told, ...] = ()
    verdict: Verdict | None = None

    @property
    def why(self) -> str:
        """Why it was sent, or why not, in a plain sentence."""
        return explain(self)


@dataclass(frozen=True, kw_only=True)
class StoredText:
    """A text of the recipient's, without its words."""

    sid: str
    #: The sender of ours that it went to, as far as known.
    sender: str | None
    keyword: str
    received_at: datetime
    provider_at: datetime | None
    #: It came out of the provider's log, not by a webhook.
    pulled: bool


@dataclass(frozen=True, kw_only=True)
class CauseRecord:
    """A cause that an incident had from then on, and what led to it."""

    cause: Cause
    detail: Mapping[str, object]
    because: Because
    decided_at: datetime


@dataclass(frozen=True, kw_only=True)
class IncidentStory:
    """A 21610, and every cause it was put down to."""

    id: int
    message_id: UUID
    campaign_id: int
    #: ``create``: as the answer to our request; ``callback``: later.
    door: str
    began_at: datetime
    told_at: datetime
    causes: tuple[CauseRecord, ...]
    #: When the provider's log was last asked about the recipient, and what it had.
    looked_at: datetime | None
    logged: tuple[LoggedKeyword, ...]


@dataclass(frozen=True, kw_only=True)
class Known:
    """All that is stored about one recipient of a tenant."""

    messages: tuple[MessageStory, ...] = ()
    texts: tuple[StoredText, ...] = ()
    events: tuple[ConsentEvent, ...] = ()
    #: When each opt-out was enforced, by event.
    enforced: Mapping[int, datetime] = field(default_factory=dict)
    #: The file of each import, by batch.
    batches: Mapping[int, str] = field(default_factory=dict)
    #: The address of each sender, by id.
    senders: Mapping[int, str] = field(default_factory=dict)
    incidents: tuple[IncidentStory, ...] = ()


def explain(one: MessageStory) -> str:
    """Why a message was sent, or why not. Total."""
    return _SENTENCES[one.state](one)


def _code(one: MessageStory) -> str:
    return f", code {one.provider_code}" if one.provider_code else ""


def _waits(one: MessageStory) -> str:
    if one.campaign_state != "RUNNING":
        return f"its campaign is {one.campaign_state}"
    if one.holds:
        return f"held ({', '.join(one.holds)})"
    if one.reason == "review":
        return "a person has to read what they wrote"
    return f"it goes again ({one.reason})" if one.reason else "its turn has not come"


def _failed(one: MessageStory, code: str) -> str:
    if one.reason == VERDICT_NOT_SENT:
        return "Not sent, as a person found out."
    if one.sid:
        return f"Not delivered: Twilio took it and then failed ({one.reason}{code})."
    if one.guarded_at:
        return f"Not sent: Twilio refused it ({one.reason}{code})."
    return f"Not sent: nothing was asked of Twilio ({one.reason})."


def _sent(one: MessageStory) -> str:
    if one.reason == VERDICT_SENT:
        return "Sent, as a person found out."
    return "Sent: Twilio took it, and has not told of a delivery."


def _suppressed(one: MessageStory) -> str:
    if one.has_incident:
        return "Not sent: Twilio refused it, because it blocks them (21610)."
    return f"Not sent: they had opted out ({one.reason})."


def _canceled(one: MessageStory) -> str:
    if one.sid:
        return "Not sent: it was taken back at Twilio in time."
    return "Not sent: the campaign was canceled."


_SENTENCES: Mapping[State, Callable[[MessageStory], str]] = {
    State.PENDING: lambda one: f"Not sent yet: {_waits(one)}.",
    State.SENDING: lambda _: "Just being sent, or its worker was lost a moment ago.",
    State.SENT: _sent,
    State.DELIVERED: lambda _: "Sent and delivered.",
    State.UNDELIVERED: lambda one: f"Sent, but not delivered ({one.reason}{_code(one)}).",
    State.SUPPRESSED: _suppressed,
    State.FAILED: lambda one: _failed(one, _code(one)),
    State.EXPIRED: lambda _: "Not sent: the campaign's time was over.",
    State.CANCELED: _canceled,
    State.IN_DOUBT: lambda one: f"May have been sent ({one.reason}): Twilio is being asked.",
    State.UNKNOWN: lambda one: f"May have been sent ({one.reason}): 48 hours showed nothing.",
}
_WENT = frozenset({State.SENT, State.DELIVERED, State.UNDELIVERED})


def summary(messages: Iterable[MessageStory]) -> str:
    """How many went out and how many did not, in a line."""
    all_ = list(messages)
    went = sum(one.state in _WENT for one in all_)
    doubtful = sum(one.state in {State.IN_DOUBT, State.UNKNOWN} for one in all_)
    count = "1 message" if len(all_) == 1 else f"{len(all_)} messages"
    return f"{count}: {went} sent, {doubtful} in doubt, {len(all_) - went - doubtful} not sent"
