"""Whoever calls the webhook app, driven as an ASGI server drives it, signing as Twilio signs."""

import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.applications import Starlette
from twilio.request_validator import (  # type: ignore[import-untyped]  # the SDK ships no types
    RequestValidator,
)

from sender.config import Settings
from tests.bench import ACCOUNT

TOKEN = "4" * 32
BASE = "https://sms.example.com/hooks"


def settings_at(database_url: str, redis_url: str, **variables: str) -> Settings:
    """The app's settings, with these servers and variables."""
    return Settings.from_variables(
        {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "TWILIO_ACCOUNT_SID": ACCOUNT,
            "TWILIO_AUTH_TOKEN": TOKEN,
            "PUBLIC_BASE_URL": BASE,
            **variables,
        }
    )


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A response."""

    status: int
    headers: dict[str, str]
    body: str


@dataclass(frozen=True, kw_only=True)
class Browser:
    """What calls the app, Twilio or somebody else."""

    app: Starlette
    state: Mapping[str, Any]

    async def post(
        self,
        path: str,
        form: Mapping[str, str] | list[tuple[str, str]],
        *,
        token: str | None = TOKEN,
        query: str = "",
    ) -> Answer:
        """Post a form, signed unless there is no token."""
        url = f"{BASE}{path}{'?' + query if query else ''}"
        headers = {"content-type": "application/x-www-form-urlencoded"}
        if token is not None:
            signature = RequestValidator(token).compute_signature(url, dict(form))
            headers["x-twilio-signature"] = signature
        body = urlencode(form).encode()
        return await self.request("POST", path, body=body, headers=headers, query=query)

    async def post_json(self, path: str, content: object, *, token: str | None = TOKEN) -> Answer:
        """Post JSON, signed over its hash unless there is no token."""
        body = json.dumps(content).encode()
        query = f"bodySHA256={hashlib.sha256(body).hexdigest()}"
        headers = {"content-type": "application/json"}
        if token is not None:
            url = f"{BASE}{path}?{query}"
            headers["x-twilio-signature"] = RequestValidator(token).compute_signature(url, {})
        return await self.request("POST", path, body=body, headers=headers, query=query)

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        query: str = "",
    ) -> Answer:
        """One request through the app."""
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(k.encode(), v.encode()) for k, v in (headers or {}).items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "state": dict(self.state),
        }
        incoming = iter([{"type": "http.request", "body": body, "more_body": False}])
        outgoing: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return next(incoming, {"type": "http.disconnect"})

        async def send(message: dict[str, Any]) -> None:
            outgoing.append(message)

        await self.app(scope, receive, send)  # type: ignore[arg-type]  # plain dicts will do
        return Answer(
            status=outgoing[0]["status"],
            headers={k.decode(): v.decode() for k, v in outgoing[0]["headers"]},
            body=b"".join(part.get("body", b"") for part in outgoing[1:]).decode(),
        )


@asynccontextmanager
async def running(app: Starlette) -> AsyncIterator[Browser]:
    """The app between startup and shutdown."""
    async with app.router.lifespan_context(app) as state:
        yield Browser(app=app, state=state or {})
