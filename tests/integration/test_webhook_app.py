"""The webhook app, driven as an ASGI server drives it, with requests signed as Twilio signs."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from hashlib import sha256
from urllib.parse import urlencode
from uuid import UUID, uuid4
from xml.etree import ElementTree as ET

import pytest
from multidict import MultiDict
from structlog.testing import capture_logs
from twilio.request_validator import (  # type: ignore[import-untyped]  # the SDK ships no types
    RequestValidator,
)

from sender.distrust import ENOUGH
from sender.domain.replies import ReplyEvent
from sender.errors import ConfigurationError
from sender.gateway import TWIML_EMPTY
from sender.storage import replies
from tests.bench import ACCOUNT, ANNA, BERT, OTHER_ACCOUNT, SENDER, SERVICE, Bench, new_sid
from tests.browser import BASE, TOKEN, Answer, Browser, running, settings_at
from workers.webhooks import create_app

STOP = {
    "MessageSid": "SM" + "1" * 32,
    "AccountSid": ACCOUNT,
    "From": f"+{ANNA}",
    "To": SENDER,
    "Body": "Stop",
    "NumMedia": "0",
    "FromCity": "",
}


@pytest.fixture
async def twilio(bench: Bench, database_url: str, redis_url: str) -> AsyncIterator[Browser]:
    """Twilio, calling the app."""
    app = create_app(settings=lambda: settings_at(database_url, redis_url))
    async with running(app) as browser:
        yield browser


def _status(status: str, **fields: str) -> dict[str, str]:
    plain = {
        "AccountSid": ACCOUNT,
        "MessageSid": new_sid(1),
        "MessageStatus": status,
        "To": f"+{ANNA}",
        "From": SENDER,
    }
    return plain | fields


class TestInbound:
    """A person texted us."""

    async def test_a_stop(self, bench: Bench, twilio: Browser) -> None:
        """A STOP is answered 200, with nothing to say, once it is enforced."""
        campaign = bench.campaign(ANNA)
        answer = await twilio.post("/twilio/inbound", STOP)
        assert (answer.status, answer.body) == (200, TWIML_EMPTY)
        assert answer.headers["content-type"].startswith("text/xml")
        assert bench.value("SELECT enforced_at IS NOT NULL FROM enforcement")
        assert bench.row(campaign).state == "suppressed"
        kept = bench.value("SELECT raw FROM inbound")
        assert kept == STOP

    async def test_a_row_under_way(self, bench: Bench, twilio: Browser) -> None:
        """While a request may be under way the answer waits; after 3 s it is 503."""
        campaign = bench.campaign(ANNA)
        bench.guard_all(campaign)
        assert (await twilio.post("/twilio/inbound", STOP)).status == 503
        assert bench.is_suppressed()
        again = asyncio.create_task(twilio.post("/twilio/inbound", STOP))
        done, _ = await asyncio.wait({again}, timeout=0.2)
        assert not done
        bench.put(campaign, "sent")
        assert (await again).status == 200
        assert bench.value("SELECT count(*) FROM consent_event") == 1

    async def test_many_at_once(self, bench: Bench, twilio: Browser) -> None:
        """Duplicates at the same time all get 200 and leave one event."""
        answers = await asyncio.gather(*(twilio.post("/twilio/inbound", STOP) for _ in range(8)))
        assert {answer.status for answer in answers} == {200}
        assert bench.value("SELECT count(*) FROM consent_event") == 1
        assert bench.value("SELECT count(*) FROM inbound") == 1

    async def test_blank_fields_are_signed_too(self, bench: Bench, twilio: Browser) -> None:
        """Twilio signs blank parameters, so they are kept."""
        form = STOP | {"Body": "", "OptOutType": "STOP", "FromZip": ""}
        assert (await twilio.post("/twilio/inbound", form)).status == 200
        assert bench.is_suppressed()

    async def test_a_query(self, twilio: Browser) -> None:
        """The query is part of what is signed, as it was sent."""
        answer = await twilio.post("/twilio/inbound", STOP, query="a=%2B1&b=")
        assert answer.status == 200

    @pytest.mark.parametrize("token", [None, "5" * 32])
    async def test_not_signed(self, bench: Bench, twilio: Browser, token: str | None) -> None:
        """What Twilio did not sign is refused and leaves nothing."""
        assert (await twilio.post("/twilio/inbound", STOP, token=token)).status == 403
        assert bench.value("SELECT count(*) FROM inbound") == 0

    async def test_too_large(self, twilio: Browser) -> None:
        """A body larger than any webhook's is refused."""
        form = STOP | {"Body": "x" * 70_000}
        assert (await twilio.post("/twilio/inbound", form)).status == 413

    @pytest.mark.parametrize("body", [b"\xff=\xff", b"&".join(b"a%d=" % n for n in range(101))])
    async def test_unreadable(self, twilio: Browser, body: bytes) -> None:
        """A body that is no form is refused."""
        answer = await twilio.request("POST", "/twilio/inbound", body=body)
        assert answer.status == 400

    @pytest.mark.parametrize("missing", ["MessageSid", "AccountSid", "From", "To"])
    async def test_incomplete(self, twilio: Browser, missing: str) -> None:
        """A signed form that is no message is refused."""
        form = {name: value for name, value in STOP.items() if name != missing}
        assert (await twilio.post("/twilio/inbound", form)).status == 400

    async def test_a_foreign_account(self, bench: Bench, twilio: Browser) -> None:
        """A message for an account that no tenant has is answered 404."""
        form = STOP | {"AccountSid": OTHER_ACCOUNT}
        assert (await twilio.post("/twilio/inbound", form)).status == 404
        assert bench.value("SELECT count(*) FROM inbound") == 0

    async def test_small_talk(self, bench: Bench, twilio: Browser) -> None:
        """Any other text is kept, answered 200 and suppresses nobody."""
        form = STOP | {"Body": "I'll stop by at noon", "MessagingServiceSid": SERVICE}
        assert (await twilio.post("/twilio/inbound", form)).status == 200
        assert not bench.is_suppressed()
        assert bench.value("SELECT keyword FROM inbound") == "NONE"

    @pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "NONSENSE"])
    async def test_only_post(self, twilio: Browser, method: str) -> None:
        """Nothing but POST is taken."""
        assert (await twilio.request(method, "/twilio/inbound")).status == 405

    @pytest.mark.parametrize("path", ["/twilio/inbound/", "//twilio/inbound", "/twilio", "/"])
    async def test_another_path(self, twilio: Browser, path: str) -> None:
        """No other path is taken, and none leads to where a Host header says."""
        assert (await twilio.post(path, STOP)).status == 404

    async def test_what_a_proxy_says_counts_for_nothing(self, twilio: Browser) -> None:
        """Only ``PUBLIC_BASE_URL`` says what was called: headers are the caller's to choose."""
        signature = RequestValidator(TOKEN).compute_signature(
            "https://evil.example/twilio/inbound", STOP
        )
        headers = {
            "host": "evil.example",
            "forwarded": "host=evil.example;proto=https",
            "x-forwarded-host": "evil.example",
            "x-forwarded-proto": "https",
            "x-twilio-signature": signature,
        }
        body = urlencode(STOP).encode()
        answer = await twilio.request("POST", "/twilio/inbound", body=body, headers=headers)
        assert answer.status == 403

    async def test_repeated_parameters(self, bench: Bench, twilio: Browser) -> None:
        """All values are signed; of repeated ones the first counts."""
        form = MultiDict([*STOP.items(), ("Body", "START"), ("Body", "")])
        answer = await _signed(twilio, urlencode([*form.items()]).encode(), form)
        assert answer.status == 200
        assert bench.is_suppressed()

    async def test_json(self, bench: Bench, twilio: Browser) -> None:
        """A JSON body is verified by its hash in the signed query, and read like a form."""
        body = json.dumps(STOP).encode()
        query = f"bodySHA256={sha256(body).hexdigest()}"
        kind = {"content-type": "application/json"}
        assert (await _signed(twilio, body + b" ", query=query, headers=kind)).status == 403
        assert not bench.is_suppressed()
        assert (await _signed(twilio, body, query=query, headers=kind)).status == 200
        assert bench.is_suppressed()

    @pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=x"])
    async def test_another_kind_of_body(self, twilio: Browser, kind: str) -> None:
        """What is neither a form nor JSON is not read, signed or not."""
        body = urlencode(STOP).encode()
        answer = await _signed(twilio, body, STOP, headers={"content-type": kind})
        assert answer.status == 400

    @pytest.mark.parametrize("field", ["To", "MessagingServiceSid", "OptOutType", "X\0"])
    @pytest.mark.parametrize("odd", ["\0", "+1555\0", "x" * 9000])
    async def test_odd_addresses(self, bench: Bench, twilio: Browser, field: str, odd: str) -> None:
        """A STOP is kept whatever stands in the fields that it does not need."""
        assert (await twilio.post("/twilio/inbound", STOP | {field: odd})).status == 200
        assert bench.is_suppressed()

    async def test_both_tokens_of_a_rotation(
        self, bench: Bench, database_url: str, redis_url: str
    ) -> None:
        """While two tokens are set, Twilio may sign with either."""
        new = "7" * 32
        settings = settings_at(database_url, redis_url, TWILIO_AUTH_TOKEN=f"{TOKEN},{new}")
        async with running(create_app(settings=lambda: settings)) as twilio:
            assert (await twilio.post("/twilio/inbound", STOP)).status == 200
            assert (await twilio.post("/twilio/inbound", STOP, token=new)).status == 200
            assert (await twilio.post("/twilio/inbound", STOP, token="8" * 32)).status == 403

    async def test_a_shared_key(self, bench: Bench, twilio: Browser) -> None:
        """The newer signatures name their algorithm in a header."""
        body, name = urlencode(STOP).encode(), "x-twilio-webhooks-signature-settings"
        headers = {name: "key=k,algorithm=HMAC_SHA256"}
        answer = await _signed(twilio, body, STOP, headers=headers, algorithm="HMAC_SHA256")
        assert answer.status == 200
        headers = {name: "key=k,algorithm=HMAC_MD5"}
        assert (await _signed(twilio, body, STOP, headers=headers)).status == 403

    async def test_a_public_url_that_cannot_be(self, bench: Bench, database_url: str) -> None:
        """An address no signature could match keeps the app from starting."""
        base = "https://sms.example.com#rc=5"
        settings = settings_at(database_url, "redis://127.0.0.1:1/0", PUBLIC_BASE_URL=base)
        with pytest.raises(ConfigurationError):
            async with running(create_app(settings=lambda: settings)):
                pass

    async def test_a_replay(self, bench: Bench, twilio: Browser) -> None:
        """A STOP posted again after the START changes nothing: nothing in it says when it was."""
        later = STOP | {"MessageSid": "SM" + "2" * 32, "Body": "START"}
        for form in (STOP, later, STOP):
            assert (await twilio.post("/twilio/inbound", form)).status == 200
        assert bench.value("SELECT count(*) FROM consent_event") == 2

    async def test_without_redis(self, bench: Bench, database_url: str) -> None:
        """A STOP is stored, enforced and answered 200 without Redis."""
        app = create_app(settings=lambda: settings_at(database_url, "redis://127.0.0.1:1/0"))
        async with running(app) as twilio:
            assert (await twilio.post("/twilio/inbound", STOP)).status == 200
        assert bench.is_suppressed()


