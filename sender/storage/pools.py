"""Whom a text was sent to, and what is learnt from it about numbers and their services."""

from collections.abc import Sequence
from dataclasses import dataclass

from sender.domain.admission import DEFAULT_PACE
from sender.domain.phone import sender_kind
from sender.storage import pulls, senders
from sender.storage.database import Transaction
from sender.storage.senders import SenderRow


@dataclass(frozen=True, kw_only=True)
class Addressed:
    """The tenant's senders that a person answered."""

    #: The Messaging Service first, if the number is in one, then the number; empty if neither is
    #: known.
    sender_ids: tuple[int, ...]
    #: Every scope they count for: themselves, and each service the number is or was in.
    scopes: tuple[int, ...]


def addressed(tx: Transaction, tenant_id: int, *, number: str, service: str | None) -> Addressed:
    """The senders behind an inbound message's To and MessagingServiceSid.

    A signed webhook that names a service proves that both are the tenant's and belong together:
    what is not known of that is entered for good. A number that leaves a service stays covered by
    the service's suppressions. Another tenant's senders are never found here.
    """
    found = [_entered(tx, tenant_id, service)] if service else []
    found.append(_entered(tx, tenant_id, number) if any(found) else _own(tx, tenant_id, number))
    own = [one for one in found if one is not None]
    if service and len(own) > 1:
        senders.add_scope(tx, sender_id=own[1].id, service_id=own[0].id)
    scopes = dict.fromkeys(scope for one in own for scope in senders.scopes_of(tx, one.id))
    return Addressed(sender_ids=tuple(one.id for one in own), scopes=tuple(scopes))


def enter_members(
    tx: Transaction, *, service_id: int, tenant_id: int, numbers: Sequence[str], receives: bool
) -> None:
    """Enter the numbers that the provider says are in a service; another tenant's are left out.

    Args:
        tx: the transaction.
        service_id: the service.
        tenant_id: whose it is.
        numbers: that are in it now.
        receives: whether it takes what is texted to them.
    """
    members = [one for one in (_entered(tx, tenant_id, number) for number in numbers) if one]
    for member in members:
        senders.add_scope(tx, sender_id=member.id, service_id=service_id)
    pulls.drops(tx, service_id, [] if receives else [member.id for member in members])


def _own(tx: Transaction, tenant_id: int, address: str) -> SenderRow | None:
    row = senders.find(tx, address)
    return row if row is not None and row.tenant_id == tenant_id else None


def _entered(tx: Transaction, tenant_id: int, address: str) -> SenderRow | None:
    """The tenant's sender with this address; ``None`` if it is another's, or no sender at all."""
    known = senders.find(tx, address)
    if known is not None:
        return known if known.tenant_id == tenant_id else None
    try:
        kind = sender_kind(address)
    except ValueError:
        return None
    return senders.ensure(
        tx,
        tenant_id=tenant_id,
        address=address,
        kind=kind.value,
        segments_per_second=DEFAULT_PACE[kind],
    )
