"""Tenants, as the operator keeps them: their accounts, policy, credentials and pools."""

from collections.abc import Mapping
from dataclasses import dataclass
from secrets import token_urlsafe
from typing import Final
from urllib.parse import urlsplit

from sender.accounts import Accounts
from sender.credentials import SECRETS, Secrets, Vault
from sender.domain.replies import ReplyEvent
from sender.domain.weight import require_weight
from sender.errors import ConfigurationError, NotFound
from sender.storage import forwards, pools, replies, senders, tenants
from sender.storage.database import Database, Transaction
from sender.storage.forwards import Forwarded
from sender.storage.senders import SenderRow
from sender.storage.tenants import DEFAULT_TENANT, StoredCredential, Tenant

#: What a STOP may cover.
STOP_SCOPES: Final = ("tenant", "sender")
_ACCOUNT_SID_LENGTH: Final = 34


@dataclass(frozen=True, kw_only=True)
class Tenancy:
    """All tenants; for the operator, never for one of them."""

    db: Database
    vault: Vault
    accounts: Accounts
    #: For development: whether texts may be forwarded to private addresses, and without TLS.
    forward_private: bool = False

    def add(self, name: str, *, account_sid: str, stop_scope: str = "tenant") -> Tenant:
        """Enter a tenant with its own Twilio (sub)account; its credentials come next.

        Raises:
            ConfigurationError: the name or account is taken, or a value makes no sense.
        """
        _check_scope(stop_scope)
        if not name.strip():
            raise ConfigurationError("a tenant needs a name")
        if not (account_sid.startswith("AC") and len(account_sid) == _ACCOUNT_SID_LENGTH):
            raise ConfigurationError(f"{account_sid!r} is no AccountSid (AC and 32 hex digits)")
        with self.db.transaction() as tx:
            return tenants.add(tx, name=name, account_sid=account_sid, stop_scope=stop_scope)

    def every(self) -> list[Tenant]:
        """All tenants, the default one first."""
        return self.db.run(tenants.every)

    def set_stop_scope(self, name: str, stop_scope: str) -> None:
        """Have STOPs from now on cover all of its senders, or the one that was answered.

        What is suppressed already stays so, in the scope it was suppressed in.
        """
        _check_scope(stop_scope)
        with self.db.transaction() as tx:
            tenants.set_stop_scope(tx, tenants.by_name(tx, name).id, stop_scope)

    def set_weight(self, name: str, weight: float) -> None:
        """Give a tenant a share of the fleet, for when not all can be served at once.

        Raises:
            ConfigurationError: that is no weight.
        """
        try:
            require_weight(weight)
        except ValueError as exc:
            raise ConfigurationError(str(exc)) from exc
        with self.db.transaction() as tx:
            tenants.set_weight(tx, tenants.by_name(tx, name).id, weight)

    def store_secrets(self, name: str, secrets: Mapping[str, str]) -> None:
        """Keep a tenant's secrets, encrypted with SENDER_SECRET_KEY; noticed within 30 s.

        Args:
            name: the tenant's.
            secrets: ``auth_token`` (two, comma-separated, during a rotation), and perhaps
                ``api_key`` with ``api_secret``.
        """
        encrypted = self.vault.encrypt(Secrets.from_texts(secrets))
        self._set_credential(name, StoredCredential(variables=None, encrypted=encrypted))

    def name_variables(self, name: str, variables: Mapping[str, str]) -> None:
        """Have a tenant's secrets read from these environment variables of every process."""
        if unknown := variables.keys() - set(SECRETS):
            raise ConfigurationError(f"no such secret: {', '.join(sorted(unknown))}")
        if "auth_token" not in variables:
            raise ConfigurationError("name the variable that holds the auth token")
        self._set_credential(name, StoredCredential(variables=variables, encrypted=None))

    def _set_credential(self, name: str, stored: StoredCredential) -> None:
        with self.db.transaction() as tx:
            tenant = tenants.by_name(tx, name)
            if tenant.id == DEFAULT_TENANT:
                raise ConfigurationError(
                    "the default tenant's credentials are the TWILIO_ settings"
                )
            tenants.set_credential(tx, tenant.id, stored)

    def forward(self, name: str, url: str, *, new_secret: bool = False) -> str:
        """Have what people text to a tenant, keywords apart, posted to an address of the tenant's.

        Returns:
            The secret that the posts are signed with, if it is new; it is shown this once.

        Raises:
            ConfigurationError: no https address of a public host, or no SENDER_SECRET_KEY.
        """
        _check_address(url, private=self.forward_private)
        secret = token_urlsafe(32)
        sealed = self.vault.seal(secret)
        with self.db.transaction() as tx:
            tenant_id = tenants.by_name(tx, name).id
            known = forwards.target(tx, tenant_id)
            if known is not None and not new_secret:
                secret, sealed = "", known.secret
            forwards.set_target(tx, tenant_id, url=url, secret=sealed)
        return secret

    def stop_forwarding(self, name: str) -> int:
        """Post nothing of a tenant's any more; how many texts had waited for it."""
        with self.db.transaction() as tx:
            return forwards.drop_target(tx, tenants.by_name(tx, name).id)

    def forwarding(self, name: str) -> Forwarded | None:
        """Where a tenant's texts are posted and how far that is; ``None`` if they are not."""
        with self.db.transaction() as tx:
            return forwards.progress(tx, tenants.by_name(tx, name).id)

    def encrypt_anew(self) -> int:
        """Encrypt every stored secret with the newest key, so that older ones can go; how many."""
        with self.db.transaction() as tx:
            every = tenants.every(tx)
            credentials = sum(self._encrypt_anew(tx, tenant.id) for tenant in every)
            return credentials + sum(self._seal_anew(tx, tenant.id) for tenant in every)

    def _seal_anew(self, tx: Transaction, tenant_id: int) -> bool:
        known = forwards.target(tx, tenant_id)
        if known is None:
            return False
        sealed = self.vault.seal(self.vault.unseal(known.secret))
        forwards.set_target(tx, tenant_id, url=known.url, secret=sealed)
        return True

    def _encrypt_anew(self, tx: Transaction, tenant_id: int) -> bool:
        stored = tenants.credential(tx, tenant_id)
        if stored is None or stored.encrypted is None:
            return False
        encrypted = self.vault.encrypt(self.vault.decrypt(stored.encrypted))
        tenants.set_credential(tx, tenant_id, StoredCredential(variables=None, encrypted=encrypted))
        return True

    def check(self, name: str) -> None:
        """Whether this process can read a tenant's secrets.

        Raises:
            ConfigurationError: it cannot; says what is missing.
        """
        with self.db.transaction() as tx:
            self.accounts.of(tx, tenants.by_name(tx, name).id)

    def put_in_service(self, name: str, *, number: str, service: str) -> None:
        """Record that a tenant's number is in a Messaging Service: what covers it covers both.

        For good: a STOP counts for a service that the number has left, too.

        Raises:
            ConfigurationError: one of them is another tenant's, or no sender.
        """
        with self.db.transaction() as tx:
            tenant = tenants.by_name(tx, name)
            found = pools.addressed(tx, tenant.id, number=number, service=service)
            if len(found.sender_ids) != len({number, service}):
                raise ConfigurationError("both must be the tenant's: a number and an MG… service")

    def set_reply(self, name: str, *, sender: str, event: ReplyEvent, text: str) -> None:
        """What a sender answers to a STOP, START or HELP; an empty text ends it.

        Only where nobody else does: see `sender.domain.replies`.

        Raises:
            NotFound: the tenant has no such sender.
        """
        with self.db.transaction() as tx:
            row = _own_sender(tx, tenants.by_name(tx, name), sender)
            replies.set_text(tx, row.id, event, text.strip())


def _own_sender(tx: Transaction, tenant: Tenant, address: str) -> SenderRow:
    row = senders.find(tx, address)
    if row is None or row.tenant_id != tenant.id:
        raise NotFound(f"tenant {tenant.name} has no sender {address}")
    return row


def _check_address(url: str, *, private: bool) -> None:
    """What is no address at all; whom it leads to is checked at each post, by its IP address."""
    try:
        parts = urlsplit(url)
        is_address = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address or parts.scheme not in ({"http", "https"} if private else {"https"}):
        raise ConfigurationError(f"{url!r} is no https address")
    if parts.username is not None or parts.fragment:
        raise ConfigurationError("the address may name no user and no fragment")


def _check_scope(stop_scope: str) -> None:
    if stop_scope not in STOP_SCOPES:
        raise ConfigurationError(f"a STOP covers one of: {', '.join(STOP_SCOPES)}")