class TestFallback:
    """Twilio's second URL for a text that the first failed on."""

    FAILED = STOP | {"ErrorCode": "11200", "ErrorUrl": f"{BASE}/twilio/inbound"}

    async def test_the_same_as_the_first(self, bench: Bench, twilio: Browser) -> None:
        """A STOP is stored and enforced, counted and told as a failure of the first URL."""
        campaign, before = bench.campaign(ANNA), await _fallbacks(twilio)
        with capture_logs() as lines:
            answer = await twilio.post("/twilio/fallback", self.FAILED)
        assert (answer.status, answer.body) == (200, TWIML_EMPTY)
        assert bench.row(campaign).state == "suppressed"
        assert await _fallbacks(twilio) == before + 1
        [line] = [line for line in lines if line["event"] == "inbound_webhook_failed"]
        assert (line["code"], line["log_level"]) == (11200, "error")
        assert str(ANNA) not in str(lines)

    async def test_after_the_first(self, bench: Bench, twilio: Browser) -> None:
        """What the first URL stored before it failed is one text, with one event."""
        await twilio.post("/twilio/inbound", STOP)
        assert (await twilio.post("/twilio/fallback", self.FAILED)).status == 200
        assert bench.value("SELECT count(*) FROM consent_event") == 1

    async def test_not_signed(self, bench: Bench, twilio: Browser) -> None:
        """Signed for the other URL is not signed: nothing is stored, nothing counted."""
        before = await _fallbacks(twilio)
        url = f"{BASE}/twilio/inbound"
        headers = {
            "x-twilio-signature": RequestValidator(TOKEN).compute_signature(url, self.FAILED)
        }
        body = urlencode(self.FAILED).encode()
        answer = await twilio.request("POST", "/twilio/fallback", body=body, headers=headers)
        assert answer.status == 403
        assert await _fallbacks(twilio) == before
        assert bench.value("SELECT count(*) FROM inbound") == 0


