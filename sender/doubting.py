"""Doubts that no machine could resolve: shown to a person, whose verdict is recorded.

A verdict moves a row to an end and never sends anything. The provider's word, should it come
after all, overrules it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sender.domain.message import DOUBTED, State
from sender.errors import NotFound, VerdictRefused
from sender.storage import doubts, retention
from sender.storage.database import Database, Transaction
from sender.storage.doubts import DoubtCase, Doubted, OpenDoubt
from sender.storage.partitions import created_at


@dataclass(frozen=True, kw_only=True)
class Doubts:
    """One tenant's messages whose outcome nobody knows."""

    db: Database
    tenant_id: int
    #: How long a fresh doubt holds up a STOP: its request may still be under way. Settled by a
    #: person before that, it would let the STOP be enforced too early.
    horizon: timedelta

    def waiting(
        self, *, campaign: int | None = None, older_than: timedelta = timedelta()
    ) -> list[OpenDoubt]:
        """Messages in doubt and unknown ones (in doubt for 48 hours), the oldest first."""
        return self.db.run(
            doubts.every_open,
            tenant_id=self.tenant_id,
            campaign_id=campaign,
            older_than=older_than,
        )

    def show(self, message_id: UUID) -> DoubtCase:
        """Everything known about one message: what was sent and when, and what was found out.

        Raises:
            NotFound: there is no such message.
        """
        with self.db.transaction() as tx:
            case = doubts.case(tx, message_id, tenant_id=self.tenant_id)
            since = retention.kept_since(tx)
        if case is None:
            deleted = since is not None and created_at(message_id) < since
            why = ": those of its month were deleted" if deleted else ""
            raise NotFound(f"there is no message {message_id}{why}")
        return case

    def resolve(self, message_id: UUID, *, sent: bool, author: str, evidence: str) -> None:
        """Record that it was sent, or that it was not. Nothing is ever sent by this.

        The row becomes ``sent`` or ``failed``. A status callback that comes after all beats it.

        Raises:
            NotFound: there is no such message.
            VerdictRefused: it is not in doubt, its request may still be under way, or nobody is
                named, or no evidence.
        """
        _signed(author, evidence)
        with self.db.transaction() as tx:
            found = doubts.lock(tx, [message_id], tenant_id=self.tenant_id)
            if not found:
                raise NotFound(f"there is no message {message_id}")
            self._require_ripe(found)
            doubts.decide(tx, [message_id], sent=sent, author=author, evidence=evidence)

    def resolve_all(
        self, campaign: int, *, sent: bool, author: str, evidence: str, expect: int
    ) -> int:
        """Record the same of all of a campaign's doubts, whose number you ``expect``.

        Returns:
            How many those were.

        Raises:
            VerdictRefused: there are more or fewer by now; or as for ``resolve``, of any.
        """
        _signed(author, evidence)
        with self.db.transaction() as tx:
            ids = self._open_of(tx, campaign)
            found = doubts.lock(tx, ids, tenant_id=self.tenant_id)
            still = [one for one in found if one.state in DOUBTED]
            if len(still) != expect:
                raise VerdictRefused(
                    f"campaign {campaign} has {len(still)} doubts, not {expect}: "
                    f"look at them again (sender doubts list --campaign {campaign})"
                )
            self._require_ripe(still)
            decided = [one.message_id for one in still]
            return doubts.decide(tx, decided, sent=sent, author=author, evidence=evidence)

    def _open_of(self, tx: Transaction, campaign: int) -> list[UUID]:
        found = doubts.every_open(
            tx, tenant_id=self.tenant_id, campaign_id=campaign, older_than=timedelta()
        )
        return [one.message_id for one in found]

    def _require_ripe(self, found: Sequence[Doubted]) -> None:
        for one in found:
            if one.state not in DOUBTED:
                raise VerdictRefused(
                    f"message {one.message_id} is {one.state}, not in doubt: nothing to decide"
                )
            if one.state is State.IN_DOUBT and one.age < self.horizon:
                left = (self.horizon - one.age).total_seconds()
                raise VerdictRefused(
                    f"the request for message {one.message_id} may still be under way: "
                    f"decide in {left:.0f} s"
                )


def _signed(author: str, evidence: str) -> None:
    if not author.strip() or not evidence.strip():
        raise VerdictRefused("a verdict needs an author, and evidence: what you saw, and where")
