"""Each tenant's account at Twilio, with its secrets read where they are kept."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from sender.config import Settings, environment_variable
from sender.credentials import Secrets, Vault
from sender.errors import ConfigurationError
from sender.storage import tenants
from sender.storage.database import Transaction
from sender.storage.tenants import DEFAULT_TENANT, Tenant


@dataclass(frozen=True, kw_only=True)
class Account:
    """One tenant's account."""

    tenant_id: int
    #: ``AC…``
    sid: str
    secrets: Secrets


@dataclass(frozen=True, kw_only=True)
class Accounts:
    """Finds tenants' accounts; the default tenant's stands in the settings."""

    default: Account
    vault: Vault
    #: The value of an environment variable; raises ``ConfigurationError`` where it is not set.
    variable: Callable[[str], str]

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The default tenant's account as the settings name it, and the key to the others'."""
        secrets = Secrets(
            auth_tokens=settings.auth_tokens,
            api_key=settings.twilio_api_key,
            api_secret=settings.twilio_api_secret.get_secret_value(),
        )
        own = Account(tenant_id=DEFAULT_TENANT, sid=settings.twilio_account_sid, secrets=secrets)
        vault = Vault(keys=settings.secret_keys)
        return cls(default=own, vault=vault, variable=environment_variable)

    def of(self, tx: Transaction, tenant_id: int) -> Account:
        """A tenant's account.

        Raises:
            ConfigurationError: its secrets are missing or cannot be read.
        """
        if tenant_id == DEFAULT_TENANT:
            return self.default
        return self._read(tx, tenants.get(tx, tenant_id))

    def with_sid(self, tx: Transaction, sid: str) -> Account | None:
        """The account with this AccountSid; ``None`` if it is no tenant's.

        Raises:
            ConfigurationError: its secrets are missing or cannot be read.
        """
        tenant = tenants.by_account(tx, sid)
        if tenant is None:
            return None
        return self.default if tenant.id == DEFAULT_TENANT else self._read(tx, tenant)

    def _read(self, tx: Transaction, tenant: Tenant) -> Account:
        stored = tenants.credential(tx, tenant.id)
        if stored is None or tenant.account_sid is None:
            raise ConfigurationError(
                f"tenant {tenant.name} has no credentials; `sender tenants credentials` sets them"
            )
        if stored.encrypted is not None:
            secrets = self.vault.decrypt(stored.encrypted)
        else:
            named = stored.variables or {}
            secrets = Secrets.from_texts(
                {kind: self.variable(name) for kind, name in named.items()}
            )
        return Account(tenant_id=tenant.id, sid=tenant.account_sid, secrets=secrets)
