"""Consent as an append-only log, and the fold that turns a person's events into suppressions.

The fold is a pure function of a *set* of events: order, duplicates and late arrivals cannot
change its answer. Per reason class the latest event by the provider's clock decides; at equal
times the opt-out wins; an event whose provider time is unknown counts as latest when it
suppresses and not at all (yet) when it lifts. A lift by hand ends only what was recorded before
it, and the undoing of an import only what came with that import. So ignorance always errs towards
not texting.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

#: The scope that covers every sender of a tenant; any other scope is a sender's id.
ALL_SENDERS = 0
#: The tenant id of the operator's own, platform-wide list.
PLATFORM = 0


class ReasonClass(StrEnum):
    """Why somebody is suppressed. Classes are independent: one active class is enough."""

    #: A STOP keyword, or the provider's word that it was one.
    STOP = "stop"
    #: An opt-out in the person's own words.
    FREE_TEXT = "free_text"
    #: A message that may be an opt-out, waiting for a person to read it.
    REVIEW = "review"
    #: The provider refuses this recipient (21610): not proof of a typed STOP.
    PROVIDER_BLOCK = "provider_block"
    #: A complaint, to us or to a regulator.
    COMPLAINT = "complaint"
    #: Added by hand.
    MANUAL = "manual"
    #: Came with an imported list.
    IMPORT = "import"
    #: The carrier refuses this recipient.
    CARRIER_BLOCK = "carrier_block"


#: What the recipient's own START may close. Everything else needs an author and evidence.
CLOSED_BY_START = frozenset({ReasonClass.STOP, ReasonClass.FREE_TEXT, ReasonClass.PROVIDER_BLOCK})

#: What a lift by hand may not close without an explicit, logged override.
PROTECTED = frozenset({ReasonClass.COMPLAINT, ReasonClass.IMPORT})


class Direction(StrEnum):
    """Which way a consent event points."""

    OPT_OUT = "opt_out"
    OPT_IN = "opt_in"


@dataclass(frozen=True, kw_only=True)
class NewConsentEvent:
    """A consent event before it is stored."""

    tenant_id: int
    #: E.164 digits without the plus.
    recipient: int
    #: ``ALL_SENDERS`` or one sender's id.
    scope: int
    direction: Direction
    #: The class an opt-out belongs to, or the one an opt-in closes; ``None`` on a START, which
    #: closes all of ``CLOSED_BY_START``.
    reason: ReasonClass | None
    #: Where it came from: ``inbound``, ``create``, ``callback``, ``api``, ``import`` …
    source: str
    #: The source's own id (a MessageSid, our message id): makes storing it twice harmless.
    source_id: str
    #: When it happened by the provider's clock; ``None`` until that is known.
    provider_at: datetime | None
    #: Who did it by hand; empty for what the recipient did.
    author: str = ""
    #: What it rests on, by kind: ``text``, ``sender``, ``channel``, ``reason``, ``evidence`` …
    #: Kept beside the log, so that it can be erased. On a stored event: empty if it was.
    evidence: Mapping[str, str] = field(default_factory=dict, hash=False)
    #: The import it came with; on an opt-in, the import it undoes, and then it closes no other.
    batch_id: int | None = None


@dataclass(frozen=True, kw_only=True)
class ConsentEvent(NewConsentEvent):
    """A stored consent event."""

    id: int
    received_at: datetime


@dataclass(frozen=True, kw_only=True)
class Suppression:
    """The entry that is enforced: this recipient is not texted in this scope, because of this."""

    tenant_id: int
    recipient: int
    scope: int
    reason: ReasonClass
    #: The event that decided, and when it happened as far as known.
    event_id: int
    since: datetime


_LATEST = datetime.max.replace(tzinfo=UTC)


def _opt_out_rank(event: ConsentEvent) -> tuple[datetime, int]:
    return (event.provider_at or _LATEST, event.id)


#: What an opt-in closes: a scope, a class (``None``: all that a START closes), a batch or any.
_Closed = tuple[int, ReasonClass | None, int | None]


@dataclass
class _OptIns:
    """The latest opt-in of each kind: only that one can matter, however many there are.

    The person's own START lifts what is earlier by the provider's clock. A lift by hand ends what
    was recorded before it: its author knew of no opt-out that was recorded after it, and the clock
    of the host they worked on must not decide about one that was.
    """

    started: dict[_Closed, datetime] = field(default_factory=dict)
    by_hand: dict[_Closed, int] = field(default_factory=dict)

    def add(self, event: ConsentEvent) -> None:
        closed = (event.scope, event.reason, event.batch_id)
        if event.author:
            self.by_hand[closed] = max(event.id, self.by_hand.get(closed, event.id))
        elif event.provider_at is not None:
            at = event.provider_at
            self.started[closed] = max(at, self.started.get(closed, at))

    def lift(self, opt_out: ConsentEvent) -> bool:
        """Whether any of them ends this opt-out."""
        reasons = {opt_out.reason} | ({None} if opt_out.reason in CLOSED_BY_START else set())
        kinds = [(opt_out.scope, why, lot) for why in reasons for lot in {None, opt_out.batch_id}]
        if any(self.by_hand.get(kind, 0) > opt_out.id for kind in kinds):
            return True
        at = opt_out.provider_at
        return at is not None and any(self.started.get(kind, at) > at for kind in kinds)


def fold(events: Iterable[ConsentEvent]) -> frozenset[Suppression]:
    """The suppressions that one person's events with one tenant amount to.

    Args:
        events: any collection of one (tenant, recipient)'s events, in any order, with or
            without duplicates.

    Returns:
        One suppression for each active (scope, reason class); empty when the person may be
        texted.
    """
    unique = {event.id: event for event in events}.values()
    opt_ins = _OptIns()
    for event in unique:
        if event.direction is Direction.OPT_IN:
            opt_ins.add(event)
    active: dict[tuple[int, ReasonClass], ConsentEvent] = {}
    for event in unique:
        if event.direction is Direction.OPT_IN or event.reason is None or opt_ins.lift(event):
            continue
        key = (event.scope, event.reason)
        if key not in active or _opt_out_rank(event) > _opt_out_rank(active[key]):
            active[key] = event
    return frozenset(map(_suppression, active.values()))


def _suppression(event: ConsentEvent) -> Suppression:
    if event.reason is None:
        raise ValueError("an opt-out always has a reason class")
    return Suppression(
        tenant_id=event.tenant_id,
        recipient=event.recipient,
        scope=event.scope,
        reason=event.reason,
        event_id=event.id,
        since=event.provider_at or event.received_at,
    )
