"""Status callbacks, applied once, in any order, before or after our own settlement."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from sender.domain.consent import Suppression
from sender.domain.message import State, sources_of
from sender.domain.phone import digits
from sender.domain.receipt import CallbackVerdict, Receipt, ReceiptMeaning
from sender.enforcement import BlockReport, Enforcement
from sender.storage import incidents, messages
from sender.storage.database import Transaction
from sender.storage.messages import Evidence, MessageFacts, MessageTable


class Refusal(StrEnum):
    """Why a callback does not count: it is answered 404 and an alarm is stored."""

    UNKNOWN_MESSAGE = "unknown_message"
    FOREIGN_ACCOUNT = "foreign_account"
    OTHER_RECIPIENT = "other_recipient"
    SECOND_SID = "second_sid"


@dataclass(frozen=True, kw_only=True)
class Counted:
    """A callback that counts."""

    #: The person's suppressions now if it reported an opt-out, for the Redis set.
    suppressions: Sequence[Suppression]


@dataclass(frozen=True, kw_only=True)
class Receipts:
    """Applies status callbacks."""

    messages: MessageTable
    enforcement: Enforcement

    def apply(self, tx: Transaction, receipt: Receipt) -> Counted | Refusal:
        """Record a callback and what it proves, in the caller's transaction.

        A duplicate changes nothing. Every callback proves that the provider accepted the
        message, so it resolves a doubt whatever else it says.
        """
        facts = messages.facts(tx, receipt.message_id)
        refusal = _refusal(facts, receipt)
        if refusal is not None or facts is None:
            refusal = refusal or Refusal.UNKNOWN_MESSAGE
            incidents.raise_alarm(tx, f"callback_{refusal}", _evidence_of(receipt))
            return refusal
        suppressions = self._feed_back(tx, facts, receipt)
        state, reason = _state(receipt.verdict)
        evidence = Evidence(
            message_id=receipt.message_id,
            state=state,
            reason=reason,
            sid=receipt.sid,
            provider_status=receipt.status,
            provider_code=receipt.code,
        )
        self.messages.learn(tx, evidence, sources_of(state))
        incidents.keep_receipt(
            tx, receipt.message_id, receipt.sid, receipt.status, receipt.code or 0
        )
        return Counted(suppressions=suppressions)

    def _feed_back(
        self, tx: Transaction, facts: MessageFacts, receipt: Receipt
    ) -> Sequence[Suppression]:
        """An asynchronous 21610 goes the same way as a synchronous one."""
        if receipt.verdict.meaning is not ReceiptMeaning.OPTED_OUT or facts.guarded_at is None:
            return ()
        report = BlockReport(
            message_id=receipt.message_id,
            code=receipt.code or 0,
            door="callback",
            began_at=facts.guarded_at,
        )
        return self.enforcement.record_block(tx, report)


def _refusal(facts: MessageFacts | None, receipt: Receipt) -> Refusal | None:
    if facts is None:
        return Refusal.UNKNOWN_MESSAGE
    if receipt.account_sid != facts.account_sid:
        return Refusal.FOREIGN_ACCOUNT
    if receipt.to and digits(receipt.to) != facts.recipient:
        return Refusal.OTHER_RECIPIENT
    if facts.sid is not None and facts.sid != receipt.sid:
        return Refusal.SECOND_SID
    return None


def _evidence_of(receipt: Receipt) -> dict[str, str]:
    return {
        "message_id": str(receipt.message_id),
        "sid": receipt.sid,
        "status": receipt.status,
        "account_sid": receipt.account_sid,
    }


def _state(verdict: CallbackVerdict) -> tuple[State, str]:
    """What a callback makes of a row, and the reason stored with it."""
    cause = verdict.cause.value if verdict.cause else "reported"
    match verdict.meaning:
        case ReceiptMeaning.PROGRESS | ReceiptMeaning.SENT:
            return State.SENT, "accepted"
        case ReceiptMeaning.DELIVERED | ReceiptMeaning.READ:
            return State.DELIVERED, "reported"
        case ReceiptMeaning.UNDELIVERED:
            return State.UNDELIVERED, cause
        case ReceiptMeaning.FAILED:
            return State.FAILED, cause
        case ReceiptMeaning.OPTED_OUT:
            return State.SUPPRESSED, "provider_block"
        case ReceiptMeaning.CANCELED:
            return State.CANCELED, "canceled_at_provider"
        case _:
            assert_never(verdict.meaning)
