"""What people write in their own words is posted to their tenant, signed, until it is taken."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from gateway_wire import reply, wire_server

from sender.config import Settings
from sender.credentials import Vault, new_key
from sender.errors import ConfigurationError
from sender.forwarding import OF_EACH, Forwarding
from sender.posting import Poster
from sender.runtime import Runtime
from sender.storage import forwards
from sender.storage.database import AsyncDatabase
from sender.tenancy import Tenancy
from tests.bench import (
    ACCOUNT,
    ANNA,
    BERT,
    OTHER_ACCOUNT,
    OTHER_TENANT,
    SENDER,
    Bench,
    crowd,
    eventually,
    new_sid,
)
from tests.browser import BASE, TOKEN, running
from workers.webhooks import create_app

URL = "https://tenant.example.com/texts"
NAME = "default"
KEY = new_key()


def _settings(bench: Bench, **others: str) -> Settings:
    return Settings.from_variables(
        {
            "DATABASE_URL": bench.url,
            "REDIS_URL": "redis://127.0.0.1:1/0",
            "TWILIO_ACCOUNT_SID": ACCOUNT,
            "TWILIO_AUTH_TOKEN": TOKEN,
            "PUBLIC_BASE_URL": BASE,
            "SENDER_SECRET_KEY": KEY,
            **others,
        }
    )


@pytest.fixture
def tenancy(bench: Bench) -> Any:
    """The operator's tenants."""
    bench.sender_id()
    tenancy = Runtime(settings=_settings(bench)).tenancy()
    yield tenancy
    tenancy.db.close()


@dataclass
class _Receiver:
    """Tenants' addresses: what was posted there, and what each says."""

    #: By address; empty: it takes everything.
    says: dict[str, str] = field(default_factory=dict)
    #: What it says of single texts.
    says_of: dict[str, str] = field(default_factory=dict)
    #: Addresses that do not answer before this is set.
    waits_for: dict[str, asyncio.Event] = field(default_factory=dict)
    posted: list[tuple[str, str]] = field(default_factory=list)
    secrets: set[str] = field(default_factory=set)
    bodies: list[Mapping[str, Any]] = field(default_factory=list)

    async def post(self, url: str, body: bytes, *, secret: str, at: datetime) -> str:
        """Keep it, and say."""
        content = json.loads(body)
        self.posted.append((url, content["text"]))
        self.bodies.append(content)
        self.secrets.add(secret)
        assert at.tzinfo
        if (may_answer := self.waits_for.get(url)) is not None:
            await may_answer.wait()
        return self.says_of.get(content["text"], self.says.get(url, ""))

    @property
    def texts(self) -> list[str]:
        """What was posted."""
        return [one for _, one in self.posted]


Deliver = Callable[[_Receiver], Forwarding]


@pytest.fixture
def forwarding(loop_db: AsyncDatabase) -> Deliver:
    """Posts to this receiver."""
    return lambda receiver: Forwarding(db=loop_db, poster=receiver, vault=Vault(keys=(KEY,)))


def _due(bench: Bench) -> None:
    """Time goes by, until everything may be tried again."""
    bench.execute("UPDATE forward SET next_try = now() WHERE next_try IS NOT NULL")
    bench.execute("UPDATE forward_target SET rests_until = NULL")


async def test_a_text_is_posted(bench: Bench, tenancy: Tenancy, forwarding: Deliver) -> None:
    """It says who wrote what to which sender, and is signed with the tenant's secret."""
    secret = tenancy.forward(NAME, URL)
    bench.text("what are your hours?", sid=new_sid(1))
    receiver = _Receiver()
    assert await forwarding(receiver).deliver() == 1
    [body] = receiver.bodies
    received_at = bench.value("SELECT received_at FROM inbound")
    assert datetime.fromisoformat(body.pop("received_at")) == received_at
    assert body == {
        "id": new_sid(1),
        "tenant": NAME,
        "from": f"+{ANNA}",
        "to": SENDER,
        "text": "what are your hours?",
        "read_as": "none",
    }
    assert receiver.secrets == {secret}
    assert await forwarding(receiver).deliver() == 0


async def test_keywords_are_not(bench: Bench, tenancy: Tenancy, forwarding: Deliver) -> None:
    """STOP, START and HELP are not posted; opt-outs in own words are, and count all the same."""
    tenancy.forward(NAME, URL)
    for number, words in enumerate(("STOP", "START", "HELP", "please stop texting me", "why me?")):
        bench.text(words, crowd(9)[number], sid=new_sid(number))
    receiver = _Receiver()
    await forwarding(receiver).deliver()
    assert set(receiver.texts) == {"please stop texting me", "why me?"}
    assert {one["read_as"] for one in receiver.bodies} <= {"none", "review", "free_text"}
    assert bench.is_suppressed(crowd(9)[3])


