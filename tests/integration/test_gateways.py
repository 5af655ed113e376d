"""Each tenant's messages are sent with its own credentials, and nobody's with another's."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from uuid import UUID

import pytest
from simulator_rig import CONFIG, NUMBER, PERSON, Rig, simulated
from structlog.testing import capture_logs

from sender.accounts import Account, Accounts
from sender.credentials import Secrets, Vault, new_key
from sender.domain.message import OutboundText
from sender.domain.outcome import Accepted, Outcome, RefusalKind, Refused
from sender.errors import ConfigurationError
from sender.gateways import Gateways
from sender.send_clock import send_clock
from sender.storage import tenants
from sender.storage.database import AsyncDatabase
from sender.storage.tenants import StoredCredential
from tests.bench import (
    ACCOUNT,
    ANNA,
    OTHER_ACCOUNT,
    OTHER_SENDER,
    OTHER_TENANT,
    TENANT,
    Bench,
    FakeGateway,
)
from tests.pump_rig import Rig as PumpRig

VAULT = Vault(keys=(new_key(),))
#: The default tenant's account: not one that the simulator has.
MINE = Account(tenant_id=TENANT, sid=ACCOUNT, secrets=Secrets(auth_tokens=("x",)))


def _variable(name: str) -> str:
    if name != "THEIR_TOKEN":
        raise ConfigurationError(f"{name} is not set")
    return CONFIG.auth_token


def _second_tenant(bench: Bench, stored: StoredCredential | None) -> None:
    """The simulator's account is the second tenant's."""
    bench.second_tenant()
    if stored is not None:
        bench.db.run(tenants.set_credential, OTHER_TENANT, stored)


def _encrypted(token: str) -> StoredCredential:
    secrets = Secrets(auth_tokens=(token,))
    return StoredCredential(variables=None, encrypted=VAULT.encrypt(secrets))


@asynccontextmanager
async def _gateways(db: AsyncDatabase, rig: Rig) -> AsyncIterator[Gateways]:
    accounts = Accounts(default=MINE, vault=VAULT, variable=_variable)
    async with Gateways.open(
        db, accounts, callback_base="https://x.example", base_url=rig.url
    ) as found:
        yield found


async def _send(gateways: Gateways, tenant_id: int) -> Outcome:
    text = OutboundText(
        message_id=UUID(int=7),
        sender=NUMBER,
        recipient=int(PERSON[1:]),
        body="Hello",
        validity=timedelta(hours=1),
    )
    limit, gateway = send_clock() + 5, await gateways.of(tenant_id)
    return (await gateway.send(text, deadline=limit, connect_by=limit)).outcome


@pytest.mark.parametrize(
    "stored",
    [
        _encrypted(CONFIG.auth_token),
        StoredCredential(variables={"auth_token": "THEIR_TOKEN"}, encrypted=None),
    ],
    ids=["encrypted", "named"],
)
async def test_with_its_own_credentials(
    bench: Bench, loop_db: AsyncDatabase, stored: StoredCredential
) -> None:
    """Twilio takes a tenant's message signed in as that tenant, and refuses another's."""
    _second_tenant(bench, stored)
    async with simulated(account_sid=OTHER_ACCOUNT) as rig, _gateways(loop_db, rig) as gateways:
        assert isinstance(await _send(gateways, OTHER_TENANT), Accepted)
        refused = await _send(gateways, TENANT)
    assert isinstance(refused, Refused)
    assert refused.kind is RefusalKind.ACCOUNT


async def test_a_gateway_is_kept_for_a_while(bench: Bench, loop_db: AsyncDatabase) -> None:
    """The tables are not asked for every slice."""
    _second_tenant(bench, _encrypted(CONFIG.auth_token))
    async with simulated(account_sid=OTHER_ACCOUNT) as rig, _gateways(loop_db, rig) as gateways:
        first = await gateways.of(OTHER_TENANT)
        bench.execute("DELETE FROM credential")
        assert await gateways.of(OTHER_TENANT) is first


@pytest.mark.parametrize(
    ("stored", "why"),
    [
        (None, "no credentials"),
        (StoredCredential(variables={"auth_token": "GONE"}, encrypted=None), "GONE"),
        (StoredCredential(variables=None, encrypted=b"garbage"), "SENDER_SECRET_KEY"),
    ],
)
async def test_what_is_missing_is_named(
    bench: Bench, loop_db: AsyncDatabase, stored: StoredCredential | None, why: str
) -> None:
    """Credentials that cannot be read are an error that says what to do."""
    _second_tenant(bench, stored)
    async with simulated(account_sid=OTHER_ACCOUNT) as rig, _gateways(loop_db, rig) as gateways:
        with pytest.raises(ConfigurationError, match=why):
            await gateways.of(OTHER_TENANT)


@dataclass
class _Some:
    """A gateway for the default tenant, and none for anybody else."""

    gateway: FakeGateway
    asked: list[int] = field(default_factory=list)

    async def of(self, tenant_id: int) -> FakeGateway:
        """The tenant's gateway."""
        self.asked.append(tenant_id)
        if tenant_id != TENANT:
            raise ConfigurationError("no credentials")
        return self.gateway


async def test_one_that_cannot_sign_in_holds_up_nobody_else(rig: PumpRig) -> None:
    """A tenant without readable credentials rests, with a line; the others' messages go."""
    rig.bench.second_tenant()
    theirs = rig.bench.campaign(ANNA, sender=OTHER_SENDER, tenant_id=OTHER_TENANT)
    mine = rig.bench.campaign(ANNA)
    gateways = _Some(rig.gateway)
    rig = replace(rig, pump=replace(rig.pump, gateways=gateways))
    with capture_logs() as logs:
        await rig.work()
    assert rig.bench.row(mine).state == "sent"
    assert rig.bench.row(theirs).state == "pending"
    assert rig.bench.value(
        "SELECT rests_until > now() FROM sender WHERE address = :a", a=OTHER_SENDER
    )
    assert [one["event"] for one in logs if one["log_level"] == "error"] == [
        "tenant_cannot_sign_in"
    ]
