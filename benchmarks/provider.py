"""The benches' Twilio, in a process of its own: ``python -m benchmarks.provider --port PORT``.

As lean as asyncio allows, so that it is never what a bench measures: it takes every create request
and answers it as Twilio does, after a given time; lists nothing, so that scrubs and pullers find
that nobody texted; and knows no message by its SID. What it was asked for it keeps (`History`).

Its own paths: ``GET /bench/report``, ``GET /bench/progress``, ``GET /bench/history`` (packed),
``POST /bench/reset`` (a JSON object of `Manners`), ``PUT /bench/suppressed`` (64-bit integers: whom
nobody may text). Where it stands in for the application (``/twilio/…``) it says thanks.
"""

import argparse
import asyncio
import json
import time
from array import array
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from random import Random
from urllib.parse import unquote, unquote_plus, unquote_to_bytes

from benchmarks.callbacks import Callbacks
from benchmarks.history import History
from sender.local.ports import LOOPBACK

_HEAD_END = b"\r\n\r\n"
_NOT_FOUND = {
    "code": 20404,
    "message": "The requested resource was not found",
    "more_info": "https://www.twilio.com/docs/errors/20404",
    "status": 404,
}
#: How often the busiest stretch is looked for.
_STRETCH_SECONDS = 0.1


@dataclass(frozen=True, kw_only=True)
class Manners:
    """How create requests are answered."""

    latency_ms: float = 0.0
    #: Up to so much more, evenly.
    jitter_ms: float = 0.0
    #: Whether messages are followed by their status callbacks.
    callbacks: bool = False


@dataclass(frozen=True, slots=True)
class _Create:
    """A create request that waits for its answer."""

    connection: "_Connection"
    number: int
    form: dict[bytes, bytes]