async def _fallbacks(twilio: Browser) -> int:
    figures = (await twilio.request("GET", "/metrics")).body
    found = re.search(r"^sender_fallbacks_total (\d+)", figures, re.MULTILINE)
    assert found
    return int(found[1])


async def _signed(
    twilio: Browser,
    body: bytes,
    form: Mapping[str, str] | None = None,
    *,
    query: str = "",
    headers: Mapping[str, str] | None = None,
    algorithm: str | None = None,
) -> Answer:
    """Post a body to the inbound URL, signed over it and these fields."""
    url = f"{BASE}/twilio/inbound{'?' + query if query else ''}"
    signature = RequestValidator(TOKEN).compute_signature(url, form or {}, algorithm)
    return await twilio.request(
        "POST",
        "/twilio/inbound",
        body=body,
        headers={"x-twilio-signature": signature, **(headers or {})},
        query=query,
    )


class TestStatus:
    """A status callback."""

    async def test_one_that_cannot_be_stored(self, bench: Bench, twilio: Browser) -> None:
        """A status that is none is refused, and fails no callback that comes with it."""
        guarded = bench.guard_all(bench.campaign(ANNA, BERT))
        paths = [f"/twilio/status/{guarded[one].message_id}" for one in (ANNA, BERT)]
        forms = [_status("sent\0"), _status("delivered", MessageSid=new_sid(2), To=f"+{BERT}")]
        answers = await asyncio.gather(*map(twilio.post, paths, forms))
        assert [one.status for one in answers] == [400, 204]

    async def test_an_opt_out_of_a_second_sid(
        self, bench: Bench, twilio: Browser, message_id: UUID
    ) -> None:
        """It fits no message of ours, but the person is blocked: refused, alarmed and kept."""
        path = f"/twilio/status/{message_id}"
        assert (await twilio.post(path, _status("sent"))).status == 204
        form = _status("failed", ErrorCode="21610", MessageSid=new_sid(2))
        assert (await twilio.post(path, form)).status == 404
        assert bench.message(message_id).state == "sent"
        assert bench.is_suppressed()
        assert bench.value("SELECT kind FROM alarm") == "callback_second_sid"

    async def test_a_crowd_of_unknown_ones(self, bench: Bench, twilio: Browser) -> None:
        """As after a restore: each is refused, the alarms do not grow with them."""
        for number in range(20):
            form = _status("sent", MessageSid=new_sid(number))
            assert (await twilio.post(f"/twilio/status/{uuid4()}", form)).status == 404
        assert bench.value("SELECT count(*) FROM alarm") == 1

    async def test_an_opt_out_that_is_not_ours(self, bench: Bench, twilio: Browser) -> None:
        """The block of another system's message is kept; the callback is refused as ever."""
        bench.sender_id()
        form = _status("failed", ErrorCode="21610")
        for _ in range(2):
            assert (await twilio.post(f"/twilio/status/{uuid4()}", form)).status == 404
        assert bench.is_suppressed()
        scopes = bench.value("SELECT array_agg(scope ORDER BY scope) FROM suppression")
        assert scopes == [0, bench.sender_id()]
        assert bench.value("SELECT count(*) FROM consent_event") == 2

    @pytest.fixture
    def message_id(self, bench: Bench) -> UUID:
        """A message under way."""
        return bench.guard_all(bench.campaign(ANNA))[ANNA].message_id

    async def test_counted(self, bench: Bench, twilio: Browser, message_id: UUID) -> None:
        """A callback that counts is answered 204, however often it comes."""
        for _ in range(2):
            answer = await twilio.post(f"/twilio/status/{message_id}", _status("delivered"))
            assert (answer.status, answer.body) == (204, "")
        assert bench.message(message_id).state == "delivered"

    async def test_many_at_once(self, bench: Bench, twilio: Browser, message_id: UUID) -> None:
        """Callbacks that come together, one of them an opt-out, each get their own answer."""
        forms = [
            _status("sent"),
            _status("delivered", MessageSid=new_sid(2)),
            _status("undelivered", ErrorCode="21610"),
            _status("queued", AccountSid=OTHER_ACCOUNT),
        ]
        answers = await asyncio.gather(
            *(twilio.post(f"/twilio/status/{message_id}", form) for form in forms)
        )
        assert [answer.status for answer in answers] == [204, 404, 204, 404]
        assert bench.message(message_id).state == "suppressed"
        assert bench.is_suppressed()

    async def test_unknown(self, bench: Bench, twilio: Browser) -> None:
        """A callback for no message of ours is answered 404 and leaves an alarm."""
        answer = await twilio.post(f"/twilio/status/{uuid4()}", _status("sent"))
        assert answer.status == 404
        assert bench.value("SELECT count(*) FROM alarm") == 1

    async def test_no_id(self, twilio: Browser) -> None:
        """A path without a message id is not found."""
        assert (await twilio.post("/twilio/status/17", _status("sent"))).status == 404

    async def test_not_signed(self, bench: Bench, twilio: Browser, message_id: UUID) -> None:
        """What Twilio did not sign changes nothing."""
        path = f"/twilio/status/{message_id}"
        assert (await twilio.post(path, _status("delivered"), token=None)).status == 403
        assert bench.message(message_id).state == "sending"

    async def test_signed_for_another_message(self, twilio: Browser, message_id: UUID) -> None:
        """A signature holds for its own path only."""
        form = _status("delivered")
        url = f"{BASE}/twilio/status/{uuid4()}"
        signature = RequestValidator(TOKEN).compute_signature(url, form)
        answer = await twilio.request(
            "POST",
            f"/twilio/status/{message_id}",
            body=urlencode(form).encode(),
            headers={"x-twilio-signature": signature},
        )
        assert answer.status == 403

    async def test_a_channel_address(self, twilio: Browser, message_id: UUID) -> None:
        """A callback to another kind of address is refused, not an error."""
        form = _status("sent", To=f"whatsapp:+{ANNA}")
        assert (await twilio.post(f"/twilio/status/{message_id}", form)).status == 404