async def test_a_repeated_webhook(bench: Bench, tenancy: Tenancy, forwarding: Deliver) -> None:
    """A text that comes twice, or again after it was delivered, is posted once."""
    tenancy.forward(NAME, URL)
    receiver = _Receiver()
    for _ in range(2):
        bench.text("hello", sid=new_sid(1))
        bench.text("hello", sid=new_sid(1))
        await forwarding(receiver).deliver()
    assert receiver.texts == ["hello"]


async def test_nobody_asked(bench: Bench, forwarding: Deliver) -> None:
    """A tenant without an address gets nothing; the texts are kept all the same."""
    bench.text("hello", sid=new_sid(1))
    assert await forwarding(_Receiver()).deliver() == 0
    assert bench.value("SELECT count(*) FROM inbound") == 1
    assert bench.value("SELECT count(*) FROM forward") == 0


async def test_until_it_is_taken(bench: Bench, tenancy: Tenancy, forwarding: Deliver) -> None:
    """A text that is not taken waits, each time longer, for a day; then it is given up."""
    tenancy.forward(NAME, URL)
    bench.text("hello", sid=new_sid(1))
    receiver = _Receiver(says={URL: "HTTP 503"})
    pauses = []
    for _ in range(3):
        assert await forwarding(receiver).deliver() == 0
        pauses.append(bench.value("SELECT next_try - now() FROM forward"))
        _due(bench)
    assert [round(pause.total_seconds()) for pause in pauses] == [10, 20, 40]
    found = tenancy.forwarding(NAME)
    assert found is not None
    assert (found.waiting, found.failures, found.error) == (1, 3, "HTTP 503")
    bench.execute("UPDATE forward SET created_at = now() - interval '25 hours'")
    await forwarding(receiver).deliver()
    _due(bench)
    await forwarding(receiver).deliver()
    assert len(receiver.posted) == 4
    found = tenancy.forwarding(NAME)
    assert found is not None
    assert (found.waiting, found.delivered, found.given_up) == (0, 0, 1)


async def test_taken_at_last(bench: Bench, tenancy: Tenancy, forwarding: Deliver) -> None:
    """An address that is back gets what waited."""
    tenancy.forward(NAME, URL)
    bench.text("hello", sid=new_sid(1))
    receiver = _Receiver(says={URL: "HTTP 503"})
    await forwarding(receiver).deliver()
    receiver.says.clear()
    _due(bench)
    assert await forwarding(receiver).deliver() == 1
    found = tenancy.forwarding(NAME)
    assert found is not None
    assert (found.waiting, found.delivered, found.failures, found.error) == (0, 1, 0, "")


async def test_an_address_that_is_away(bench: Bench, tenancy: Tenancy, forwarding: Deliver) -> None:
    """It is left alone for a while after a few texts; another tenant's get through meanwhile."""
    bench.second_tenant()
    tenancy.forward(NAME, URL)
    tenancy.forward("other", "https://other.example.com/")
    bench.campaign(tenant_id=OTHER_TENANT, sender="+14155550009", run=False)
    for number, person in enumerate(crowd(40)):
        bench.text("hello", person, sid=new_sid(number))
    theirs = {"account_sid": OTHER_ACCOUNT, "to": "+14155550009"}
    bench.text("and we?", BERT, sid=new_sid(99), **theirs)
    receiver = _Receiver(says={URL: "TimeoutError"})
    assert await forwarding(receiver).deliver() == 1
    assert receiver.texts.count("hello") == OF_EACH
    assert receiver.texts.count("and we?") == 1


async def test_a_slow_address(bench: Bench, tenancy: Tenancy, forwarding: Deliver) -> None:
    """It keeps no other tenant's texts waiting, however many, nor those that come meanwhile."""
    slow, may_answer = "https://slow.example.com/", asyncio.Event()
    bench.second_tenant()
    tenancy.forward("other", slow)
    tenancy.forward(NAME, URL)
    many = 3 * OF_EACH
    for number in range(many):
        bench.text("hello", sid=new_sid(number), account_sid=OTHER_ACCOUNT)
        bench.text("hi", sid=new_sid(1000 + number))
    receiver = _Receiver(waits_for={slow: may_answer})
    work = asyncio.create_task(forwarding(receiver).deliver())
    await asyncio.to_thread(eventually, lambda: receiver.texts.count("hi") == many)
    bench.text("me too", sid=new_sid(2000))
    await asyncio.to_thread(eventually, lambda: "me too" in receiver.texts)
    assert receiver.texts.count("hello") == OF_EACH
    may_answer.set()
    assert await work == 2 * many + 1