@dataclass
class Provider:
    """The account, and all that was asked of it."""

    callbacks: Callbacks
    manners: Manners = field(default_factory=Manners)
    history: History = field(default_factory=History)
    suppressed: frozenset[int] = frozenset()
    #: Every SID there ever was is another one, whatever is reset.
    created: int = 0
    answered: int = 0
    last_answered_at: float = 0.0
    most_in_flight: int = 0
    #: Answers of one latency fall due in the order of their requests: no timer for each.
    _due: deque[tuple[float, _Create]] = field(default_factory=deque)
    _chance: Random = field(default_factory=lambda: Random(6))
    _began_cpu: float = field(default_factory=time.process_time)

    def reset(self, manners: Manners) -> None:
        """Forget all requests, and answer like this from now on."""
        self.manners, self.history = manners, History()
        self.answered, self.most_in_flight, self.last_answered_at = 0, 0, 0.0
        self.callbacks.reset()
        self._began_cpu = time.process_time()

    def create(self, connection: "_Connection", body: bytes) -> None:
        """Take a create request."""
        form = dict(pair.split(b"=", 1) for pair in body.split(b"&"))
        self.history.add(int(form[b"To"].removeprefix(b"%2B")), form[b"Body"])
        self.created += 1
        self.most_in_flight = max(self.most_in_flight, len(self.history) - self.answered)
        request, manners = _Create(connection, self.created, form), self.manners
        if not manners.latency_ms:
            self._answer(request)
            return
        loop = asyncio.get_running_loop()
        if manners.jitter_ms:
            extra = self._chance.uniform(0, manners.jitter_ms)
            loop.call_later((manners.latency_ms + extra) / 1000, self._answer, request)
            return
        due = loop.time() + manners.latency_ms / 1000
        self._due.append((due, request))
        if len(self._due) == 1:
            loop.call_at(due, self._answer_due)

    def _answer_due(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._due and self._due[0][0] <= now:
            self._answer(self._due.popleft()[1])
        if self._due:
            loop.call_at(self._due[0][0], self._answer_due)

    def _answer(self, request: _Create) -> None:
        sid, form = b"SM%032x" % request.number, request.form
        request.connection.write(
            HTTPStatus.CREATED, _message(sid, request.connection.account, form)
        )
        self.answered += 1
        self.last_answered_at = time.time()
        url = form.get(b"StatusCallback")
        if self.manners.callbacks and url:
            told = {
                "AccountSid": request.connection.account,
                "ApiVersion": "2010-04-01",
                "From": unquote_plus(form.get(b"From", b"").decode()),
                "MessageSid": sid.decode(),
                "SmsSid": sid.decode(),
                "To": unquote(form[b"To"].decode()),
            }
            self.callbacks.follow(_decoded(url), told)

    def progress(self) -> dict[str, int]:
        """How many requests there were, and what became of the callbacks; cheap."""
        return {
            "asked": len(self.history),
            "answered": self.answered,
            "acknowledged": self.callbacks.acknowledged,
            "refused": self.callbacks.refused,
            "lost": self.callbacks.lost,
        }

    def report(self) -> dict[str, object]:
        """What a round needs to know; doubles and leaks are looked for now."""
        times = self.history.times
        cpu = time.process_time() - self._began_cpu
        return {
            "asked": len(self.history),
            "answered": self.answered,
            "doubles": self.history.doubles,
            "leaks": self.history.to(self.suppressed),
            "first_at": times[0] if times else 0.0,
            "last_asked_at": times[-1] if times else 0.0,
            "last_answered_at": self.last_answered_at,
            "most_in_flight": self.most_in_flight,
            "most_a_second": self.history.most_in(_STRETCH_SECONDS) / _STRETCH_SECONDS,
            "cpu_seconds": cpu,
            "callbacks": self.callbacks.report(),
            "manners": asdict(self.manners),
        }


class _Connection(asyncio.Protocol):
    """One connection of a client: requests in, answers out, in the order they fall due."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        #: Of the request before, hence of this one as well: a connection is one client's.
        self.account = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        while (end := buffer.find(_HEAD_END)) >= 0:
            head = bytes(buffer[:end])
            whole = end + len(_HEAD_END) + _content_length(head)
            if len(buffer) < whole:
                return
            body = bytes(buffer[end + len(_HEAD_END) : whole])
            del buffer[:whole]
            method, target, _ = head.split(b"\r\n", 1)[0].split(b" ", 2)
            self._take(method, target, body)

    def _take(self, method: bytes, target: bytes, body: bytes) -> None:
        if method == b"POST" and target.endswith(b"/Messages.json"):
            self.account = self.account or target.split(b"/")[3].decode()
            self._provider.create(self, body)
        elif target.startswith(b"/bench/"):
            self.write(HTTPStatus.OK, _control(self._provider, target, body))
        else:
            self.write(*_question(target.decode()))

    def write(self, status: HTTPStatus, body: bytes) -> None:
        """Answer a request, unless its client is gone."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(_head(status, len(body), int(time.time())) + body)


def _content_length(head: bytes) -> int:
    at = head.lower().find(b"content-length:")
    return int(head[at + 15 : at + 27].split(b"\r", 1)[0]) if at >= 0 else 0


@lru_cache(maxsize=1024)
def _head(status: HTTPStatus, length: int, second: int) -> bytes:
    date = formatdate(second, usegmt=True)
    return (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nDate: {date}\r\n"
        f"Content-Type: application/json;charset=utf-8\r\nContent-Length: {length}\r\n"
        "Twilio-Concurrent-Requests: 1\r\n\r\n"
    ).encode()


def _message(sid: bytes, account: str, form: dict[bytes, bytes]) -> bytes:
    """The Message resource, as long as Twilio's and with all that the SDK reads of it."""
    service = form.get(b"MessagingServiceSid")
    return _resource(account, form.get(b"From", b""), service, form[b"Body"], int(time.time())) % {
        b"sid": sid,
        b"to": form[b"To"].removeprefix(b"%2B"),
    }


@lru_cache(maxsize=4096)
def _resource(account: str, from_: bytes, service: bytes | None, body: bytes, now: int) -> bytes:
    date = formatdate(now).replace("-0000", "+0000")
    text = {
        "account_sid": account,
        "api_version": "2010-04-01",
        "body": unquote_to_bytes(body.replace(b"+", b" ")).decode(),
        "date_created": date,
        "date_sent": None,
        "date_updated": date,
        "direction": "outbound-api",
        "error_code": None,
        "error_message": None,
        "from": None if service else _decoded(from_),
        "messaging_service_sid": _decoded(service) if service else None,
        "num_media": "0",
        "num_segments": "1",
        "price": None,
        "price_unit": "USD",
        "sid": "\0sid",
        "status": "accepted" if service else "queued",
        "subresource_uris": {"media": f"/2010-04-01/Accounts/{account}/\0sid/Media.json"},
        "to": "+\0to",
        "uri": f"/2010-04-01/Accounts/{account}/Messages/\0sid.json",
    }
    found = json.dumps(text).encode().replace(b"%", b"%%")
    return found.replace(b"\\u0000sid", b"%(sid)b").replace(b"\\u0000to", b"%(to)b")


def _decoded(value: bytes) -> str:
    return unquote_plus(value.decode())


def _question(target: str) -> tuple[HTTPStatus, bytes]:
    """Lists are empty, and whatever is asked for by its SID is not there."""
    path = target.partition("?")[0]
    if path.endswith("/Messages.json"):
        page = {"uri": target, "first_page_uri": target, "next_page_uri": None, "page_size": 1000}
        return HTTPStatus.OK, json.dumps({**page, "page": 0, "messages": []}).encode()
    if path.startswith("/twilio/"):
        return HTTPStatus.NO_CONTENT, b""
    if path.endswith("/Alerts"):
        meta = {"key": "alerts", "url": target, "next_page_url": None, "page": 0, "page_size": 50}
        return HTTPStatus.OK, json.dumps({"alerts": [], "meta": meta}).encode()
    return HTTPStatus.NOT_FOUND, json.dumps(_NOT_FOUND).encode()


def _control(provider: Provider, target: bytes, body: bytes) -> bytes:
    ways: dict[bytes, Callable[[], bytes]] = {
        b"/bench/report": lambda: json.dumps(provider.report()).encode(),
        b"/bench/progress": lambda: json.dumps(provider.progress()).encode(),
        b"/bench/history": provider.history.packed,
        b"/bench/reset": lambda: _reset(provider, body),
        b"/bench/suppressed": lambda: _suppress(provider, body),
    }
    return ways[target]()


def _reset(provider: Provider, body: bytes) -> bytes:
    provider.reset(Manners(**json.loads(body or b"{}")))
    return b"{}"


def _suppress(provider: Provider, body: bytes) -> bytes:
    provider.suppressed = frozenset(array("Q", body))
    return b"{}"


async def serve(port: int, token: str) -> None:
    """Be the provider until the process is ended."""
    provider = Provider(callbacks=Callbacks(token=token))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(provider), LOOPBACK, port, backlog=4096)
    await server.serve_forever()


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--token", default="token", help="signs the status callbacks")
    given = parser.parse_args()
    asyncio.run(serve(given.port, given.token))


if __name__ == "__main__":
    main()