class TestRefused:
    """What a refused webhook leaves: a STOP in it reached nobody."""

    async def test_counted_and_told(self, twilio: Browser) -> None:
        """Each refusal is counted by its reason; its line comes at most once a second."""
        before = await _refused(twilio)
        with capture_logs() as lines:
            for _ in range(3):
                await twilio.post("/twilio/inbound", STOP, token=None)
            await twilio.post("/twilio/inbound", STOP | {"Body": "x" * 70_000})
            await twilio.request("POST", "/twilio/inbound", body=b"\xff=\xff")
        after = await _refused(twilio)
        assert {why: after[why] - before.get(why, 0) for why in after} == {
            **dict.fromkeys(before, 0),
            "signature": 3,
            "too_large": 1,
            "unreadable": 1,
        }
        told = {line["why"] for line in lines if line["event"] == "webhook_refused"}
        assert told == {"signature", "too_large", "unreadable"}
        assert len(lines) < 5
        assert str(ANNA) not in str(lines)

    async def test_nobody_else_raises_alarms(self, bench: Bench, twilio: Browser) -> None:
        """What Twilio did not sign leaves no row, however much of it comes."""
        await twilio.post("/twilio/inbound", STOP, token=None)
        await twilio.request("POST", "/twilio/inbound", body=b"\xff=\xff")
        assert bench.value("SELECT count(*) FROM alarm") == 0

    async def test_an_unknown_account_raises_one_alarm(self, bench: Bench, twilio: Browser) -> None:
        """Signed texts for an account that no tenant has leave one alarm, with the SIDs."""
        form = STOP | {"AccountSid": OTHER_ACCOUNT}
        for _ in range(3):
            assert (await twilio.post("/twilio/inbound", form)).status == 404
        [alarm] = bench.execute("SELECT kind, detail FROM alarm")
        assert alarm.kind == "webhook_unknown_account"
        assert alarm.detail == {"sid": STOP["MessageSid"], "account_sid": OTHER_ACCOUNT}

    async def test_a_malformed_text_raises_one_alarm(self, bench: Bench, twilio: Browser) -> None:
        """Signed texts without a sender leave one alarm that says what is missing."""
        form = {name: value for name, value in STOP.items() if name != "From"}
        for _ in range(3):
            assert (await twilio.post("/twilio/inbound", form)).status == 400
        [alarm] = bench.execute("SELECT kind, detail FROM alarm")
        assert alarm.kind == "webhook_malformed"
        assert alarm.detail == {"webhook": "inbound", "what": "the field From is missing"}

    async def test_an_alarm_that_cannot_be_stored(self, bench: Bench, twilio: Browser) -> None:
        """The answer is the same while the alarm cannot be stored."""
        bench.execute("ALTER TABLE alarm RENAME TO elsewhere")
        form = {name: value for name, value in STOP.items() if name != "From"}
        assert (await twilio.post("/twilio/inbound", form)).status == 400


