"""Senders, and the scopes that count for them."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import text

from sender.domain.rests import Resting, RestReason
from sender.errors import ConfigurationError
from sender.storage import intake
from sender.storage.database import Transaction


@dataclass(frozen=True, kw_only=True)
class SenderRow:
    """A From identity and its pace."""

    id: int
    tenant_id: int
    address: str
    kind: str
    segments_per_second: float


_INSERT = text("""
    INSERT INTO sender (tenant_id, address, kind, segments_per_second)
    VALUES (:tenant_id, :address, :kind, :rate)
    ON CONFLICT (address) DO NOTHING
""")
_SELECT = text("""
    SELECT id, tenant_id, address, kind, segments_per_second FROM sender WHERE address = :address
""")
_SET_PACE = text("""
    UPDATE sender
    SET segments_per_second = :rate,
        rests_until = CASE WHEN rest_reason = 'pace' THEN NULL ELSE rests_until END
    WHERE id = :id
""")
_REST = text("""
    UPDATE sender
    SET rests_until = greatest(rests_until, now() + :length),
        rest_reason = CASE WHEN rests_until > now() + :length THEN rest_reason ELSE :why END
    WHERE id = :id
""")
_OWN_SCOPE = text("""
    INSERT INTO sender_scope (sender_id, scope) VALUES (:id, :scope) ON CONFLICT DO NOTHING
""")


def ensure(
    tx: Transaction, *, tenant_id: int, address: str, kind: str, segments_per_second: float
) -> SenderRow:
    """The sender with this address, entered if it is new.

    Raises:
        ConfigurationError: the address belongs to another tenant. Sharing one would let a STOP
            to it reach only one of the two.
    """
    values = {
        "tenant_id": tenant_id,
        "address": address,
        "kind": kind,
        "rate": segments_per_second,
    }
    is_new = tx.execute(_INSERT, values).rowcount == 1
    row = SenderRow(**tx.execute(_SELECT, {"address": address}).mappings().one())
    if row.tenant_id != tenant_id:
        raise ConfigurationError(f"sender {address} belongs to another tenant")
    tx.execute(_OWN_SCOPE, {"id": row.id, "scope": row.id})
    if is_new:
        intake.cover_new(tx, sender_id=row.id, tenant_id=tenant_id)
    return row


def set_pace(tx: Transaction, sender_id: int, segments_per_second: float) -> None:
    """Change how many segments a second a sender may send; it need not rest for the old pace."""
    tx.execute(_SET_PACE, {"id": sender_id, "rate": segments_per_second})


def rest(
    tx: Transaction, sender_id: int, length: timedelta, *, why: RestReason = RestReason.PACE
) -> None:
    """Have none of a sender's slices taken for this long; never shortens a rest."""
    tx.execute(_REST, {"id": sender_id, "length": length, "why": why.value})


_WAKE = text("""
    UPDATE sender SET rests_until = NULL
    WHERE tenant_id = :tenant_id AND (CAST(:id AS integer) IS NULL OR id = :id)
      AND rest_reason = :why
""")


def wake(tx: Transaction, *, tenant_id: int, sender_id: int | None, why: RestReason) -> None:
    """End the rests for one reason, of a sender or of all of a tenant's."""
    tx.execute(_WAKE, {"tenant_id": tenant_id, "id": sender_id, "why": why.value})


_RESTING = text("""
    SELECT f.rest_reason AS reason, f.rests_until AS until
    FROM campaign c JOIN sender f ON f.id = c.sender_id
    WHERE c.id = :campaign_id AND f.rests_until > now()
""")


def resting(tx: Transaction, campaign_id: int) -> tuple[Resting, ...]:
    """The rests of a campaign's sender that are under way; there is one at most."""
    rows = tx.execute(_RESTING, {"campaign_id": campaign_id}).mappings()
    return tuple(Resting(**row) for row in rows)


def add_scope(tx: Transaction, *, sender_id: int, service_id: int) -> None:
    """Record that a number is in a Messaging Service: the service's suppressions now cover it."""
    tx.execute(_OWN_SCOPE, {"id": sender_id, "scope": service_id})


def find(tx: Transaction, address: str) -> SenderRow | None:
    """The sender with this address, or ``None``."""
    row = tx.execute(_SELECT, {"address": address}).mappings().one_or_none()
    return None if row is None else SenderRow(**row)


_SERVICES = text("""
    SELECT ss.scope FROM sender_scope ss WHERE ss.sender_id = :id ORDER BY ss.scope
""")


def scopes_of(tx: Transaction, sender_id: int) -> tuple[int, ...]:
    """The sender's own scope and those of the services it is or was in."""
    return tuple(row.scope for row in tx.execute(_SERVICES, {"id": sender_id}))


def ids_of(tx: Transaction, tenant_id: int) -> dict[str, int]:
    """All of a tenant's senders, by address."""
    found = text("SELECT address, id FROM sender WHERE tenant_id = :tenant_id")
    return {row.address: row.id for row in tx.execute(found, {"tenant_id": tenant_id})}


_ALL_SCOPES = text("""
    SELECT 0 AS tenant_id, 0 AS scope
    UNION SELECT id, 0 FROM tenant
    UNION SELECT s.tenant_id, ss.scope FROM sender_scope ss JOIN sender s ON s.id = ss.sender_id
    ORDER BY 1, 2
""")


def all_scopes(tx: Transaction) -> list[tuple[int, int]]:
    """Every (tenant, scope) that a lookup may ask for, the empty ones included."""
    return [(row.tenant_id, row.scope) for row in tx.execute(_ALL_SCOPES)]
