"""Status callbacks, applied once, in any order, before or after our own settlement."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from uuid import UUID

from sender import feedback, other_blocks
from sender.batching import each_alone
from sender.domain.consent import Suppression
from sender.domain.message import VERDICT_NOT_SENT, State, sources_of
from sender.domain.phone import digits
from sender.domain.receipt import Receipt, ReceiptMeaning, state_of
from sender.enforcement import BlockReport, Enforcement
from sender.feedback import Finding
from sender.seldom import Seldom
from sender.storage import incidents, message_facts
from sender.storage.database import AsyncDatabase, Transaction, is_away
from sender.storage.message_facts import MessageFacts
from sender.storage.messages import Evidence, MessageTable


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
    suppressions: Sequence[Suppression] = ()


Answer = Counted | Refusal

#: The alarm about a text that went although a person had found that it did not.
CONTRADICTION = "callback_contradicts_verdict"
#: After a restore callbacks of unknown messages come by the million, each repeated: one alarm a
#: process so often. Every other refusal has its own.
UNKNOWN_EVERY = timedelta(minutes=1)
#: What the provider says of a message that never reached a carrier: "not sent" was right.
_NEVER_LEFT = frozenset({ReceiptMeaning.FAILED, ReceiptMeaning.OPTED_OUT, ReceiptMeaning.CANCELED})


@dataclass(frozen=True, kw_only=True)
class Receipts:
    """Applies status callbacks. Duplicates change nothing."""

    messages: MessageTable
    enforcement: Enforcement
    unknown: Seldom = field(default_factory=lambda: Seldom(UNKNOWN_EVERY))

    async def receive(self, db: AsyncDatabase, batch: Sequence[Receipt]) -> list[Answer]:
        """What becomes of each callback, once it is committed.

        Opt-outs go one by one: they lock the person's consent before any message row.
        """
        plain = [one for one in batch if not _is_opt_out(one)]
        answers = dict(zip(map(id, plain), await db.run(self.apply, plain), strict=True))
        for one in batch:
            if _is_opt_out(one):
                answers[id(one)] = await db.run(self.apply_block, one)
        return [answers[id(one)] for one in batch]

    async def receive_each(
        self, db: AsyncDatabase, batch: Sequence[Receipt]
    ) -> Sequence[Answer | Exception]:
        """The same for callbacks of many requests: one that cannot be applied fails alone.

        What was committed of a batch that failed is applied again, which changes nothing.

        Raises:
            DatabaseError: the database cannot be worked with now, whatever the callbacks.
        """
        return await each_alone(partial(self.receive, db), batch, is_common=is_away)

    async def count(self, db: AsyncDatabase, batch: Sequence[Receipt]) -> list[Suppression]:
        """The same for what no webhook waits for; the suppressions that it led to."""
        answers = await self.receive(db, batch)
        return [one for said in answers if isinstance(said, Counted) for one in said.suppressions]

    def apply(self, tx: Transaction, batch: Sequence[Receipt]) -> list[Answer]:
        """Record callbacks and what they prove, in the caller's transaction, in their order.

        Every callback proves that the provider accepted the message, so it resolves a doubt
        whatever else it says.
        """
        facts = message_facts.lock_facts(tx, [one.message_id for one in batch])
        answers: list[Answer] = []
        for one in batch:
            found = facts.get(one.message_id)
            answers.append(self._judge(tx, found, one))
            if found is not None and isinstance(answers[-1], Counted):
                self._compare(tx, found, one)
                if (found.sid, found.reason) != (one.sid, ""):
                    facts[one.message_id] = replace(found, sid=one.sid, reason="")
        counted = [
            one for one, said in zip(batch, answers, strict=True) if isinstance(said, Counted)
        ]
        news = self._learn(tx, counted)
        findings = [
            Finding.from_verdict(facts[one.message_id], one.verdict, one.code) for one in news
        ]
        feedback.learn(tx, findings)
        return answers

    def apply_block(self, tx: Transaction, receipt: Receipt) -> Answer:
        """Record a 21610 that came through a callback; it goes the way of a synchronous one.

        Of one that does not count the block is kept all the same: the account that signed it says
        that this person is blocked there, whatever message it is about. Not where the message is
        another tenant's: such a callback does nothing.
        """
        facts = message_facts.facts(tx, receipt.message_id)
        answer = self._judge(tx, facts, receipt)
        if isinstance(answer, Refusal) or facts is None:
            if answer is not Refusal.FOREIGN_ACCOUNT:
                now = datetime.now(UTC)  # callbacks say no time, and come at once
                source = f"other_{receipt.source}"
                other_blocks.record(tx, self.enforcement, receipt, source=source, at=now)
            return answer
        report = BlockReport(
            message_id=receipt.message_id,
            code=receipt.code or 0,
            door="callback",
            # A row that was never guarded here: the database was restored. Believe the provider.
            began_at=facts.guarded_at or datetime.now(UTC),
            provider_at=facts.guarded_at,
        )
        suppressions = self.enforcement.record_block(tx, report)
        self._learn(tx, [receipt])
        return Counted(suppressions=suppressions)

    def _judge(self, tx: Transaction, facts: MessageFacts | None, receipt: Receipt) -> Answer:
        refusal = _refusal(facts, receipt)
        if refusal is None:
            return Counted()
        if refusal is not Refusal.UNKNOWN_MESSAGE or self.unknown.is_time(refusal):
            incidents.raise_alarm(tx, f"callback_{refusal}", _evidence_of(receipt))
        return refusal

    def _compare(self, tx: Transaction, facts: MessageFacts, receipt: Receipt) -> None:
        """The provider's word beats a person's; where they differ, somebody should know."""
        left = receipt.verdict.meaning not in _NEVER_LEFT
        if left and facts.state is State.FAILED and facts.reason == VERDICT_NOT_SENT:
            incidents.raise_alarm(tx, CONTRADICTION, _evidence_of(receipt))

    def _learn(self, tx: Transaction, counted: Sequence[Receipt]) -> list[Receipt]:
        """Callbacks that lead to one state are one statement; of one message, the latest counts.

        Returns:
            Those that told us something: their rows moved.
        """
        by_state: dict[State, dict[UUID, Receipt]] = {}
        for one in counted:
            by_state.setdefault(state_of(one.verdict)[0], {})[one.message_id] = one
        news: list[Receipt] = []
        for state, known in by_state.items():
            evidence = [_evidence(one) for one in known.values()]
            moved = self.messages.learn(tx, evidence, state, sources_of(state))
            news += [one for id_, one in known.items() if moved.get(id_)]
        incidents.keep_receipts(tx, counted)
        return news


def _is_opt_out(receipt: Receipt) -> bool:
    return receipt.verdict.meaning is ReceiptMeaning.OPTED_OUT


def _evidence(receipt: Receipt) -> Evidence:
    return Evidence(
        message_id=receipt.message_id,
        reason=state_of(receipt.verdict)[1],
        sid=receipt.sid,
        provider_status=receipt.status,
        provider_code=receipt.code,
    )


def _refusal(facts: MessageFacts | None, receipt: Receipt) -> Refusal | None:
    if facts is None:
        return Refusal.UNKNOWN_MESSAGE
    if receipt.account_sid != facts.account_sid:
        return Refusal.FOREIGN_ACCOUNT
    if receipt.to and not _is_to(receipt.to, facts.recipient):
        return Refusal.OTHER_RECIPIENT
    if facts.sid is not None and facts.sid != receipt.sid:
        return Refusal.SECOND_SID
    return None


def _is_to(address: str, recipient: int) -> bool:
    try:
        return digits(address) == recipient
    except ValueError:
        return False


def _evidence_of(receipt: Receipt) -> dict[str, str]:
    return {
        "message_id": str(receipt.message_id),
        "sid": receipt.sid,
        "status": receipt.status,
        "account_sid": receipt.account_sid,
        "source": receipt.source.value,
    }