async def test_more_tenants_than_places(
    bench: Bench, tenancy: Tenancy, loop_db: AsyncDatabase
) -> None:
    """Whose text is due longest comes first."""
    bench.second_tenant()
    tenancy.forward("other", URL)
    tenancy.forward(NAME, URL)
    for number in range(OF_EACH):
        bench.text("hello", sid=new_sid(number))
    bench.text("hello", sid=new_sid(1000), account_sid=OTHER_ACCOUNT)
    bench.execute("UPDATE forward SET next_try = next_try - interval '1 h' WHERE tenant_id > 1")
    due = await loop_db.run(
        forwards.claim, each=OF_EACH, limit=1, patience=timedelta(hours=1), besides=()
    )
    assert [one.tenant for one in due] == ["other"]


async def test_one_that_is_never_taken(bench: Bench, tenancy: Tenancy, forwarding: Deliver) -> None:
    """A text that the receiver chokes on keeps no other back."""
    tenancy.forward(NAME, URL)
    people = crowd(12)
    for number, person in enumerate(people):
        bench.text("poison" if number == 0 else f"text {number}", person, sid=new_sid(number))
    receiver = _Receiver(says_of={"poison": "HTTP 400"})
    for _ in range(3):
        await forwarding(receiver).deliver()
    assert set(receiver.texts) == {"poison", *(f"text {number}" for number in range(1, 12))}
    assert bench.value("SELECT failures FROM forward_target") == 0


async def test_erased_meanwhile(bench: Bench, tenancy: Tenancy, forwarding: Deliver) -> None:
    """Words that were erased are not posted."""
    tenancy.forward(NAME, URL)
    bench.text("hello", sid=new_sid(1))
    bench.execute("UPDATE inbound SET body = '', raw = '{}', erased_at = now()")
    receiver = _Receiver()
    assert await forwarding(receiver).deliver() == 0
    assert not receiver.posted
    assert bench.value("SELECT error FROM forward WHERE next_try IS NULL") == "erased"


async def test_a_secret_that_cannot_be_read(
    bench: Bench, tenancy: Tenancy, loop_db: AsyncDatabase
) -> None:
    """Without its key nothing is posted unsigned; it waits."""
    tenancy.forward(NAME, URL)
    bench.text("hello", sid=new_sid(1))
    receiver = _Receiver()
    blind = Forwarding(db=loop_db, poster=receiver, vault=Vault(keys=(new_key(),)))
    assert await blind.deliver() == 0
    assert not receiver.posted
    found = tenancy.forwarding(NAME)
    assert found is not None
    assert (found.waiting, "SENDER_SECRET_KEY" in found.error) == (1, True)


class TestConfiguring:
    """Where it goes."""

    def test_the_secret_is_shown_once(self, tenancy: Tenancy) -> None:
        """Another address keeps the secret, unless a new one is asked for."""
        first = tenancy.forward(NAME, URL)
        assert len(first) > 40
        assert tenancy.forward(NAME, "https://new.example.com/") == ""
        assert tenancy.forward(NAME, URL, new_secret=True) not in {"", first}

    async def test_a_new_key(self, bench: Bench, tenancy: Tenancy, loop_db: AsyncDatabase) -> None:
        """When the operator's key is rotated, the tenant's secret stays as it is."""
        secret, newer = tenancy.forward(NAME, URL), new_key()
        rotating = Runtime(settings=_settings(bench, SENDER_SECRET_KEY=f"{newer},{KEY}")).tenancy()
        assert rotating.encrypt_anew() == 1
        rotating.db.close()
        bench.text("hello", sid=new_sid(1))
        receiver = _Receiver()
        newest = Forwarding(db=loop_db, poster=receiver, vault=Vault(keys=(newer,)))
        assert await newest.deliver() == 1
        assert receiver.secrets == {secret}

    def test_off(self, bench: Bench, tenancy: Tenancy) -> None:
        """What waits is dropped, and nothing more is put there."""
        tenancy.forward(NAME, URL)
        bench.text("hello", sid=new_sid(1))
        assert tenancy.stop_forwarding(NAME) == 1
        bench.text("hello?", sid=new_sid(2))
        assert tenancy.forwarding(NAME) is None
        assert bench.value("SELECT count(*) FROM forward") == 0

    @pytest.mark.parametrize(
        "url",
        [
            *("", "example.com", "http://example.com/", "ftp://example.com/", "https://"),
            *("https://[::", "https://a:0/", "https://user:secret@example.com/"),
            "https://example.com/#here",
        ],
    )
    def test_no_address(self, tenancy: Tenancy, url: str) -> None:
        """Only https addresses, without a user or a fragment."""
        with pytest.raises(ConfigurationError):
            tenancy.forward(NAME, url)

    def test_no_key(self, bench: Bench) -> None:
        """Without SENDER_SECRET_KEY no secret is kept."""
        tenancy = Runtime(settings=_settings(bench, SENDER_SECRET_KEY="")).tenancy()
        with pytest.raises(ConfigurationError, match="SENDER_SECRET_KEY"):
            tenancy.forward(NAME, URL)
        tenancy.db.close()


