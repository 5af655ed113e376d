"""Holds, placed and lifted by people: each with an author and a reason, and all of them kept."""

from dataclasses import dataclass

from sender.domain.consent import PLATFORM
from sender.errors import HoldRefused, NotFound
from sender.storage import campaigns, holds, senders, tenants
from sender.storage.database import Database, Transaction
from sender.storage.holds import (
    INTAKE_GAP,
    OF_RECOVERY,
    SCRUB,
    SCRUB_FAILED,
    Hold,
    HoldRecord,
    Level,
)

#: Reasons of holds that are about more than the hold: what ends that, and lifts them with it.
_NOT_BY_HAND = {
    **dict.fromkeys(OF_RECOVERY, "only `sender recover`"),
    INTAKE_GAP: "the puller, or `sender intake release`,",
}
#: Records shown unless asked for another number.
SHOWN = 100


@dataclass(frozen=True, kw_only=True)
class _On:
    """What a hold is on."""

    campaign: int | None
    sender: str | None
    tenant: str | None
    everything: bool

    def __post_init__(self) -> None:
        named = (self.campaign, self.sender, self.tenant)
        if sum(one is not None for one in named) + self.everything != 1:
            raise HoldRefused("a hold is on a campaign, a sender, a tenant or everything: name one")


@dataclass(frozen=True, kw_only=True)
class Holds:
    """The holds on one tenant, its senders and its campaigns; for the operator, on everybody.

    Each stops what it is on from the next window; what is in flight is finished. ``campaign`` is
    an id, ``sender`` an address (``+1…``, ``MG…``), ``tenant`` a name.
    """

    db: Database
    #: ``PLATFORM`` for the operator.
    tenant_id: int

    def in_force(self, *, limit: int = SHOWN) -> list[HoldRecord]:
        """What stops this tenant now, newest first: the operator's kill switch among them."""
        return self._records(lifted=False, limit=limit)

    def history(self, *, limit: int = SHOWN) -> list[HoldRecord]:
        """All that ever did, newest first: who placed it and who lifted it, when, and why."""
        return self._records(lifted=True, limit=limit)

    def place(
        self,
        *,
        reason: str,
        author: str,
        campaign: int | None = None,
        sender: str | None = None,
        tenant: str | None = None,
        everything: bool = False,
    ) -> bool:
        """Stop a campaign, a sender, a tenant or everything, from the next window on.

        Returns:
            Whether it is new: the same hold for the same reason stays as it is.

        Raises:
            HoldRefused: author or reason is missing, not exactly one thing is named, it is
                everything and you are not the operator, or the reason is a recovery's,
                ``intake_gap`` or a scrub's.
            NotFound: there is no such campaign, sender or tenant.
        """
        _signed(author, reason)
        _by_hand(reason)
        if reason in {SCRUB, SCRUB_FAILED}:
            raise HoldRefused(f"{reason} is not placed by hand")
        on = _On(campaign=campaign, sender=sender, tenant=tenant, everything=everything)
        with self.db.transaction() as tx:
            level, subject = self._subject(tx, on)
            hold = Hold(
                level=level,
                subject=subject,
                reason=reason,
                detail="",
                author=author,
                by_operator=self._is_operator,
            )
            return holds.place(tx, hold)

    def release(  # noqa: PLR0913  # keywords of a public call
        self,
        *,
        reason: str,
        author: str,
        campaign: int | None = None,
        sender: str | None = None,
        tenant: str | None = None,
        everything: bool = False,
        only: str | None = None,
    ) -> int:
        """Lift every hold on it, or only the one whose reason is ``only``; how many there were.

        A hold on something else that stops it as well (its sender, its tenant, everything) stays.
        So does one that the operator placed, unless you are the operator; ``database_older`` and
        ``not_recovered``, which only ``sender recover`` lifts; and ``intake_gap``, which the puller
        does, or ``sender intake release``. ``scrub``, on a campaign that waits for its scrub, is
        lifted by its name only.

        Raises:
            HoldRefused: as for ``place``; or ``only`` is one of these three.
            NotFound: as for ``place``.
        """
        _signed(author, reason)
        _by_hand(only)
        on = _On(campaign=campaign, sender=sender, tenant=tenant, everything=everything)
        with self.db.transaction() as tx:
            level, subject = self._subject(tx, on)
            operator = self._is_operator
            return holds.release(
                tx, level, subject, author=author, by_operator=operator, why=reason, only=only
            )

    @property
    def _is_operator(self) -> bool:
        return self.tenant_id == PLATFORM

    def _records(self, *, lifted: bool, limit: int) -> list[HoldRecord]:
        tenant_id = None if self._is_operator else self.tenant_id
        return self.db.run(holds.records, tenant_id=tenant_id, lifted=lifted, limit=limit)

    def _subject(self, tx: Transaction, on: _On) -> tuple[Level, int]:
        if on.campaign is not None:
            campaign = campaigns.get(tx, on.campaign)
            if campaign is None or not self._owns(campaign.tenant_id):
                raise NotFound(f"there is no campaign {on.campaign}")
            return Level.CAMPAIGN, on.campaign
        if on.sender is not None:
            sender = senders.find(tx, on.sender)
            if sender is None or not self._owns(sender.tenant_id):
                raise NotFound(f"there is no sender {on.sender}")
            return Level.SENDER, sender.id
        if on.tenant is not None:
            tenant = tenants.by_name(tx, on.tenant)
            if not self._owns(tenant.id):
                raise NotFound(f"there is no tenant {on.tenant}")
            return Level.TENANT, tenant.id
        if not self._is_operator:
            raise HoldRefused("only the operator can hold everything: sender holds place --all")
        return Level.ALL, 0

    def _owns(self, tenant_id: int) -> bool:
        return self._is_operator or self.tenant_id == tenant_id


def _signed(author: str, reason: str) -> None:
    if not author.strip() or not reason.strip():
        raise HoldRefused("a hold is placed and lifted with an author and a reason")


def _by_hand(reason: str | None) -> None:
    if reason in _NOT_BY_HAND:
        raise HoldRefused(f"{reason} is not placed by hand; {_NOT_BY_HAND[reason]} lifts it")
