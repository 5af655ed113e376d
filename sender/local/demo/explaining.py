"""Compares the tables with the provider's log: every row where the two do not agree is a finding.

Nothing here knows what the demo meant to do; each rule follows from a state's definition.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from sender.domain.consent import ConsentEvent, Suppression, fold
from sender.domain.message import State
from sender.local.demo.leaks import lost_stops
from sender.local.demo.provider_log import OPTED_OUT, Callback, Create, ProviderLog
from sender.local.demo.stops import people_who_started, still_suppressed, stops_in
from sender.storage.audit import AuditedMessage, AuditedTables

#: The reason of what Twilio's own record settled, without a callback.
FOUND = "found_at_provider"
#: The reason of what a 21610 suppressed.
BLOCKED = "provider_block"
#: The reason of what was taken back at the provider.
RECALLED = "canceled_at_provider"
#: The reason of what was refused by us before any request.
UNFIT = "unfit_body"
#: The reasons of doubts whose worker did not live to hear the answer.
UNHEARD = ("worker_lost", "lease_ran_out")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something the tables say and the log does not, or the other way round."""

    #: What is wrong, as a name to be counted by.
    kind: str
    #: Whose it is: a message id, or a MessageSid.
    subject: str
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class _Case:
    """A message with what the log knows of it."""

    row: AuditedMessage
    #: Requests that named this message in their callback URL, oldest first.
    creates: Sequence[Create]
    #: Callbacks we acknowledged for its SID.
    callbacks: Sequence[Callback]
    has_incident: bool
    #: Whether the person said STOP, which takes back what the provider still has.
    said_stop: bool = False

    @property
    def accepted(self) -> list[Create]:
        return [create for create in self.creates if create.accepted]

    @property
    def refusals(self) -> list[Create]:
        return [one for one in self.creates if not (one.accepted or one.may_go_again)]

    @property
    def is_accepted_once(self) -> bool:
        """Whether one request was accepted, under the SID we know, and all others throttled."""
        sids = [create.sid for create in self.accepted]
        return sids == [self.row.sid] and self.creates[-1].accepted and not self.refusals

    @property
    def is_unheard(self) -> bool:
        """Whether the worker was gone before the answer: it told the provider's log only."""
        return self.row.state is State.IN_DOUBT and self.row.reason in UNHEARD

    @property
    def met_block(self) -> bool:
        """Whether we were told 21610, at create or later."""
        at_create = any(one.is_opted_out for one in self.creates) and not self.is_unheard
        return at_create or self.reported("failed", OPTED_OUT) or self.found_block

    @property
    def found_block(self) -> bool:
        """Whether we read the 21610 in the provider's own record: its callback never came."""
        row = self.row
        is_block = row.state is State.SUPPRESSED and row.provider_code == OPTED_OUT
        return is_block and bool(self.accepted) and not self.final_callbacks

    def reported(self, status: str, code: int | None = None) -> bool:
        """Whether a callback said so."""
        return any(one.status == status and one.code == code for one in self.callbacks)

    @property
    def final_callbacks(self) -> list[Callback]:
        return [one for one in self.callbacks if one.status != "sent"]


def findings(log: ProviderLog, tables: AuditedTables) -> tuple[Finding, ...]:
    """Every disagreement between the log and the tables; empty when all is explained."""
    return tuple(
        chain(
            chain.from_iterable(map(_judge, _cases(log, tables))),
            _orphans(log, tables),
            _strange_incidents(tables),
            _consent_findings(log, tables),
            _count_findings(tables),
        )
    )


def _cases(log: ProviderLog, tables: AuditedTables) -> Iterator[_Case]:
    creates: defaultdict[str, list[Create]] = defaultdict(list)
    for create in log.creates:
        creates[create.message_id].append(create)
    callbacks: defaultdict[str | None, list[Callback]] = defaultdict(list)
    for callback in log.callbacks:
        callbacks[callback.sid].append(callback)
    incidents = {incident.message_id for incident in tables.incidents}
    stopped = {stop.recipient for stop in stops_in(log)}
    for row in tables.messages:
        mine = creates[str(row.id)]
        sids = {create.sid for create in mine if create.accepted}
        yield _Case(
            row=row,
            creates=mine,
            callbacks=[one for sid in sids for one in callbacks[sid]],
            has_incident=row.id in incidents,
            said_stop=row.recipient in stopped,
        )


def _judge(case: _Case) -> Iterator[Finding]:
    row = case.row
    if not (row.state in _EXPLAINS and _EXPLAINS[row.state](case)):
        answers = [one.sid or one.code or one.http_status for one in case.creates]
        said = [f"{one.status} {one.code or ''}".strip() for one in case.callbacks]
        detail = f"{row.reason}; answers {answers}, callbacks {said}"
        yield Finding(kind=f"{row.state}_unexplained", subject=str(row.id), detail=detail)
    if not row.reason:
        yield Finding(kind="no_reason", subject=str(row.id), detail=row.state)
    if case.met_block != case.has_incident:
        kind = "incident_missing" if case.met_block else "incident_without_21610"
        yield Finding(kind=kind, subject=str(row.id))


