"""HTTP answers in Twilio's shape, headers included."""

import json
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from sender.simulator.refusals import Refusal
from sender.simulator.simulator import Simulator

_encode = json.JSONEncoder(separators=(",", ":")).encode
_HTML_503 = b"<html><body><h1>503 Service Unavailable</h1></body></html>"


def read_form(raw: bytes) -> dict[str, str]:
    """A form body; blank values are kept, of repeated names the last one counts."""
    return dict(parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True))


def answer(simulator: Simulator, status: int, payload: Any, **headers: str) -> web.Response:
    """A JSON answer. aiohttp adds the ``Date`` header."""
    headers["Twilio-Concurrent-Requests"] = str(simulator.in_flight)
    return web.Response(
        status=status,
        body=_encode(payload).encode(),
        content_type="application/json",
        headers=headers,
    )


def refuse(simulator: Simulator, refusal: Refusal) -> web.Response:
    """An error answer; a 429 says when to come back."""
    if refusal.status != 429:
        return answer(simulator, refusal.status, refusal.as_json())
    retry_after = str(simulator.behaviour.retry_after_seconds)
    return answer(simulator, 429, refusal.as_json(), **{"Retry-After": retry_after})


def unavailable(simulator: Simulator) -> web.Response:
    """The HTML a load balancer gives when nothing is behind it."""
    return web.Response(
        status=503,
        body=_HTML_503,
        content_type="text/html",
        headers={"Twilio-Concurrent-Requests": str(simulator.in_flight)},
    )


def hang_up(request: web.Request) -> web.Response:
    """Close the connection; the returned response has nowhere to go."""
    if request.transport is not None:
        request.transport.close()
    return web.Response()
