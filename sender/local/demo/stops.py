"""What people texted during a run, and where their message was when it reached us."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self

from sender.domain.consent import CLOSED_BY_START
from sender.domain.keywords import Keyword, classify
from sender.domain.message import State
from sender.local.demo.provider_log import NEVER, Create, ProviderLog, Text
from sender.storage.audit import AuditedMessage, AuditedTables

#: The provider's times are whole seconds and STOP wins ties: a START that comes later than this
#: must count.
SURELY_LATER = timedelta(seconds=2)


class OnArrival(StrEnum):
    """Where a person's message was when their STOP reached us."""

    #: There was none: not yet, or never.
    ABSENT = "absent"
    #: Nothing had begun.
    PENDING = "pending"
    #: From the guard's commit to the provider's answer.
    SENDING = "sending"
    #: The provider had accepted it.
    SENT = "sent"
    #: Asked for, and the answer told nothing.
    IN_DOUBT = "in_doubt"
    #: It was suppressed already.
    SUPPRESSED = "suppressed"


#: The states in which a run must have seen enough STOPs to prove something.
REQUIRED = (OnArrival.ABSENT, OnArrival.PENDING, OnArrival.SENDING, OnArrival.SENT)


@dataclass(frozen=True, kw_only=True)
class StopAccount:
    """What became of the STOPs, each counted once however often it was posted."""

    #: STOPs that reached us, by where the person's message was.
    by_state: Mapping[OnArrival, int]
    #: STOPs answered 200.
    acknowledged: int
    #: Attempts answered 503 because the STOP was not enforced within its three seconds.
    answered_503: int
    #: Opt-outs in force at the end, those added by hand included, and those that are not.
    enforced: int
    unenforced: int
    #: People who answered START later, and those of them who may be texted again.
    started: int
    lifted: int

    @property
    def received(self) -> int:
        """STOPs that reached us."""
        return sum(self.by_state.values())


def stop_account(log: ProviderLog, tables: AuditedTables) -> StopAccount:
    """Count, from the times at which requests and webhooks really arrived."""
    stops = stops_in(log)
    started = people_who_started(log)
    return StopAccount(
        by_state=_by_state(stops, log, tables),
        acknowledged=sum(stop.acknowledged_at is not None for stop in stops),
        answered_503=sum(stop.refused_attempts for stop in stops),
        enforced=sum(at is not None for at in tables.enforced.values()),
        unenforced=sum(at is None for at in tables.enforced.values()),
        started=len(started),
        lifted=len(started - still_suppressed(tables)),
    )


def stops_in(log: ProviderLog) -> tuple[Text, ...]:
    """The texts that reached us and are a STOP."""
    reached = (text for text in log.texts if text.arrived_at < NEVER)
    return tuple(text for text in reached if classify(text.body) is Keyword.STOP)


def people_who_started(log: ProviderLog) -> frozenset[int]:
    """Who said START, or YES, so long after their last STOP that it must count."""
    last: dict[tuple[int, bool], datetime] = {}
    for text in log.texts:
        keyword = classify(text.body)
        if keyword in (Keyword.STOP, Keyword.START, Keyword.YES):
            key = text.recipient, keyword is Keyword.STOP
            last[key] = max(text.queued_at, last.get(key, text.queued_at))
    return frozenset(
        recipient
        for (recipient, is_stop), at in last.items()
        if not is_stop and (recipient, True) in last and at - last[recipient, True] >= SURELY_LATER
    )


def still_suppressed(tables: AuditedTables) -> frozenset[int]:
    """Who is suppressed for a reason that their own START closes."""
    return frozenset(one.recipient for one in tables.suppressions if one.reason in CLOSED_BY_START)


def _by_state(
    stops: Sequence[Text], log: ProviderLog, tables: AuditedTables
) -> Mapping[OnArrival, int]:
    journeys = _Journey.all(log, tables)
    return Counter(
        journeys[stop.recipient].at(stop.arrived_at)
        if stop.recipient in journeys
        else OnArrival.ABSENT
        for stop in stops
    )


@dataclass(frozen=True, kw_only=True)
class _Journey:
    """A message with everything that reached the provider for it, oldest first."""

    row: AuditedMessage
    exists_since: datetime
    creates: Sequence[Create]

    @classmethod
    def all(cls, log: ProviderLog, tables: AuditedTables) -> Mapping[int, Self]:
        """Every message's journey, by recipient."""
        creates: defaultdict[int, list[Create]] = defaultdict(list)
        for create in log.creates:
            creates[create.recipient].append(create)
        since = tables.campaign.created_at
        return {
            row.recipient: cls(row=row, exists_since=since, creates=creates[row.recipient])
            for row in tables.messages
        }

    def at(self, moment: datetime) -> OnArrival:
        """Where the message was."""
        if moment < self.exists_since:
            return OnArrival.ABSENT
        arrived = [create for create in self.creates if create.arrived_at <= moment]
        if self._is_guarded_only(moment, arrived):
            return OnArrival.SENDING if len(arrived) < len(self.creates) else OnArrival.IN_DOUBT
        return _after(arrived[-1], moment) if arrived else self._before_any(moment)

    def _is_guarded_only(self, moment: datetime, arrived: Sequence[Create]) -> bool:
        """Whether the guard had passed it and its request had not arrived."""
        guarded_at = self.row.guarded_at
        if guarded_at is None or guarded_at > moment:
            return False
        return not any(create.arrived_at >= guarded_at for create in arrived)

    def _before_any(self, moment: datetime) -> OnArrival:
        is_settled = self.row.state is State.SUPPRESSED and self.row.changed_at <= moment
        return OnArrival.SUPPRESSED if is_settled else OnArrival.PENDING


def _after(last: Create, moment: datetime) -> OnArrival:
    if moment <= last.answered_at:
        return OnArrival.SENDING
    if last.accepted:
        return OnArrival.SENT
    if last.may_go_again:
        return OnArrival.PENDING
    return OnArrival.SUPPRESSED if last.is_opted_out else OnArrival.IN_DOUBT