async def _refused(twilio: Browser) -> dict[str, int]:
    """The count of refused webhooks, by reason."""
    figures = (await twilio.request("GET", "/metrics")).body
    found = re.findall(r'^sender_webhooks_refused_total{why="(\w+)"} (\d+)', figures, re.MULTILINE)
    return {why: int(count) for why, count in found}


class TestNotChecked:
    """A signature that cannot be checked just now."""

    async def test_a_line_now_and_then(self, bench: Bench, twilio: Browser) -> None:
        """503, so that Twilio repeats; however many come, the log does not grow with them."""
        bench.execute("ALTER TABLE tenant RENAME TO elsewhere")
        with capture_logs() as lines:
            for _ in range(20):
                answer = await twilio.post("/twilio/inbound", STOP | {"AccountSid": OTHER_ACCOUNT})
                assert answer.status == 503
        assert [line["event"] for line in lines] == ["signature_not_checked"]


class TestDistrust:
    """Nothing is signed as it should be."""

    async def test_one_alert_an_hour(self, bench: Bench, database_url: str, redis_url: str) -> None:
        """It says that it can be a wrong token or somebody's forgery, however many processes."""
        settings = settings_at(database_url, redis_url, TWILIO_AUTH_TOKEN="7" * 32)
        for _ in range(2):
            async with running(create_app(settings=lambda: settings)) as twilio:
                for _ in range(3 * ENOUGH):
                    assert (await twilio.post("/twilio/inbound", STOP)).status == 403
        assert bench.value("SELECT count(*) FROM alert") == 1
        kind, what = bench.execute("SELECT kind, detail ->> 'what' FROM alert")[0]
        assert kind == "webhooks_refused"
        assert "token" in what
        assert "forges" in what

    async def test_not_while_twilio_is_heard(self, bench: Bench, twilio: Browser) -> None:
        """Forged requests raise none while good ones come."""
        assert (await twilio.post("/twilio/inbound", STOP)).status == 200
        for _ in range(3 * ENOUGH):
            await twilio.post("/twilio/inbound", STOP, token="8" * 32)
        assert bench.value("SELECT count(*) FROM alert") == 0

    async def test_an_alert_that_cannot_be_stored(self, bench: Bench, twilio: Browser) -> None:
        """Costs no request its answer."""
        bench.execute("ALTER TABLE alert RENAME TO elsewhere")
        for _ in range(2 * ENOUGH):
            assert (await twilio.post("/twilio/inbound", STOP, token="8" * 32)).status == 403


