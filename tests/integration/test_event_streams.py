"""Event Streams as a third source: the same news as webhooks bring, at least once, in any order."""

import hashlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from twilio.request_validator import (  # type: ignore[import-untyped]  # the SDK ships no types
    RequestValidator,
)

from sender.config import Settings
from sender.credentials import Secrets, Vault, new_key
from sender.storage import tenants
from sender.storage.tenants import StoredCredential
from tests.bench import (
    ACCOUNT,
    ANNA,
    BERT,
    OTHER_ACCOUNT,
    OTHER_TENANT,
    SENDER,
    Bench,
    new_sid,
)
from tests.browser import BASE, TOKEN, Browser, running
from workers.webhooks import create_app

PATH = f"/twilio/events/{ACCOUNT}"
Build = Callable[..., Settings]


@pytest.fixture
def build(bench: Bench, redis_url: str) -> Build:
    """Settings that take events, unless told otherwise."""

    def settings(**others: str) -> Settings:
        return Settings.from_variables(
            {
                "DATABASE_URL": bench.url,
                "REDIS_URL": redis_url,
                "TWILIO_ACCOUNT_SID": ACCOUNT,
                "TWILIO_AUTH_TOKEN": TOKEN,
                "PUBLIC_BASE_URL": BASE,
                "SENDER_EVENT_STREAMS": "true",
                **others,
            }
        )

    return settings


@pytest.fixture
async def twilio(build: Build) -> AsyncIterator[Browser]:
    """Twilio, whose sink is the app."""
    async with running(create_app(settings=build)) as browser:
        yield browser


def _event(kind: str, *, id_: str = "", **data: Any) -> dict[str, Any]:
    plain = {"accountSid": ACCOUNT, "to": f"+{ANNA}", "from": SENDER, "messageSid": new_sid(1)}
    return {
        "specversion": "1.0",
        "type": f"com.twilio.messaging.{kind}",
        "id": id_ or f"EZ{uuid4().hex}",
        "data": plain | data,
    }


def _texted(body: str, person: int = ANNA, **data: Any) -> dict[str, Any]:
    """A person texted us."""
    texts = {"from": f"+{person}", "to": SENDER, "messageSid": "SM" + "7" * 32, "numMedia": 0}
    return _event("inbound-message.received", body=body, **texts | data)


def _status(status: str, code: int | None = None, **data: Any) -> dict[str, Any]:
    """A message's status, as the newest schema tells it."""
    known = {"messageStatus": status.upper()} | ({} if code is None else {"errorCode": code})
    return _event(f"message.{status}", **known | data)


def _callback_url(message_id: UUID) -> str:
    return f"{BASE}/twilio/status/{message_id}#ct=2000&rt=4000&rc=5&rp=all"


def _under_way(bench: Bench) -> tuple[int, UUID]:
    campaign = bench.campaign(ANNA)
    return campaign, bench.guard_all(campaign)[ANNA].message_id


def _alarms(bench: Bench) -> list[str]:
    return [row.kind for row in bench.execute("SELECT kind FROM alarm ORDER BY id")]


class TestInbound:
    """What people texted."""

    async def test_a_stop(self, bench: Bench, twilio: Browser) -> None:
        """A STOP is stored and enforced before the batch is answered."""
        campaign = bench.campaign(ANNA, BERT)
        assert (await twilio.post_json(PATH, [_texted("stop")])).status == 204
        assert bench.value("SELECT enforced_at IS NOT NULL FROM enforcement")
        assert bench.states(campaign) == {ANNA: "suppressed", BERT: "pending"}

    async def test_beside_its_webhook(self, bench: Bench, twilio: Browser) -> None:
        """The webhook and the event of one message, in either order, are one message."""
        form = {
            "MessageSid": "SM" + "7" * 32,
            "AccountSid": ACCOUNT,
            "From": f"+{ANNA}",
            "To": SENDER,
            "Body": "stop",
        }
        for _ in range(2):
            assert (await twilio.post_json(PATH, [_texted("stop")])).status == 204
            assert (await twilio.post("/twilio/inbound", form)).status == 200
        assert bench.value("SELECT count(*) FROM inbound") == 1
        assert bench.value("SELECT count(*) FROM consent_event") == 1

    async def test_not_enforced_yet(self, bench: Bench, twilio: Browser) -> None:
        """A STOP that cannot be enforced yet has the batch come again; the rest is done with."""
        campaign, _ = _under_way(bench)
        batch = [_texted("stop"), _texted("hello", BERT, messageSid="SM" + "8" * 32)]
        assert (await twilio.post_json(PATH, batch)).status == 503
        assert bench.is_suppressed()
        assert bench.value("SELECT id FROM stream_event") == f"{ACCOUNT}/{batch[1]['id']}"
        bench.put(campaign, "sent")
        assert (await twilio.post_json(PATH, batch)).status == 204
        assert bench.value("SELECT enforced_at IS NOT NULL FROM enforcement")

    async def test_the_providers_own_reading(self, bench: Bench, twilio: Browser) -> None:
        """An opt-out type is believed, in whatever language the keyword is."""
        await twilio.post_json(PATH, [_texted("basta", optOutType="STOP")])
        assert bench.value("SELECT keyword FROM inbound") == "STOP"