@pytest.fixture
async def private(bench: Bench) -> AsyncIterator[Tenancy]:
    """A development's tenants, whose addresses may be on this machine."""
    bench.sender_id()
    tenancy = Runtime(settings=_settings(bench, SENDER_FORWARD_PRIVATE="true")).tenancy()
    yield tenancy
    tenancy.db.close()


class TestOverTheWire:
    """Real posts."""

    async def test_a_receiver_can_check_it(
        self, bench: Bench, private: Tenancy, loop_db: AsyncDatabase
    ) -> None:
        """HMAC-SHA256 under the secret, over the time and the body as they arrive."""
        async with (
            wire_server(reply(204, "")) as wire,
            Poster.open(allow_private=True) as poster,
        ):
            secret = private.forward(NAME, wire.url)
            bench.text("hello", sid=new_sid(1))
            forwarding = Forwarding(db=loop_db, poster=poster, vault=Vault(keys=(KEY,)))
            assert await forwarding.deliver() == 1
        [request] = wire.requests
        header = next(v for k, v in request.headers.items() if k.lower() == "sender-signature")
        seconds, said = (part.partition("=")[2] for part in header.split(","))
        signed = f"{seconds}.".encode() + request.body
        assert said == hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
        age = datetime.now(UTC) - datetime.fromtimestamp(int(seconds), UTC)
        assert age < timedelta(minutes=5)

    async def test_never_inside(
        self, bench: Bench, private: Tenancy, loop_db: AsyncDatabase
    ) -> None:
        """Whatever is configured, an address inside is not connected to unless it is allowed."""
        async with wire_server(reply(204, "")) as wire, Poster.open() as poster:
            port = wire.url.rpartition(":")[2]
            private.forward(NAME, f"http://localhost:{port}")
            bench.text("hello", sid=new_sid(1))
            forwarding = Forwarding(db=loop_db, poster=poster, vault=Vault(keys=(KEY,)))
            assert await forwarding.deliver() == 0
        assert not wire.requests
        assert bench.value("SELECT error FROM forward") == "the address is not public"

    async def test_the_consumer_does_it(
        self, bench: Bench, private: Tenancy, redis_url: str
    ) -> None:
        """The consumer's own forwarding posts, with the settings it was started with."""
        settings = _settings(bench, SENDER_FORWARD_PRIVATE="true", REDIS_URL=redis_url)
        async with wire_server(reply(204, "")) as wire:
            private.forward(NAME, wire.url)
            bench.text("hello", sid=new_sid(1))
            async with Runtime(settings=settings).consumer() as consumer:
                assert await consumer.forwarding.deliver() == 1
        assert len(wire.requests) == 1


async def test_what_waits_is_a_figure(bench: Bench, tenancy: Tenancy, redis_url: str) -> None:
    """Forwards, opt-outs not enforced and undated keywords are counted, with the oldest's age."""
    tenancy.forward(NAME, URL)
    bench.text("hello", BERT, sid=new_sid(1))
    bench.stop()
    bench.execute("UPDATE forward SET created_at = now() - interval '1 hour'")
    settings = _settings(bench, REDIS_URL=redis_url)
    async with running(create_app(settings=lambda: settings)) as twilio:
        found = await _figures(twilio)
        assert found['sender_waiting{what="forward"}'] == 1
        assert found['sender_waiting{what="enforcement"}'] == 1
        assert found['sender_waiting{what="provider_time"}'] == 1
        assert 3600 <= found['sender_waiting_oldest_seconds{what="forward"}'] < 3700
    bench.execute("ALTER TABLE forward RENAME TO elsewhere")
    async with running(create_app(settings=lambda: settings)) as twilio:
        found = await _figures(twilio)
        assert found['sender_waiting{what="forward"}'] != found['sender_waiting{what="forward"}']


async def _figures(twilio: Any) -> dict[str, float]:
    answer = await twilio.request("GET", "/metrics")
    assert answer.status == 200
    lines = [line.rpartition(" ") for line in answer.body.splitlines() if line[0] != "#"]
    return {name: float(value) for name, _, value in lines}