class TestOperating:
    """What operators call."""

    async def test_healthy_and_ready(self, twilio: Browser) -> None:
        """With its database at hand the process is alive and ready."""
        assert (await twilio.request("GET", "/healthz")).status == 200
        assert (await twilio.request("GET", "/readyz")).status == 200

    async def test_an_older_schema(self, bench: Bench, twilio: Browser) -> None:
        """A database that this release must not work on makes it not ready."""
        bench.execute("UPDATE alembic_version SET version_num = '0001'")
        assert (await twilio.request("GET", "/readyz")).status == 503

    async def test_a_newer_schema(self, bench: Bench, twilio: Browser) -> None:
        """A newer release that has migrated does not make the processes of this one unready."""
        bench.execute("UPDATE alembic_version SET version_num = 'next'")
        assert (await twilio.request("GET", "/readyz")).status == 200

    async def test_metrics_name_nobody(self, twilio: Browser) -> None:
        """The figures hold no number and no text."""
        await twilio.post("/twilio/inbound", STOP)
        answer = await twilio.request("GET", "/metrics")
        assert answer.status == 200
        assert str(ANNA) not in answer.body


class TestOwnWords:
    """Opt-outs that are no keyword, doubtful messages, and answers."""

    async def test_a_clear_one_goes_the_way_of_a_stop(self, bench: Bench, twilio: Browser) -> None:
        """Clear words are enforced before their webhook is answered, as a free-text opt-out."""
        campaign = bench.campaign(ANNA)
        answer = await twilio.post("/twilio/inbound", STOP | {"Body": "please stop texting me"})
        assert (answer.status, answer.body) == (200, TWIML_EMPTY)
        row = bench.row(campaign)
        assert (row.state, row.reason) == ("suppressed", "free_text")
        assert bench.value("SELECT enforced_at IS NOT NULL FROM enforcement")

    async def test_a_doubtful_one_is_answered_at_once(self, bench: Bench, twilio: Browser) -> None:
        """A doubtful message holds the person, though something to them is still under way."""
        campaign = bench.campaign(ANNA)
        bench.guard_all(campaign)
        answer = await twilio.post("/twilio/inbound", STOP | {"Body": "who is this?"})
        assert answer.status == 200
        assert bench.value("SELECT reason FROM suppression") == "review"

    async def test_the_answer_is_twiml(self, bench: Bench, twilio: Browser) -> None:
        """A sender's text stands in the TwiML, escaped, and without what XML cannot say."""
        with bench.db.transaction() as tx:
            text = "Bye <b>&\x0b \N{WAVING HAND SIGN}"
            replies.set_text(tx, bench.sender_id("72345"), ReplyEvent.STOP, text)
        answer = await twilio.post("/twilio/inbound", STOP | {"To": "72345"})
        said = ET.fromstring(answer.body).findtext("Message")  # noqa: S314  # our own answer
        assert said == "Bye <b>& \N{WAVING HAND SIGN}"

    async def test_all_of_a_stops_scopes_are_waited_for(
        self, bench: Bench, twilio: Browser
    ) -> None:
        """Kept per sender, a STOP to a pool is answered when service and number are enforced."""
        bench.execute("UPDATE tenant SET stop_scope = 'sender'")
        bench.sender_id()
        form = STOP | {"MessagingServiceSid": SERVICE}
        assert (await twilio.post("/twilio/inbound", form)).status == 200
        enforced = bench.execute("SELECT enforced_at IS NOT NULL AS done FROM enforcement")
        assert [row.done for row in enforced] == [True, True]
