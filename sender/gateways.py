"""A way to Twilio for each tenant, and a check of its webhooks, over one pool of connections."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Self

from sender.accounts import Account, Accounts
from sender.distrust import Distrust
from sender.gateway import (
    BlockLog,
    ConsentsGateway,
    Credentials,
    Form,
    GatewayFactory,
    HooksGateway,
    PublicUrls,
    SignatureVerifier,
    SinksGateway,
    TwilioGateway,
    is_sid,
)
from sender.storage.database import AsyncDatabase

#: How long a tenant's changed credentials may go unnoticed.
FRESH = timedelta(seconds=30)
#: Accounts of nobody that are remembered for webhooks: anybody can name one.
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

    async def sinks(self, tenant_id: int) -> SinksGateway:
        """A tenant's Event Streams at Twilio; raises as `of` does."""
        account = await self.db.run(self.accounts.of, tenant_id)
        return SinksGateway(self.factory.client(_credentials(account)))


def _credentials(account: Account) -> Credentials:
    secrets = account.secrets
    if secrets.api_key:
        return Credentials.from_api_key(account.sid, secrets.api_key, secrets.api_secret)
    return Credentials.from_auth_token(account.sid, secrets.auth_tokens[0])


@dataclass(frozen=True, kw_only=True)
class _Known:
    """What webhooks that name an account are checked with, for a while."""

    until: float
    #: Who vouches for it.
    tenant_id: int
    verifier: SignatureVerifier


@dataclass(kw_only=True)
class Verifiers:
    """Checks webhooks against the secrets of the tenant whose account they name.

    Raises:
        ConfigurationError: no signature could be checked over ``public_base_url``.
    """

    db: AsyncDatabase
    accounts: Accounts
    public_base_url: str
    distrust: Distrust
    clock: Callable[[], float] = time.monotonic
    #: Accounts of tenants; there are as many as tenants.
    _tenants: dict[str, _Known] = field(default_factory=dict)
    #: Accounts of nobody, latest use last: they have the default tenant's verifier.
    _strangers: OrderedDict[str, _Known] = field(default_factory=OrderedDict)
    #: One question to the database at a time: anybody can name accounts that need one, and must not
    #: take the connections that STOPs are stored over. Those whose account is known to be a
    #: tenant's ask in a line of their own, which strangers cannot lengthen.
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _renewing: asyncio.Lock = field(default_factory=asyncio.Lock)

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
        known = await self._known(sid)
        if json is not None:
            signed = known.verifier.verify_json(path_and_raw_query, json, headers)
        else:
            signed = known.verifier.verify(path_and_raw_query, form, headers)
        return await self._noted(known, signed=signed)

    async def verify_url(
        self, account_sid: str, path_and_raw_query: str, headers: Mapping[str, str]
    ) -> bool:
        """Whether this account has signed the URL, before a body is read; raises as that does.

        What is signed of a JSON body is its hash in the query (`names_body`).
        """
        known = await self._known(account_sid)
        return await self._noted(
            known, signed=known.verifier.verify(path_and_raw_query, [], headers)
        )

    async def _noted(self, known: _Known, *, signed: bool) -> bool:
        if signed:
            self.distrust.good(known.tenant_id)
        else:
            await self.distrust.bad(known.tenant_id)
        return signed

    async def _known(self, sid: str) -> _Known:
        own = self.accounts.default
        if not is_sid(sid):  # nothing that could be anybody's: not worth a question
            sid = own.sid
        found = self._fresh(sid)
        if found is None and sid == own.sid:
            found = self._remember(sid, own)
        if found is None:
            async with self._renewing if sid in self._tenants else self._asking:
                # Whoever had the turn before may have asked the same.
                found = self._fresh(sid) or self._remember(sid, await self._account(sid))
        return found

    def _fresh(self, sid: str) -> _Known | None:
        found = self._tenants.get(sid)
        if found is None and (found := self._strangers.get(sid)) is not None:
            self._strangers.move_to_end(sid)
        return found if found is not None and self.clock() < found.until else None

    def _remember(self, sid: str, account: Account | None) -> _Known:
        whose = account or self.accounts.default
        known = _Known(
            until=self.clock() + FRESH.total_seconds(),
            tenant_id=whose.tenant_id,
            verifier=SignatureVerifier(whose.secrets.auth_tokens, self.public_base_url),
        )
        if account is not None:
            self._tenants[sid] = known
            self._strangers.pop(sid, None)
            return known
        self._tenants.pop(sid, None)
        self._strangers[sid] = known
        self._strangers.move_to_end(sid)
        if len(self._strangers) > REMEMBERED:
            self._strangers.popitem(last=False)
        return known

    async def _account(self, sid: str) -> Account | None:
        return await self.db.run(self.accounts.with_sid, sid)