def _is_told(case: _Case, status: str, code: int | None) -> bool:
    return case.reported(status, code) or (case.row.reason == FOUND and not case.final_callbacks)


def _failure_explained(case: _Case) -> bool:
    code = case.row.provider_code
    if case.accepted:
        return case.is_accepted_once and code != OPTED_OUT and _is_told(case, "failed", code)
    if not case.creates:
        return case.row.reason == UNFIT
    return [one.code for one in case.refusals] == [code] and code != OPTED_OUT


def _suppression_explained(case: _Case) -> bool:
    """Nothing was accepted, or what was accepted met a block; a block is never tried again."""
    if case.accepted:
        told = case.reported("failed", OPTED_OUT) or case.found_block
        return case.is_accepted_once and told and case.row.reason == BLOCKED
    if case.refusals:
        is_last = case.creates[-1].is_opted_out
        return is_last and len(case.refusals) == 1 and case.row.reason == BLOCKED
    return True


def _doubt_explained(case: _Case) -> bool:
    """One request at most, whose answer told us nothing, and nothing that we heard since could."""
    is_one = len(case.refusals) + len(case.accepted) <= 1
    return is_one and not case.callbacks and not case.met_block


def _sent_explained(case: _Case) -> bool:
    return case.is_accepted_once and not case.final_callbacks


def _delivery_explained(case: _Case) -> bool:
    return case.is_accepted_once and _is_told(case, "delivered", None)


def _loss_explained(case: _Case) -> bool:
    return case.is_accepted_once and _is_told(case, "undelivered", case.row.provider_code)


def _recall_explained(case: _Case) -> bool:
    """It was taken back at the provider after their STOP, before it had left."""
    told = case.reported("canceled") or not case.final_callbacks
    return case.is_accepted_once and case.said_stop and told and case.row.reason == RECALLED


#: By final state: whether the log says the same. Nothing expires or grows old in a demo, and
#: nothing may stay open, so what is not here is never explained.
_EXPLAINS: Mapping[State, Callable[[_Case], bool]] = {
    State.SENT: _sent_explained,
    State.DELIVERED: _delivery_explained,
    State.UNDELIVERED: _loss_explained,
    State.FAILED: _failure_explained,
    State.SUPPRESSED: _suppression_explained,
    State.IN_DOUBT: _doubt_explained,
    State.CANCELED: _recall_explained,
}


def _orphans(log: ProviderLog, tables: AuditedTables) -> Iterator[Finding]:
    """Requests that belong to no row of ours, or went to another person than its row says."""
    recipients = {str(row.id): row.recipient for row in tables.messages}
    for create in log.creates:
        if recipients.get(create.message_id) != create.recipient:
            yield Finding(kind="orphan_request", subject=create.sid or create.message_id)


def _strange_incidents(tables: AuditedTables) -> Iterator[Finding]:
    """Incidents of messages that are not the campaign's."""
    known = {row.id for row in tables.messages}
    for incident in tables.incidents:
        if incident.message_id not in known:
            yield Finding(kind="incident_without_message", subject=str(incident.message_id))


def _consent_findings(log: ProviderLog, tables: AuditedTables) -> Iterator[Finding]:
    stored = {text.sid for text in tables.texts}
    for text in log.texts:
        if text.sid not in stored:
            yield Finding(kind="text_not_stored", subject=text.sid)
    for stop in lost_stops(stops_in(log), tables):
        yield Finding(kind="stop_lost", subject=stop.sid)
    for sid in sorted(stored - {text.sid for text in log.texts}):
        yield Finding(kind="text_from_nowhere", subject=sid)
    for recipient in sorted(people_who_started(log) & still_suppressed(tables)):
        yield Finding(kind="start_not_lifted", subject=str(recipient))
    for recipient in _misfolded(tables.events, tables.suppressions):
        yield Finding(kind="suppression_is_not_the_fold", subject=str(recipient))


def _misfolded(
    events: Iterable[ConsentEvent], suppressions: Iterable[Suppression]
) -> Iterator[int]:
    """People whose enforced entries are not what their consent log amounts to."""
    by_person: defaultdict[int, list[ConsentEvent]] = defaultdict(list)
    for event in events:
        by_person[event.recipient].append(event)
    stands = _entries(suppressions)
    for recipient in sorted(by_person.keys() | stands.keys()):
        amounts_to = _entries(fold(by_person[recipient])).get(recipient, set())
        if amounts_to != stands.get(recipient, set()):
            yield recipient


def _entries(suppressions: Iterable[Suppression]) -> Mapping[int, set[tuple[int, str, int]]]:
    found: defaultdict[int, set[tuple[int, str, int]]] = defaultdict(set)
    for one in suppressions:
        found[one.recipient].add((one.scope, one.reason, one.event_id))
    return found


def _count_findings(tables: AuditedTables) -> Iterator[Finding]:
    campaign = tables.campaign
    if campaign.state != "COMPLETED":
        yield Finding(kind="not_completed", subject=str(campaign.id), detail=campaign.state)
