"""What the provider decides about one create request, before any answer is given."""

import time
from dataclasses import dataclass

from sender.simulator import lifecycle
from sender.simulator.behaviour import BlockStyle, FaultKind
from sender.simulator.lifecycle import Ending
from sender.simulator.messages import Direction, MessageRow, Status, new_sid
from sender.simulator.refusals import Refusal
from sender.simulator.script import Rule
from sender.simulator.simulator import Simulator
from sender.simulator.validation import Form, check_create

#: Faults that strike before the provider has looked at the request.
_UNPROCESSED = frozenset(
    {FaultKind.DROP_BEFORE_ACCEPT, FaultKind.ERROR_503, FaultKind.THROTTLE_429}
)
_OPTED_OUT = 21610


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A stored row, or a refusal, or neither; and the fault that spoils the answer."""

    row: MessageRow | None = None
    refusal: Refusal | None = None
    fault: FaultKind | None = None


def judge(simulator: Simulator, form: Form, rule: Rule | None) -> Verdict:
    """Decide about a create request and, when accepted, store the message and start its life.

    A fault that would follow an acceptance does not touch a refusal.
    """
    limit = simulator.behaviour.concurrency_limit
    if limit is not None and simulator.in_flight > limit:
        return Verdict(refusal=Refusal.of(20429))
    fault = _fault(simulator, form.get("To", ""), rule)
    if fault in _UNPROCESSED:
        return Verdict(fault=fault)
    refusal = check_create(form, simulator.account)
    if refusal:
        return Verdict(refusal=refusal)
    return _admit(simulator, form, rule, fault)


def _fault(simulator: Simulator, to: str, rule: Rule | None) -> FaultKind | None:
    if rule and rule.fault:
        return rule.fault
    return simulator.chance.choose(simulator.behaviour.faults, "fault", to)


def _admit(simulator: Simulator, form: Form, rule: Rule | None, fault: FaultKind | None) -> Verdict:
    """Decide about a well-formed request: only the recipient's opt-out is left to ask."""
    is_blocked = _is_blocked(simulator, form)
    if is_blocked and _refuses_at_once(simulator, form):
        return Verdict(refusal=Refusal.of(_OPTED_OUT))
    row = _row(simulator, form)
    simulator.messages.add(row)
    lifecycle.begin(simulator, row, _ending(simulator, row.to, rule, is_blocked=is_blocked))
    return Verdict(row=row, fault=fault)


def _is_blocked(simulator: Simulator, form: Form) -> bool:
    if not simulator.behaviour.provider_block:
        return False
    service = form.get("MessagingServiceSid")
    scope = service or simulator.account.scope_of(form["From"])
    return simulator.blocks.blocks(scope, form["To"])


def _refuses_at_once(simulator: Simulator, form: Form) -> bool:
    match simulator.behaviour.block_style:
        case BlockStyle.SYNC:
            return True
        case BlockStyle.ASYNC:
            return False
        case BlockStyle.AUTO:
            return not form.get("MessagingServiceSid")


def _ending(simulator: Simulator, to: str, rule: Rule | None, *, is_blocked: bool) -> Ending:
    if is_blocked:
        return Ending.from_error(_OPTED_OUT)
    if rule and rule.async_failure:
        return Ending.from_error(rule.async_failure)
    return lifecycle.draw_ending(simulator, to)


def _row(simulator: Simulator, form: Form) -> MessageRow:
    sender, service = form.get("From", ""), form.get("MessagingServiceSid", "")
    return MessageRow(
        sid=new_sid(),
        account_sid=simulator.account.sid,
        direction=Direction.OUTBOUND_API,
        status=Status.ACCEPTED if service else Status.QUEUED,
        to=form["To"],
        number=simulator.account.number_for(sender, service, form["To"]),
        number_shown=bool(sender),
        body=form.get("Body", ""),
        num_media=1 if form.get("MediaUrl") else 0,
        messaging_service_sid=service or None,
        status_callback=form.get("StatusCallback", ""),
        created_at=time.time(),
    )
