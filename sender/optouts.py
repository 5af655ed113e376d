"""Suppression by hand: check, add, lift, history."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from sender.config import STOP_PATIENCE
from sender.domain.consent import (
    ALL_SENDERS,
    PROTECTED,
    ConsentEvent,
    Direction,
    NewConsentEvent,
    ReasonClass,
    Suppression,
)
from sender.enforcement import Enforcement
from sender.errors import LiftRefused
from sender.recipients import recipient_of
from sender.storage import consent
from sender.storage.database import Database, Transaction


@dataclass(frozen=True, kw_only=True)
class Lift:
    """Who lifts a suppression by hand, why, and on what evidence."""

    author: str
    reason: str
    #: Where the person's renewed consent can be found: a form's id, a recording, a letter.
    evidence: str
    #: Lift a complaint or an imported opt-out too; the override itself is on record.
    override: bool = False

    def __post_init__(self) -> None:
        if not (self.author.strip() and self.reason.strip() and self.evidence.strip()):
            raise LiftRefused("lifting by hand needs an author, a reason and evidence")


@dataclass(frozen=True, kw_only=True)
class OptOuts:
    """One tenant's suppression list, by hand. Numbers are text as people write them (E.164)."""

    db: Database
    tenant_id: int
    enforcement: Enforcement

    def check(self, number: str) -> list[Suppression]:
        """What suppresses this number now, oldest first; empty if nothing does."""
        with self.db.transaction() as tx:
            return consent.suppressions_of(
                tx, tenant_id=self.tenant_id, recipient=recipient_of(number)
            )

    def add(
        self,
        number: str,
        *,
        author: str,
        reason: ReasonClass = ReasonClass.MANUAL,
        evidence: str = "",
        wait: timedelta = STOP_PATIENCE,
    ) -> bool:
        """Suppress a number for all senders, in force like a STOP.

        Returns:
            Whether it was enforced within ``wait``: no request to it can begin any more. If not,
            the suppression stands all the same, and the consumer finishes the enforcement.
        """
        if not author.strip():
            raise LiftRefused("suppressing by hand needs an author")
        event = NewConsentEvent(
            tenant_id=self.tenant_id,
            recipient=recipient_of(number),
            scope=ALL_SENDERS,
            direction=Direction.OPT_OUT,
            reason=reason,
            source="api",
            source_id=str(uuid4()),
            provider_at=datetime.now(UTC),
            author=author,
            evidence={"evidence": evidence} if evidence else {},
        )
        stored = self.db.run(self.enforcement.opt_out, event)
        return self.enforcement.wait(self.db, [stored], within=wait)

    def lift(self, number: str, lift: Lift) -> list[Suppression]:
        """End a number's suppressions; what is left of them (the platform-wide list, say).

        Twilio's own block is not lifted by this: the person must answer START.

        Raises:
            LiftRefused: a complaint or an imported opt-out is among them, without ``override``.
        """
        return self.db.run(self._lift, recipient_of(number), lift)

    def _lift(self, tx: Transaction, recipient: int, lift: Lift) -> list[Suppression]:
        person = {"tenant_id": self.tenant_id, "recipient": recipient}
        consent.lock_person(tx, **person)
        listed = consent.suppressions_of(tx, **person)
        active = [one for one in listed if one.tenant_id == self.tenant_id]
        protected = sorted({one.reason for one in active} & PROTECTED)
        if protected and not lift.override:
            reasons = ", ".join(protected)
            raise LiftRefused(f"suppressed as {reasons}: that needs an override, which is logged")
        for one in active:
            consent.append(tx, _opt_in(one, lift))
        return consent.suppressions_of(tx, **person)

    def history(self, number: str) -> list[ConsentEvent]:
        """All of a number's consent events, oldest first."""
        with self.db.transaction() as tx:
            return consent.history(tx, tenant_id=self.tenant_id, recipient=recipient_of(number))


def _opt_in(active: Suppression, lift: Lift) -> NewConsentEvent:
    return NewConsentEvent(
        tenant_id=active.tenant_id,
        recipient=active.recipient,
        scope=active.scope,
        direction=Direction.OPT_IN,
        reason=active.reason,
        # The override stands in the log itself: evidence can be erased.
        source="override" if active.reason in PROTECTED else "api",
        source_id=str(uuid4()),
        provider_at=datetime.now(UTC),
        author=lift.author,
        evidence={"reason": lift.reason, "evidence": lift.evidence},
    )
