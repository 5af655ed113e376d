"""Whatever is posted to the webhook app: never an error of ours, never 200 for what is unsigned."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from multidict import MultiDict
from schemathesis import Case, GenerationMode
from twilio.request_validator import (  # type: ignore[import-untyped]  # the SDK ships no types
    RequestValidator,
)

from tests.bench import ACCOUNT, OTHER_ACCOUNT, SENDER, SERVICE, Bench
from tests.browser import BASE, TOKEN, Answer, Browser, running, settings_at
from workers.webhooks import create_app

EXAMPLES = settings(
    max_examples=120,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
_TEXT = {"type": "string"}
_PERSON = {"type": "string", "pattern": r"^\+1[2-9][0-9]{9}$"}
_FIELDS = {
    "MessageSid": {"anyOf": [{"type": "string", "pattern": "^SM[0-9a-f]{32}$"}, _TEXT]},
    "AccountSid": {"enum": [ACCOUNT, OTHER_ACCOUNT, "AC\0", "AC" * 99]},
    "From": {"anyOf": [_PERSON, _TEXT]},
    "To": {"enum": [SENDER, "72345", "whatsapp:+14155550001"]},
    "Body": {"anyOf": [{"enum": ["STOP", "Start", "help", "stop texting me", ""]}, _TEXT]},
    "OptOutType": {"enum": ["STOP", "START", "HELP", "", "stop"]},
    "MessagingServiceSid": {"enum": [SERVICE, ""]},
    "NumMedia": {"anyOf": [{"type": "integer"}, _TEXT]},
    "ErrorCode": {"anyOf": [{"type": "integer"}, _TEXT]},
    "MessageStatus": {"anyOf": [{"enum": ["sent", "delivered", "failed", "undelivered"]}, _TEXT]},
}
_REQUIRED = ["MessageSid", "AccountSid", "From", "To"]
#: What Twilio sends us, as far as the app promises anything about it.
_FORM = {"type": "object", "properties": _FIELDS, "required": _REQUIRED}
_BODY = {"content": {"application/x-www-form-urlencoded": {"schema": _FORM}}}
_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}
_POST = {"requestBody": _BODY, "responses": {"default": {"description": "an answer"}}}
SCHEMA = schemathesis.openapi.from_dict(
    {
        "openapi": "3.0.3",
        "info": {"title": "What Twilio calls", "version": "1"},
        "paths": {
            "/twilio/inbound": {"post": _POST},
            "/twilio/fallback": {"post": _POST},
            "/twilio/status/{id}": {"post": {**_POST, "parameters": [_ID]}},
        },
    }
)
#: What Twilio sends, and what nobody should.
CASES = SCHEMA.as_strategy(GenerationMode.POSITIVE) | SCHEMA.as_strategy(GenerationMode.NEGATIVE)


@dataclass(frozen=True)
class Door:
    """The app, for tests that Hypothesis runs many times over."""

    runner: asyncio.Runner
    browser: Browser

    def post(self, case: Case, *, signed: bool) -> Answer:
        """Send a generated request, signed over what it is in the end, or not."""
        prepared = requests.Request(**case.as_transport_kwargs(base_url="http://x")).prepare()
        parts = urlsplit(str(prepared.url))
        body = prepared.body or b""
        raw = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else bytes(body)
        headers = {name.lower(): value for name, value in prepared.headers.items()}
        if signed:
            url = f"{BASE}{parts.path}{'?' + parts.query if parts.query else ''}"
            headers["x-twilio-signature"] = _signature(url, raw)
        return self.send(str(prepared.method), parts.path, raw, headers, parts.query)

    def send(
        self, method: str, path: str, body: bytes, headers: dict[str, str], query: str = ""
    ) -> Answer:
        """Send anything."""
        asked = self.browser.request(method, path, body=body, headers=headers, query=query)
        return self.runner.run(asked)


def _signature(url: str, raw: bytes) -> str:
    """Twilio's, over the fields as they can be read."""
    text = raw.decode("utf-8", "replace")
    fields = MultiDict(parse_qsl(text, keep_blank_values=True, errors="replace"))
    return str(RequestValidator(TOKEN).compute_signature(url, fields))


@pytest.fixture
def door(bench: Bench, database_url: str, redis_url: str) -> Iterator[Door]:
    """The app over a fresh database."""
    app = create_app(settings=lambda: settings_at(database_url, redis_url))
    with asyncio.Runner() as runner:
        context = running(app)
        browser = runner.run(context.__aenter__())
        try:
            yield Door(runner, browser)
        finally:
            runner.run(context.__aexit__(None, None, None))


@given(case=CASES)
@EXAMPLES
def test_signed(door: Door, case: Case) -> None:
    """Signed, whatever it says: taken, or refused for a reason; no error of ours, no redirect."""
    assert door.post(case, signed=True).status in {200, 204, 400, 404, 405, 413}


@given(case=CASES)
@EXAMPLES
def test_unsigned(door: Door, bench: Bench, case: Case) -> None:
    """Not signed: refused, and nothing is left of it."""
    assert door.post(case, signed=False).status in {400, 403, 404, 405, 413}
    assert bench.value("SELECT count(*) FROM inbound") == 0


@given(
    method=st.sampled_from(["POST", "GET", "PUT", "PATCH", "X"]),
    path=st.sampled_from(["/twilio/inbound", "/twilio/fallback", f"/twilio/status/{SERVICE}"])
    | st.text(st.characters(max_codepoint=255), max_size=40).map(lambda rest: f"/twilio/{rest}"),
    body=st.binary(max_size=2_000),
    kind=st.sampled_from(["", "application/json", "text/xml", "application/x-www-form-urlencoded"]),
    signature=st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40),
    query=st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40),
)
@EXAMPLES
def test_garbage(  # noqa: PLR0913, PLR0917  # a request has as many parts
    door: Door, method: str, path: str, body: bytes, kind: str, signature: str, query: str
) -> None:
    """Bytes that are no request of anybody's: refused."""
    headers = {"content-type": kind, "x-twilio-signature": signature}
    status = door.send(method, path, body, headers, query).status
    assert status in {400, 403, 404, 405, 413}
