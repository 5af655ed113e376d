"""Whose tokens a webhook is checked with, and what strangers may ask the database for that."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import pytest
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]  # no stubs

from sender.accounts import Account, Accounts
from sender.credentials import Secrets, Vault
from sender.errors import ConfigurationError
from sender.gateways import Verifiers
from sender.storage.database import AsyncDatabase
from tests.bench import ACCOUNT, OTHER_ACCOUNT

BASE, PATH = "https://sms.example.com", "/twilio/inbound"
MINE = Account(tenant_id=1, sid=ACCOUNT, secrets=Secrets(auth_tokens=("mine",)))
THEIRS = Account(tenant_id=2, sid=OTHER_ACCOUNT, secrets=Secrets(auth_tokens=("theirs",)))


@dataclass
class Asked:
    """A database that knows one account beside the default one, and counts who asks."""

    asked: int = 0
    at_once: int = 0
    most: int = 0

    async def run(self, work: Callable[..., object], sid: str) -> Account | None:
        """The account, after a while."""
        self.asked += 1
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0.001)
        self.at_once -= 1
        return THEIRS if sid == THEIRS.sid else None


def _verifiers(db: Asked, base: str = BASE) -> Verifiers:
    accounts = Accounts(default=MINE, vault=Vault(keys=()), variable=str)
    return Verifiers(db=cast("AsyncDatabase", db), accounts=accounts, public_base_url=base)


async def _is_taken(verifiers: Verifiers, sid: str, token: str) -> bool:
    form = {"AccountSid": sid}
    signature = RequestValidator(token).compute_signature(BASE + PATH, form)
    headers: dict[str, Any] = {"X-Twilio-Signature": signature}
    return await verifiers.verify(PATH, list(form.items()), headers)


async def test_each_tenant_has_its_own_tokens() -> None:
    """An account is checked with its own tokens; what is no tenant's, with the default ones."""
    verifiers = _verifiers(Asked())
    for sid, token in ((ACCOUNT, "mine"), (OTHER_ACCOUNT, "theirs"), ("AC" + "c" * 32, "mine")):
        assert await _is_taken(verifiers, sid, token)
        assert not await _is_taken(verifiers, sid, "theirs" if token == "mine" else "mine")


async def test_strangers_take_one_connection_at_most() -> None:
    """However many accounts are made up at once, and the default one needs none at all."""
    db = Asked()
    verifiers = _verifiers(db)
    made_up = [_is_taken(verifiers, f"AC{number:032x}", "x") for number in range(50)]
    crowd = [asyncio.ensure_future(one) for one in made_up]
    assert await _is_taken(verifiers, ACCOUNT, "mine")
    assert not any(one.done() for one in crowd)
    assert not any(await asyncio.gather(*crowd))
    assert (db.asked, db.most) == (50, 1)


async def test_a_crowd_of_one_tenants_asks_once() -> None:
    """Those that waited for the same account find it known."""
    db = Asked()
    verifiers = _verifiers(db)
    crowd = (_is_taken(verifiers, OTHER_ACCOUNT, "theirs") for _ in range(50))
    assert all(await asyncio.gather(*crowd))
    assert db.asked == 1


@pytest.mark.parametrize("sid", ["", "AC\0", "AC" * 40, "AC 1"])
async def test_what_cannot_be_an_account_is_not_looked_for(sid: str) -> None:
    """It is nobody's: checked with the default tokens, and not remembered."""
    db = Asked()
    assert await _is_taken(_verifiers(db), sid, "mine")
    assert db.asked == 0


def test_an_address_that_nothing_could_match() -> None:
    """It is refused at the start, not at the first STOP."""
    with pytest.raises(ConfigurationError):
        _verifiers(Asked(), "https://sms.example.com#rc=5")
