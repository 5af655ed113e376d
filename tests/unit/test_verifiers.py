"""Whose tokens a webhook is checked with, and what strangers may ask the database for that."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]  # no stubs

from sender.accounts import Account, Accounts
from sender.credentials import Secrets, Vault
from sender.distrust import ENOUGH, TELL_EVERY, WITHIN, Distrust
from sender.errors import ConfigurationError
from sender.gateways import FRESH, REMEMBERED, Verifiers
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
    known: tuple[Account, ...] = (THEIRS,)

    async def run(self, work: Callable[..., object], sid: str) -> Account | None:
        """The account, after a while."""
        self.asked += 1
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0.001)
        self.at_once -= 1
        return next((one for one in self.known if one.sid == sid), None)


@dataclass
class Clock:
    """A clock that stands until it is moved."""

    now: float = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@dataclass
class Told:
    """Who was told of."""

    tenants: list[int] = field(default_factory=list)

    async def __call__(self, tenant_id: int) -> None:
        """Tell of one."""
        self.tenants.append(tenant_id)


def _verifiers(
    db: Asked, base: str = BASE, *, clock: Clock | None = None, told: Told | None = None
) -> Verifiers:
    clock = clock or Clock()
    return Verifiers(
        db=cast("AsyncDatabase", db),
        accounts=Accounts(default=MINE, vault=Vault(keys=()), variable=str),
        public_base_url=base,
        distrust=Distrust(tell=told or Told(), clock=clock),
        clock=clock,
    )


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


async def test_strangers_keep_no_tenant_waiting() -> None:
    """A tenant that was seen once does not stand in their line, and is not forgotten for them."""
    db, clock = Asked(), Clock()
    verifiers = _verifiers(db, clock=clock)
    assert await _is_taken(verifiers, OTHER_ACCOUNT, "theirs")
    clock.now += FRESH.total_seconds()
    made_up = [_is_taken(verifiers, f"AC{number:032x}", "x") for number in range(REMEMBERED + 1)]
    crowd = [asyncio.ensure_future(one) for one in made_up]
    await asyncio.sleep(0)
    assert await _is_taken(verifiers, OTHER_ACCOUNT, "theirs")
    assert sum(one.done() for one in crowd) < ENOUGH
    await asyncio.gather(*crowd)
    asked = db.asked
    assert await _is_taken(verifiers, OTHER_ACCOUNT, "theirs")
    assert db.asked == asked


async def test_changed_tokens_count_soon() -> None:
    """A tenant's secrets are read again after a while, and an account it gave up is nobody's."""
    db, clock = Asked(), Clock()
    verifiers = _verifiers(db, clock=clock)
    assert await _is_taken(verifiers, OTHER_ACCOUNT, "theirs")
    db.known = ()
    clock.now += FRESH.total_seconds()
    assert not await _is_taken(verifiers, OTHER_ACCOUNT, "theirs")
    assert await _is_taken(verifiers, OTHER_ACCOUNT, "mine")


class TestDistrust:
    """Many bad signatures and no good one."""

    async def _refuse(self, verifiers: Verifiers, sid: str = ACCOUNT, count: int = ENOUGH) -> None:
        for _ in range(count):
            assert not await _is_taken(verifiers, sid, "forged")

    async def test_a_wrong_token(self) -> None:
        """Is told of, of the tenant whose it is, and not again at once."""
        told, clock = Told(), Clock()
        verifiers = _verifiers(Asked(), told=told, clock=clock)
        await self._refuse(verifiers, OTHER_ACCOUNT, ENOUGH - 1)
        assert not told.tenants
        await self._refuse(verifiers, OTHER_ACCOUNT, 5 * ENOUGH)
        assert told.tenants == [2]
        clock.now += TELL_EVERY.total_seconds()
        await self._refuse(verifiers, OTHER_ACCOUNT)
        assert told.tenants == [2, 2]

    async def test_forged_ones_among_good_ones(self) -> None:
        """Say nothing of the token: good ones come, whoever else calls."""
        told, clock = Told(), Clock()
        verifiers = _verifiers(Asked(), told=told, clock=clock)
        for _ in range(20):
            assert await _is_taken(verifiers, ACCOUNT, "mine")
            await self._refuse(verifiers)
            clock.now += WITHIN.total_seconds() - 1
        assert not told.tenants
        clock.now += 1
        await self._refuse(verifiers)
        assert told.tenants == [1]

    async def test_a_few_now_and_then(self) -> None:
        """Are no sign of anything."""
        told, clock = Told(), Clock()
        verifiers = _verifiers(Asked(), told=told, clock=clock)
        for _ in range(5 * ENOUGH):
            await self._refuse(verifiers, count=1)
            clock.now += 1.2 * WITHIN.total_seconds() / (ENOUGH - 1)
        assert not told.tenants

    async def test_made_up_accounts(self) -> None:
        """Count against the default tenant: its own SID may be what is wrong."""
        told = Told()
        verifiers = _verifiers(Asked(), told=told)
        for number in range(ENOUGH):
            await self._refuse(verifiers, f"AC{number:032x}", 1)
        assert told.tenants == [1]


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