class TestStatus:
    """What became of our messages."""

    async def test_by_our_id(self, bench: Bench, twilio: Browser) -> None:
        """The callback URL names our message, though the answer to create was lost."""
        campaign, message_id = _under_way(bench)
        bench.put(campaign, "in_doubt")
        news = _status("delivered", statusCallBackUrl=_callback_url(message_id))
        assert (await twilio.post_json(PATH, [news])).status == 204
        assert (bench.row(campaign).state, bench.row(campaign).sid) == ("delivered", new_sid(1))
        assert bench.value("SELECT source FROM receipt") == "event"

    async def test_by_sid(self, bench: Bench, twilio: Browser) -> None:
        """Older schemas tell no callback URL: the SID and the recipient name our message."""
        campaign, _ = _under_way(bench)
        bench.put(campaign, "sent", sid=new_sid(1))
        news = _status("undelivered", errorCode="30003")
        assert (await twilio.post_json(PATH, news)).status == 204
        assert (bench.row(campaign).state, bench.row(campaign).reason) == (
            "undelivered",
            "unreachable",
        )

    async def test_an_opt_out(self, bench: Bench, twilio: Browser) -> None:
        """A 21610 suppresses and makes an incident, once, though its callback comes as well."""
        campaign, message_id = _under_way(bench)
        news = _status("failed", 21610, statusCallBackUrl=_callback_url(message_id))
        assert (await twilio.post_json(PATH, [news, _status("sent")])).status == 204
        form = {
            "AccountSid": ACCOUNT,
            "MessageSid": new_sid(1),
            "MessageStatus": "failed",
            "ErrorCode": "21610",
            "To": f"+{ANNA}",
        }
        assert (await twilio.post(f"/twilio/status/{message_id}", form)).status == 204
        assert bench.row(campaign).state == "suppressed"
        assert bench.is_suppressed()
        assert bench.value("SELECT count(*) FROM incident") == 1

    async def test_a_batch_that_comes_again(self, bench: Bench, twilio: Browser) -> None:
        """Events that were applied are not applied again."""
        campaign, message_id = _under_way(bench)
        news = _status("failed", 30006, statusCallBackUrl=_callback_url(message_id))
        await twilio.post_json(PATH, [news, news])
        bench.put(campaign, "sending")
        await twilio.post_json(PATH, [news])
        assert bench.row(campaign).state == "sending"

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "https://staging.example.com/twilio/status/00000000-0000-7000-8000-000000000001",
            f"{BASE}/elsewhere",
        ],
    )
    async def test_not_ours(self, bench: Bench, twilio: Browser, url: str) -> None:
        """Messages of others on the same account mean nothing to us, and are no alarm."""
        news = _status("failed", 30006, statusCallBackUrl=url, messageSid=new_sid(9))
        assert (await twilio.post_json(PATH, [news])).status == 204
        assert not _alarms(bench)
        assert not bench.is_suppressed()

    async def test_a_block_elsewhere(self, bench: Bench, twilio: Browser) -> None:
        """Who is blocked for a sender is suppressed, though another system's message met it."""
        bench.sender_id()
        news = _status("failed", 21610, messageSid=new_sid(9)) | {"time": "2026-01-02T03:04:05Z"}
        for _ in range(2):
            assert (await twilio.post_json(PATH, [news])).status == 204
        assert bench.is_suppressed()
        kept = "SELECT count(*) FROM consent_event WHERE reason = 'provider_block'"
        assert bench.value(f"{kept} AND provider_at = '2026-01-02T03:04:05Z'") == bench.value(kept)
        assert not _alarms(bench)

    @pytest.mark.parametrize(
        "time", [None, "", "soon", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"]
    )
    async def test_a_block_at_no_time(
        self, bench: Bench, twilio: Browser, time: str | None
    ) -> None:
        """One that does not say when, in a way that can be, counts from when it came."""
        bench.sender_id()
        news = _status("failed", 21610, messageSid=new_sid(9)) | {"time": time}
        assert (await twilio.post_json(PATH, [news])).status == 204
        assert bench.is_suppressed()
        assert bench.value(
            "SELECT min(provider_at) > now() - interval '1 minute' FROM consent_event"
        )
        assert (await twilio.post_json(PATH, [_texted("stop")])).status == 204

    async def test_a_block_before_a_start(self, bench: Bench, twilio: Browser) -> None:
        """A block is as old as its event says: a START that came after it counts."""
        bench.sender_id()
        await twilio.post_json(PATH, [_texted("start")])
        bench.execute("""
            INSERT INTO consent_time (source_id, provider_at)
            SELECT DISTINCT source_id, now() FROM consent_event""")
        old = _status("failed", 21610, messageSid=new_sid(9)) | {"time": "2020-01-02T03:04:05Z"}
        assert (await twilio.post_json(PATH, [old])).status == 204
        assert not bench.is_suppressed()

    async def test_it_does_not_fit(self, bench: Bench, twilio: Browser) -> None:
        """An event that contradicts our message changes nothing and leaves an alarm."""
        campaign, message_id = _under_way(bench)
        bench.put(campaign, "sent", sid=new_sid(2))
        news = _status("delivered", statusCallBackUrl=_callback_url(message_id))
        assert (await twilio.post_json(PATH, [news])).status == 204
        assert bench.row(campaign).state == "sent"
        assert _alarms(bench) == ["callback_second_sid"]


class TestRefused:
    """What is not Twilio's, or not for us."""

    async def test_off(self, build: Build, bench: Bench) -> None:
        """Nobody takes events unless it is said so."""
        off = build(SENDER_EVENT_STREAMS="")
        async with running(create_app(settings=lambda: off)) as twilio:
            assert (await twilio.post_json(PATH, [_texted("stop")])).status == 404
        assert not bench.is_suppressed()

    @pytest.mark.parametrize("token", [None, "9" * 32])
    async def test_not_signed(self, bench: Bench, twilio: Browser, token: str | None) -> None:
        """What the account did not sign does nothing."""
        assert (await twilio.post_json(PATH, [_texted("stop")], token=token)).status == 403
        assert not bench.is_suppressed()

    async def test_another_body(self, bench: Bench, twilio: Browser) -> None:
        """A signature holds for one body, and for none where it covers no body."""
        body = json.dumps([_texted("stop")]).encode()
        hashed = hashlib.sha256(b"[]").hexdigest()
        for query in (f"bodySHA256={hashed}", "bodySHA256=", ""):
            url = f"{BASE}{PATH}{'?' + query if query else ''}"
            headers = {"x-twilio-signature": RequestValidator(TOKEN).compute_signature(url, {})}
            answer = await twilio.request("POST", PATH, body=body, headers=headers, query=query)
            assert answer.status == 403
        assert not bench.is_suppressed()

    async def test_of_another_account(self, bench: Bench, twilio: Browser) -> None:
        """An account speaks for itself only; the rest of its batch counts."""
        bench.second_tenant()
        bench.sender_id()
        batch = [_texted("stop", accountSid=OTHER_ACCOUNT), _texted("stop", BERT)]
        assert (await twilio.post_json(PATH, batch)).status == 204
        assert [bench.is_suppressed(one) for one in (ANNA, BERT)] == [False, True]
        assert _alarms(bench) == ["webhook_foreign_event"]

    async def test_a_broken_event(self, bench: Bench, twilio: Browser) -> None:
        """One that lacks what it needs leaves an alarm and keeps nothing from the others."""
        bench.sender_id()
        broken = _event("inbound-message.received", **{"from": None, "body": "stop"})
        assert (await twilio.post_json(PATH, [broken, _texted("stop", BERT)])).status == 204
        assert bench.is_suppressed(BERT)
        assert _alarms(bench) == ["webhook_malformed"]

    @pytest.mark.parametrize(
        "broken",
        [
            7,
            {"type": "x"},
            _texted("stop") | {"id": 5},
            _texted("stop") | {"id": "EZ\0"},
            _texted("stop") | {"id": "\ud800"},
            _texted("stop") | {"id": "".join(f"{n:x}" for n in range(9000))},
            _texted("hello", messageSid="SM\0"),
            _texted("hello", messageSid="\ud800"),
            _texted("hello", accountSid="AC\0"),
            _status("failed", messageStatus="no status\0"),
            _status("failed", messageSid="\ud800"),
        ],
    )
    async def test_odd_ones(self, bench: Bench, twilio: Browser, broken: object) -> None:
        """Whatever is wrong with one event, the others count, and the batch is done with."""
        bench.sender_id()
        assert (await twilio.post_json(PATH, [broken, _texted("stop", BERT)])).status == 204
        assert bench.is_suppressed(BERT)
        assert _alarms(bench) == ["webhook_malformed"]

    @pytest.mark.parametrize("odd", ["+1\0", "\ud800", "", "x" * 9000])
    async def test_odd_addresses(self, bench: Bench, twilio: Browser, odd: str) -> None:
        """A STOP is kept wherever it was sent to, and in whatever service."""
        addresses = {"to": odd or SENDER, "messagingServiceSid": odd}
        batch = [_texted("stop", **addresses), _texted("stop", BERT, messageSid=new_sid(8))]
        assert (await twilio.post_json(PATH, batch)).status == 204
        assert [bench.is_suppressed(one) for one in (ANNA, BERT)] == [True, True]

    async def test_one_that_cannot_be_applied(self, bench: Bench, twilio: Browser) -> None:
        """What goes wrong with one event has the batch come again for it alone."""
        bench.sender_id()
        batch = [_texted("stop", messageSid=new_sid(7)), _texted("stop", BERT)]
        bench.execute(f"""
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN IF NEW.sid = '{new_sid(7)}' THEN RAISE 'odd'; END IF; RETURN NEW; END $$""")
        bench.execute("""
            CREATE TRIGGER odd BEFORE INSERT ON inbound
            FOR EACH ROW EXECUTE FUNCTION refuse()""")
        assert (await twilio.post_json(PATH, batch)).status == 503
        assert bench.is_suppressed(BERT)
        assert bench.value("SELECT count(*) FROM stream_event") == 1

    async def test_anothers_event_ids(self, bench: Bench, build: Build) -> None:
        """What one account calls its events keeps nothing of another account's out."""
        bench.second_tenant()
        bench.sender_id()
        key, token = new_key(), "6" * 32
        encrypted = Vault(keys=(key,)).encrypt(Secrets(auth_tokens=(token,)))
        stored = StoredCredential(variables=None, encrypted=encrypted)
        bench.db.run(tenants.set_credential, OTHER_TENANT, stored)
        theirs, path = _texted("hi", accountSid=OTHER_ACCOUNT), f"/twilio/events/{OTHER_ACCOUNT}"
        ours = _texted("stop", messageSid=new_sid(8)) | {"id": theirs["id"]}
        settings = build(SENDER_SECRET_KEY=key)
        async with running(create_app(settings=lambda: settings)) as twilio:
            assert (await twilio.post_json(path, [theirs], token=token)).status == 204
            assert (await twilio.post_json(PATH, [ours])).status == 204
        assert bench.is_suppressed()

    async def test_other_kinds(self, bench: Bench, twilio: Browser) -> None:
        """Events of other kinds, as the one that tests a sink, are answered and forgotten."""
        test = {"type": "com.twilio.eventstreams.test-event", "id": "EZ1", "data": {"test_id": 1}}
        assert (await twilio.post_json(PATH, [test, _event("link.clicked")])).status == 204
        assert not _alarms(bench)

    @pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"[{}]", b"\xff", b"[" * 100_000])
    async def test_no_events(self, bench: Bench, twilio: Browser, body: bytes) -> None:
        """A signed body that holds no events is refused, and leaves an alarm."""
        query = f"bodySHA256={hashlib.sha256(body).hexdigest()}"
        signature = RequestValidator(TOKEN).compute_signature(f"{BASE}{PATH}?{query}", {})
        headers = {"x-twilio-signature": signature}
        answer = await twilio.request("POST", PATH, body=body, headers=headers, query=query)
        assert answer.status == 400
        assert _alarms(bench) == ["webhook_malformed"]

    async def test_too_large(self, twilio: Browser) -> None:
        """A batch has its bound."""
        body = b" " * 1_100_000
        query = f"bodySHA256={hashlib.sha256(body).hexdigest()}"
        signature = RequestValidator(TOKEN).compute_signature(f"{BASE}{PATH}?{query}", {})
        headers = {"x-twilio-signature": signature}
        answer = await twilio.request("POST", PATH, body=body, headers=headers, query=query)
        assert answer.status == 413

    async def test_a_strangers_batch_is_not_read(self, twilio: Browser) -> None:
        """However large it is: nobody has us hold what they did not sign for."""
        answer = await twilio.request("POST", PATH, body=b" " * 1_100_000)
        assert answer.status == 403
