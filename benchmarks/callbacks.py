"""Status callbacks as Twilio posts them: signed, two a message, on a bounded number of connections.

Part of the benches' provider, hence as lean as that: kept connections, one request at a time on
each, answers read for their status only.
"""

import asyncio
import base64
import hashlib
import hmac
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import cast
from urllib.parse import urlencode, urlsplit

from benchmarks.percentiles import percentile

#: Requests under way at a time; Twilio has no small bound either.
CONNECTIONS = 64
#: When each status is told, in seconds after the answer to the create request.
STATUSES = (("sent", 0.02), ("delivered", 0.1))
_OK = range(200, 300)


@dataclass(frozen=True, slots=True)
class Callback:
    """One request to the application."""

    url: str
    fields: Mapping[str, str]


@dataclass
class Callbacks:
    """Posts what is due, in order; knows what became of it."""

    token: str
    connections: int = CONNECTIONS
    #: Answered with 2xx, with anything else, and not at all.
    acknowledged: int = 0
    refused: int = 0
    lost: int = 0
    #: Seconds from the first byte of each request to its answer, of the acknowledged ones.
    seconds: list[float] = field(default_factory=list)
    _waiting: deque[Callback] = field(default_factory=deque)
    _idle: list["_Connection"] = field(default_factory=list)
    _open: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def reset(self) -> None:
        """Forget what was counted, and whom it went to; what is under way goes on."""
        self.acknowledged = self.refused = self.lost = 0
        self.seconds.clear()
        while self._idle:  # the next ones may be for somebody else
            self._idle.pop().close()

    @property
    def waiting(self) -> int:
        """Callbacks that are due, and not answered yet."""
        return len(self._waiting) + self._open - len(self._idle)

    def report(self) -> dict[str, float]:
        """What became of them so far, and how long answers took."""
        calls = sorted(self.seconds)
        return {
            "acknowledged": self.acknowledged,
            "refused": self.refused,
            "lost": self.lost,
            "waiting": self.waiting,
            "p50_ms": percentile(calls, 0.5) * 1000,
            "p99_ms": percentile(calls, 0.99) * 1000,
        }

    def follow(self, url: str, fields: Mapping[str, str]) -> None:
        """Post a message's callbacks, each at its time; a fragment is neither sent nor signed."""
        loop, url = asyncio.get_running_loop(), url.partition("#")[0]
        for status, delay in STATUSES:
            told = {**fields, "MessageStatus": status, "SmsStatus": status}
            loop.call_later(delay, self.post, Callback(url, told))

    def post(self, callback: Callback) -> None:
        """Post one as soon as a connection is free."""
        if self._idle:
            self._idle.pop().post(callback)
            return
        self._waiting.append(callback)
        if self._open < self.connections:
            self._open += 1
            task = asyncio.create_task(self._connect(callback.url))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connect(self, url: str) -> None:
        address = urlsplit(url)
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(
                partial(_Connection, self), address.hostname or "", address.port or 80
            )
        except OSError:
            self._open -= 1
            self.lost += bool(self._waiting)
            if self._waiting:
                self._waiting.popleft()
            return
        self.is_free(connection)

    def is_free(self, connection: "_Connection") -> None:
        """Give a connection its next request."""
        if self._waiting:
            connection.post(self._waiting.popleft())
        else:
            self._idle.append(connection)

    def is_gone(self, connection: "_Connection", *, busy: bool) -> None:
        """A connection was closed by the other side."""
        self._open -= 1
        self.lost += busy
        if connection in self._idle:
            self._idle.remove(connection)

    def answered(self, status: int, seconds: float) -> None:
        """Count an answer."""
        if status in _OK:
            self.acknowledged += 1
            self.seconds.append(seconds)
        else:
            self.refused += 1


class _Connection(asyncio.Protocol):
    """One kept connection to the application."""

    def __init__(self, owner: Callbacks) -> None:
        self._owner = owner
        self._buffer = b""
        #: When the request under way began; ``None`` when there is none.
        self._began: float | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def post(self, callback: Callback) -> None:
        """Write one request."""
        assert self._transport is not None
        self._began = time.perf_counter()
        self._transport.write(_request(self._owner.token, callback))

    def close(self) -> None:
        """Close it."""
        assert self._transport is not None
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found or len(body) < _length(head) or self._began is None:
            return
        took, self._began, self._buffer = time.perf_counter() - self._began, None, b""
        self._owner.answered(int(head.split(b" ", 2)[1]), took)
        self._owner.is_free(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's
        self._owner.is_gone(self, busy=self._began is not None)


def _request(token: str, callback: Callback) -> bytes:
    address = urlsplit(callback.url)
    body = urlencode(callback.fields).encode()
    head = (
        f"POST {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\n"
        "Content-Type: application/x-www-form-urlencoded; charset=UTF-8\r\n"
        "User-Agent: TwilioProxy/1.1\r\n"
        f"X-Twilio-Signature: {signature(token, callback)}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def signature(token: str, callback: Callback) -> str:
    """Twilio's: https://www.twilio.com/docs/usage/webhooks/webhooks-security."""
    fields = callback.fields
    signed = callback.url + "".join(f"{name}{fields[name]}" for name in sorted(fields))
    digest = hmac.new(token.encode(), signed.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line[15:])
    return 0
