"""What the provider's answer says beyond its own message: holds, the number, the campaign.

Both doors end here: the answer to a create request (settlement) and what came later (a status
callback, or the provider's log). Everything is written in the caller's transaction, after its
message rows, in one order: numbers, counts, holds.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sender.domain.number_health import Health, NumberFault, after_failure
from sender.domain.outcome import RefusalKind, Refused
from sender.domain.phone import SenderKind
from sender.domain.receipt import CallbackVerdict, FailureCause, ReceiptMeaning
from sender.storage import failures, holds, message_facts, number_health
from sender.storage.database import Transaction
from sender.storage.failures import Failure
from sender.storage.holds import Hold, Level
from sender.storage.message_facts import MessageFacts
from sender.storage.number_health import Owner

_HALTS = {
    RefusalKind.HALT: Level.SENDER,
    RefusalKind.ACCOUNT: Level.TENANT,
    FailureCause.HALT: Level.SENDER,
    FailureCause.ACCOUNT: Level.TENANT,
}
_DELIVERED = frozenset({ReceiptMeaning.DELIVERED, ReceiptMeaning.READ})


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one answer says beyond its message."""

    message: MessageFacts
    code: int = 0
    #: What must be held, because every further message of it would fail alike.
    halts: Level | None = None
    #: What it says about the number.
    fault: NumberFault | None = None
    #: Why the message failed after it was accepted; an opt-out is no failure.
    failed: FailureCause | None = None
    #: The handset has it.
    delivered: bool = False

    @classmethod
    def from_refusal(cls, message: MessageFacts, refused: Refused) -> "Finding":
        """What a refused create request says."""
        return cls(
            message=message,
            code=refused.code,
            halts=_HALTS.get(refused.kind),
            fault=refused.fault,
        )

    @classmethod
    def from_verdict(
        cls, message: MessageFacts, verdict: CallbackVerdict, code: int | None
    ) -> "Finding":
        """What a message's status says once it is accepted."""
        return cls(
            message=message,
            code=code or 0,
            halts=None if verdict.cause is None else _HALTS.get(verdict.cause),
            fault=verdict.fault,
            failed=None if verdict.meaning is ReceiptMeaning.OPTED_OUT else verdict.cause,
            delivered=verdict.meaning in _DELIVERED,
        )

    @property
    def owner(self) -> Owner:
        """Whose number it is about."""
        return self.message.tenant_id, self.message.recipient


def learn_refusals(tx: Transaction, refused: Iterable[tuple[UUID, Refused]]) -> None:
    """Apply what refused create requests say beyond their messages."""
    telling = {id_: one for id_, one in refused if one.fault or one.kind in _HALTS}
    if telling:
        facts = message_facts.facts_of(tx, list(telling))
        learn(tx, [Finding.from_refusal(facts[id_], telling[id_]) for id_ in facts])


def learn(tx: Transaction, findings: Sequence[Finding]) -> None:
    """Apply what these say. Costs nothing for messages that went well and always did."""
    _learn_numbers(tx, findings)
    failed = Counter(
        Failure(campaign_id=one.message.campaign_id, code=one.code, cause=one.failed)
        for one in findings
        if one.failed
    )
    if failed:
        failures.add(tx, failed)
    _place_holds(tx, [one for one in findings if one.halts])


def _learn_numbers(tx: Transaction, findings: Sequence[Finding]) -> None:
    delivered = {one.owner: one.message.has_health for one in findings if one.delivered}
    well = [owner for owner, has_health in delivered.items() if has_health]
    faulty = [one for one in findings if one.fault and one.owner not in delivered]
    if not well and not faulty:
        return
    codes = dict.fromkeys(well, 0) | {one.owner: one.code for one in faulty}
    locked = number_health.lock(tx, codes)
    known: dict[Owner, Health] = {}
    for one in faulty:
        before = known.get(one.owner, locked.entries[one.owner])
        known[one.owner] = _after(one, before, locked.at)
    if known:
        number_health.keep(tx, known)
    if well:
        number_health.wipe(tx, well)


def _after(finding: Finding, before: Health, at: datetime) -> Health:
    if finding.fault is None:
        return before
    short_code = finding.message.sender_kind == SenderKind.SHORT_CODE
    return after_failure(before, finding.fault, at=at, short_code=short_code)


def _place_holds(tx: Transaction, halting: Sequence[Finding]) -> None:
    wanted: dict[Hold, datetime | None] = {}
    for one in halting:
        hold, guarded_at = _hold(one), one.message.guarded_at
        newest = wanted.get(hold)
        wanted[hold] = max(filter(None, (newest, guarded_at)), default=None)
    for hold in sorted(wanted, key=lambda one: one.key):
        holds.place_on_evidence(tx, hold, evidence_of=wanted[hold])


def _hold(finding: Finding) -> Hold:
    level = finding.halts or Level.SENDER
    ids = {Level.SENDER: finding.message.sender_id, Level.TENANT: finding.message.tenant_id}
    return Hold(
        level=level,
        subject=ids[level],
        reason=f"refused_{finding.code}",
        detail=f"Twilio refused with {finding.code}; every further message would fail alike "
        f"(sender codes {finding.code})",
    )
