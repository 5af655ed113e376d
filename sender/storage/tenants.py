"""Tenants: who they are, their policy, and how they sign in at Twilio."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.expression import bindparam

from sender.errors import ConfigurationError, NotFound
from sender.storage.database import Transaction

#: The tenant that always exists; its secrets are the settings.
DEFAULT_TENANT = 1
DEFAULT_NAME = "default"


@dataclass(frozen=True, kw_only=True)
class Tenant:
    """A client with its own Twilio account."""

    id: int
    name: str
    account_sid: str | None
    #: ``tenant``: a STOP covers all senders. ``sender``: only the one it was sent to.
    stop_scope: str
    #: Its share of the fleet when not all can be served at once.
    weight: float


@dataclass(frozen=True, kw_only=True)
class StoredCredential:
    """A tenant's credential as it is stored: encrypted, or as names of variables."""

    #: Kind of secret to the environment variable that holds it.
    variables: Mapping[str, str] | None
    encrypted: bytes | None = field(repr=False)


_COLUMNS = "id, name, account_sid, stop_scope, weight"
_BY_ACCOUNT = text(f"SELECT {_COLUMNS} FROM tenant WHERE account_sid = :sid")  # noqa: S608
_BY_NAME = text(f"SELECT {_COLUMNS} FROM tenant WHERE name = :name")  # noqa: S608
_BY_ID = text(f"SELECT {_COLUMNS} FROM tenant WHERE id = :id")  # noqa: S608
_ALL = text(f"SELECT {_COLUMNS} FROM tenant ORDER BY id")  # noqa: S608
_ADD = text("""
    INSERT INTO tenant (name, account_sid, stop_scope) VALUES (:name, :account_sid, :stop_scope)
    ON CONFLICT DO NOTHING
    RETURNING id
""")
_CLAIM_ACCOUNT = text("""
    UPDATE tenant SET account_sid = :account_sid
    WHERE id = :id AND account_sid IS DISTINCT FROM :account_sid
""")
_SET_STOP_SCOPE = text("UPDATE tenant SET stop_scope = :stop_scope WHERE id = :id")
_SET_WEIGHT = text("UPDATE tenant SET weight = :weight WHERE id = :id")
_CREDENTIAL = text("SELECT variables, encrypted FROM credential WHERE tenant_id = :id")
_SET_CREDENTIAL = text("""
    INSERT INTO credential (tenant_id, variables, encrypted) VALUES (:id, :variables, :encrypted)
    ON CONFLICT (tenant_id) DO UPDATE
    SET variables = EXCLUDED.variables, encrypted = EXCLUDED.encrypted, changed_at = now()
""").bindparams(bindparam("variables", type_=JSONB(none_as_null=True)))


def _found(tx: Transaction, query: object, values: Mapping[str, object]) -> Tenant | None:
    row = tx.execute(query, dict(values)).mappings().one_or_none()  # type: ignore[call-overload]
    return None if row is None else Tenant(**row)


def by_account(tx: Transaction, account_sid: str) -> Tenant | None:
    """The tenant whose Twilio account this is, or ``None``."""
    return _found(tx, _BY_ACCOUNT, {"sid": account_sid})


def by_name(tx: Transaction, name: str) -> Tenant:
    """The tenant with this name.

    Raises:
        NotFound: there is none.
    """
    tenant = _found(tx, _BY_NAME, {"name": name})
    if tenant is None:
        raise NotFound(f"there is no tenant {name!r}; `sender tenants list` shows them")
    return tenant


def get(tx: Transaction, tenant_id: int) -> Tenant:
    """A tenant by its id.

    Raises:
        NotFound: there is none.
    """
    tenant = _found(tx, _BY_ID, {"id": tenant_id})
    if tenant is None:
        raise NotFound(f"there is no tenant {tenant_id}")
    return tenant


def every(tx: Transaction) -> list[Tenant]:
    """All tenants, the default one first."""
    return [Tenant(**row) for row in tx.execute(_ALL).mappings()]


def add(tx: Transaction, *, name: str, account_sid: str, stop_scope: str) -> Tenant:
    """Enter a tenant.

    Raises:
        ConfigurationError: the name or the account is another tenant's.
    """
    values = {"name": name, "account_sid": account_sid, "stop_scope": stop_scope}
    if tx.execute(_ADD, values).scalar_one_or_none() is None:
        raise ConfigurationError(f"a tenant has the name {name!r} or the account {account_sid}")
    return by_name(tx, name)


def set_account(tx: Transaction, tenant_id: int, account_sid: str) -> None:
    """Record which Twilio account is the tenant's.

    Raises:
        ConfigurationError: it is another tenant's.
    """
    owner = by_account(tx, account_sid)
    if owner is not None and owner.id != tenant_id:
        raise ConfigurationError(f"account {account_sid} belongs to tenant {owner.name}")
    tx.execute(_CLAIM_ACCOUNT, {"id": tenant_id, "account_sid": account_sid})


def set_stop_scope(tx: Transaction, tenant_id: int, stop_scope: str) -> None:
    """Have STOPs from now on cover all senders (``tenant``) or the one answered (``sender``)."""
    tx.execute(_SET_STOP_SCOPE, {"id": tenant_id, "stop_scope": stop_scope})


def set_weight(tx: Transaction, tenant_id: int, weight: float) -> None:
    """Change a tenant's share of the fleet, from the next offer on."""
    tx.execute(_SET_WEIGHT, {"id": tenant_id, "weight": weight})


def credential(tx: Transaction, tenant_id: int) -> StoredCredential | None:
    """How a tenant signs in; ``None`` if nobody has said."""
    row = tx.execute(_CREDENTIAL, {"id": tenant_id}).one_or_none()
    if row is None:
        return None
    encrypted = None if row.encrypted is None else bytes(row.encrypted)
    return StoredCredential(variables=row.variables, encrypted=encrypted)


def set_credential(tx: Transaction, tenant_id: int, stored: StoredCredential) -> None:
    """Replace how a tenant signs in."""
    variables = None if stored.variables is None else dict(stored.variables)
    values = {"id": tenant_id, "variables": variables, "encrypted": stored.encrypted}
    tx.execute(_SET_CREDENTIAL, values)
