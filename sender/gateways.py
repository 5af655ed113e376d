"""A way to Twilio for each tenant, and a check of its webhooks, over one pool of connections."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Self

from sender.accounts import Account, Accounts
from sender.gateway import (
    BlockLog,
    ConsentsGateway,
    Credentials,
    Form,
    GatewayFactory,
    HooksGateway,
    PublicUrls,
    SignatureVerifier,
    TwilioGateway,
    is_sid,
)
from sender.storage.database import AsyncDatabase

#: How long a tenant's changed credentials may go unnoticed.
FRESH = timedelta(seconds=30)
#: Accounts remembered for webhooks, those that are no tenant's included: anybody can name one.
REMEMBERED = 2_000


@dataclass(kw_only=True)
class Gateways:
    """One worker's or consumer's gateways, by tenant."""

    db: AsyncDatabase
    accounts: Accounts
    factory: GatewayFactory
    _known: dict[int, tuple[float, Account, TwilioGateway]] = field(default_factory=dict)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, db: AsyncDatabase, accounts: Accounts, *, callback_base: str, base_url: str
    ) -> AsyncIterator[Self]:
        """Gateways over one pool of connections, closed at the end of the block."""
        async with GatewayFactory.open(
            status_callback_base=callback_base, base_url=base_url
        ) as factory:
            yield cls(db=db, accounts=accounts, factory=factory)

    async def of(self, tenant_id: int) -> TwilioGateway:
        """A tenant's gateway.

        Raises:
            ConfigurationError: the tenant's credentials are missing or cannot be read.
            DatabaseError: they could not be asked for.
        """
        now = time.monotonic()
        known = self._known.get(tenant_id)
        if known is not None and now < known[0]:
            return known[2]
        account = await self.db.run(self.accounts.of, tenant_id)
        if known is not None and known[1] == account:
            gateway = known[2]
        else:
            gateway = self.factory.gateway(_credentials(account))
        self._known[tenant_id] = (now + FRESH.total_seconds(), account, gateway)
        return gateway

    async def consents(self, tenant_id: int) -> ConsentsGateway:
        """A tenant's way to Twilio's Consent API; raises as `of` does."""
        account = await self.db.run(self.accounts.of, tenant_id)
        return ConsentsGateway(self.factory.client(_credentials(account)))

    async def blocks(self, tenant_id: int) -> BlockLog:
        """Whom Twilio did not text because they have opted out; raises as `of` does."""
        account = await self.db.run(self.accounts.of, tenant_id)
        return BlockLog(self.factory.client(_credentials(account)))

    async def hooks(self, tenant_id: int) -> HooksGateway:
        """A tenant's webhooks at Twilio; raises as `of` does."""
        account = await self.db.run(self.accounts.of, tenant_id)
        return HooksGateway(self.factory.client(_credentials(account)))


def _credentials(account: Account) -> Credentials:
    secrets = account.secrets
    if secrets.api_key:
        return Credentials.from_api_key(account.sid, secrets.api_key, secrets.api_secret)
    return Credentials.from_auth_token(account.sid, secrets.auth_tokens[0])


@dataclass(kw_only=True)
class Verifiers:
    """Checks webhooks against the secrets of the tenant whose account they name.

    Raises:
        ConfigurationError: no signature could be checked over ``public_base_url``.
    """

    db: AsyncDatabase
    accounts: Accounts
    public_base_url: str
    #: Latest use last; an account that is no tenant's has the default tenant's verifier.
    _known: OrderedDict[str, tuple[float, SignatureVerifier]] = field(default_factory=OrderedDict)

    #: One question to the database at a time: anybody can name accounts that need one, and must not
    #: take the connections that STOPs are stored over.
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        PublicUrls(self.public_base_url)  # raises at the start, not at the first STOP

    async def verify(
        self,
        path_and_raw_query: str,
        form: Form,
        headers: Mapping[str, str],
        *,
        json: bytes | None = None,
    ) -> bool:
        """Whether the tenant's account that the form names has signed it.

        A form that names no tenant's account is checked with the default tenant's tokens: what
        those signed is certainly Twilio's, and the caller can say what is wrong with it.

        Args:
            path_and_raw_query: as received.
            form: the fields.
            headers: of the request.
            json: the body, if that is where the fields were read from.

        Raises:
            ConfigurationError: the tenant's secrets are missing or cannot be read.
            DatabaseError: they could not be asked for.
        """
        sid = next((value for name, value in form if name == "AccountSid"), "")
        verifier = await self._verifier(sid)
        if json is not None:
            return verifier.verify_json(path_and_raw_query, json, headers)
        return verifier.verify(path_and_raw_query, form, headers)

    async def verify_json(
        self, account_sid: str, path_and_raw_query: str, raw: bytes, headers: Mapping[str, str]
    ) -> bool:
        """The same for a JSON body, in the name of this account; raises as that does."""
        verifier = await self._verifier(account_sid)
        return verifier.verify_json(path_and_raw_query, raw, headers)

    async def _verifier(self, sid: str) -> SignatureVerifier:
        if not is_sid(sid):  # nothing that could be anybody's: not worth a question
            sid = self.accounts.default.sid
        known = self._fresh(sid)
        if known is None and sid == self.accounts.default.sid:
            known = self._remember(sid, self.accounts.default)
        if known is None:
            async with self._asking:
                # Whoever had the turn before may have asked the same.
                known = self._fresh(sid) or self._remember(sid, await self._account(sid))
        self._known.move_to_end(sid)
        return known

    def _fresh(self, sid: str) -> SignatureVerifier | None:
        known = self._known.get(sid)
        return known[1] if known is not None and time.monotonic() < known[0] else None

    def _remember(self, sid: str, account: Account) -> SignatureVerifier:
        verifier = SignatureVerifier(account.secrets.auth_tokens, self.public_base_url)
        self._known[sid] = (time.monotonic() + FRESH.total_seconds(), verifier)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return verifier

    async def _account(self, sid: str) -> Account:
        return await self.db.run(self.accounts.with_sid, sid) or self.accounts.default
