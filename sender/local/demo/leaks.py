"""The two things that must never happen, counted from what reached the provider."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sender.domain.consent import PLATFORM, ConsentEvent, Direction, fold
from sender.local.demo.provider_log import Create, ProviderLog, Text
from sender.storage.audit import AuditedTables


@dataclass(frozen=True, kw_only=True)
class Leak:
    """A request that reached the provider although a STOP in force covered it."""

    recipient: int
    arrived_at: datetime


@dataclass(frozen=True, kw_only=True)
class _Person:
    """One person's consent events, each with the moment from which it counts."""

    events: tuple[tuple[ConsentEvent, datetime], ...]

    def is_covered(self, at: datetime, scopes: frozenset[int]) -> bool:
        """Whether what counted before `at` forbids every request from then on."""
        counting = [event for event, since in self.events if since < at]
        return any(one.scope in scopes or one.tenant_id == PLATFORM for one in fold(counting))


def leaks(log: ProviderLog, tables: AuditedTables) -> tuple[Leak, ...]:
    """Every create request, *whatever its answer*, that arrived after a STOP was in force.

    In force: enforced, or acknowledged with 200, whichever came first. A START counts from its
    arrival on if the fold says, by the provider's clock, that it came after the STOP. The clocks
    compared are one machine's, so there is no tolerance.
    """
    people = _people(log, tables)
    return tuple(
        Leak(recipient=create.recipient, arrived_at=create.arrived_at)
        for create in log.creates
        if (person := people.get(create.recipient))
        and person.is_covered(create.arrived_at, tables.scopes)
    )


def _people(log: ProviderLog, tables: AuditedTables) -> Mapping[int, _Person]:
    acknowledged = {text.sid: text.acknowledged_at for text in log.texts}
    found: defaultdict[int, list[tuple[ConsentEvent, datetime]]] = defaultdict(list)
    for event in tables.events:
        since = _counts_since(event, tables.enforced.get(event.id), acknowledged)
        if since is not None:
            found[event.recipient].append((event, since))
    return {recipient: _Person(events=tuple(events)) for recipient, events in found.items()}


def _counts_since(
    event: ConsentEvent,
    enforced_at: datetime | None,
    acknowledged: Mapping[str, datetime | None],
) -> datetime | None:
    """``None`` for an opt-out that is not in force, such as a 21610, which is an incident."""
    if event.direction is Direction.OPT_IN:
        return event.received_at
    promises = [enforced_at, acknowledged.get(event.source_id)]
    return min((one for one in promises if one is not None), default=None)


def sent_twice(creates: Iterable[Create]) -> int:
    """How many messages the provider accepted beyond the first, recipient by recipient.

    The log of a run holds one campaign, so a second message to the same canonical number is one
    too many whatever its text; our own message ids have no say in it.
    """
    accepted = Counter(create.recipient for create in creates if create.accepted)
    return sum(times - 1 for times in accepted.values())


def lost_stops(stops: Iterable[Text], tables: AuditedTables) -> tuple[Text, ...]:
    """STOPs that were answered 200 although nothing of them is stored."""
    stored = {text.sid for text in tables.texts}
    opted_out = {event.source_id for event in tables.events if event.source == "inbound"}
    return tuple(
        stop
        for stop in stops
        if stop.acknowledged_at and (stop.sid not in stored or stop.sid not in opted_out)
    )
