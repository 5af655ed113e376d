"""A running simulator, an application that receives its webhooks, and the real Twilio SDK."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from inspect import isawaitable
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer
from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from sender.simulator import SimulatorConfig, create_app

NUMBER = "+15557770000"
SERVICE = "MG00000000000000000000000000000001"
POOL = ("+15557770001", "+15557770002")
PERSON = "+15551230001"

CONFIG = SimulatorConfig(
    account_sid="ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    auth_token="token",
    api_keys={"SKaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa": "secret"},
    numbers=(NUMBER,),
    services={SERVICE: POOL},
    sent_after_ms=1,
    delivered_after_ms=1,
    webhook_retry_ms=5,
)


@dataclass
class Received:
    """One webhook as it arrived."""

    path: str
    params: dict[str, str]
    token: str


@dataclass
class Application:
    """The other end of the webhooks: keeps them, and answers what it is told to."""

    auth_token: str
    received: list[Received] = field(default_factory=list)
    #: Statuses of the next answers; afterwards 200.
    answers: list[int] = field(default_factory=list)
    badly_signed: int = 0
    #: Cleared while requests shall wait for their answer.
    open: asyncio.Event = field(default_factory=asyncio.Event)

    async def receive(self, request: web.Request) -> web.Response:
        """Check the signature over the raw URL and the raw form, blank fields included."""
        body = (await request.read()).decode()
        params = dict(parse_qsl(body, keep_blank_values=True))
        url = f"http://{request.host}{request.raw_path}"
        signature = request.headers["X-Twilio-Signature"]
        if not RequestValidator(self.auth_token).validate(url, params, signature):
            self.badly_signed += 1
        token = request.headers["I-Twilio-Idempotency-Token"]
        self.received.append(Received(request.raw_path, params, token))
        if request.path == "/slow":
            await self.open.wait()
        return web.Response(status=self.answers.pop(0) if self.answers else 200)

    def statuses(self) -> list[str]:
        """The status callbacks, in order of arrival."""
        return [
            hook.params["MessageStatus"] for hook in self.received if "MessageStatus" in hook.params
        ]

    def texts(self) -> list[str]:
        """The bodies of inbound webhooks, in order of arrival."""
        return [hook.params["Body"] for hook in self.received if "Body" in hook.params]


@dataclass
class Rig:
    """Everything a test of the simulator needs."""

    url: str
    client: Client
    application: Application
    callback: str
    session: aiohttp.ClientSession

    async def control(self, method: str, path: str, payload: Any = None) -> Any:
        """Call the control API."""
        async with self.session.request(
            method, f"{self.url}/_simulator/{path}", json=payload
        ) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def create(self, to: str = PERSON, **params: Any) -> Any:
        """Create a message with the SDK."""
        if "messaging_service_sid" not in params:
            params.setdefault("from_", NUMBER)
        params.setdefault("body", "Hello")
        return await asyncio.to_thread(self.client.messages.create, to=to, **params)

    async def refused(self, to: str = PERSON, **params: Any) -> TwilioRestException:
        """Create a message that must be refused."""
        try:
            message = await self.create(to, **params)
        except TwilioRestException as refusal:
            return refusal
        raise AssertionError(f"{message.sid} was not refused")

    async def fetch(self, sid: str) -> Any:
        """Fetch a message with the SDK."""
        return await asyncio.to_thread(self.client.messages(sid).fetch)

    async def listed(self, **filters: Any) -> list[Any]:
        """List messages with the SDK, newest first."""
        return await asyncio.to_thread(self.client.messages.list, page_size=1000, **filters)

    async def log(self, kind: str | None = None) -> list[dict[str, Any]]:
        """The log, or one kind of entries of it."""
        entries = (await self.control("GET", "log"))["entries"]
        return [entry for entry in entries if kind in (None, entry["kind"])]

    async def until_status(self, sid: str, status: str) -> None:
        """Wait for a message to reach a status at the provider."""

        async def reached() -> bool:
            return (await self.fetch(sid)).status == status

        await until(reached)

    async def until_acknowledged(self, kind: str, count: int) -> None:
        """Wait until the simulator has logged so many acknowledged webhooks of a kind."""

        async def reached() -> bool:
            counts = (await self.control("GET", "stats"))["counts"]
            return counts.get(f"{kind}_acknowledged") == count

        await until(reached)

    async def text_in(self, body: str, **fields: Any) -> Any:
        """A person texts in; returns after the webhook's last attempt."""
        message = {"from": PERSON, "to": NUMBER, "body": body, "wait": True}
        return await self.control("POST", "inbound", message | fields)


async def until(condition: Callable[[], object]) -> None:
    """Wait for something, asked directly or by a coroutine, that must happen within 5 seconds."""
    async with asyncio.timeout(5):
        while True:
            answer = condition()
            if await answer if isawaitable(answer) else answer:
                return
            await asyncio.sleep(0.005)


@asynccontextmanager
async def simulated(**changes: Any) -> AsyncIterator[Rig]:
    """Run a simulator whose webhooks go to an application; every signature must be right."""
    application = Application(auth_token=CONFIG.auth_token)
    receiver = web.Application()
    receiver.router.add_post("/{path:.*}", application.receive)
    async with TestServer(receiver) as there, aiohttp.ClientSession() as session:
        inbound_url = str(there.make_url("/inbound"))
        config = replace(CONFIG, **{"inbound_url": inbound_url, **changes})
        async with TestServer(create_app(config)) as here:
            url = str(here.make_url("")).rstrip("/")
            http = TwilioHttpClient(timeout=5)
            client = Client(config.account_sid, config.auth_token, http_client=http)
            client.api.base_url = url
            callback = str(there.make_url("/status?message=7&b=%2B1&a="))
            try:
                yield Rig(url, client, application, callback, session)
            finally:
                application.open.set()
                http.session.close()
    assert application.badly_signed == 0
