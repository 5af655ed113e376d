"""The SDK's transport: pooled connections, absolute deadlines, no retries, no redirects.

Why not the SDK's own: its connector stops at 100 connections, its ``timeout`` has no effect, its
``max_retries`` re-POSTs on 5xx (a double-send machine), it logs recipients at INFO, and its client
takes five times the CPU for a request.

The question every failed exchange must answer is *was the request begun?* Exception classes
cannot tell (a plain ``TimeoutError`` may come from either side), so the exchange is told right
before the first byte is written, by the same call that looks at the clock. Before it, not one byte
was written; after it, nobody knows.
"""

import asyncio
from base64 import b64encode
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from logging import getLogger
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote_plus, urlencode, urlsplit

from twilio.http import AsyncHttpClient  # type: ignore[import-untyped]  # the SDK ships no types
from twilio.http.response import Response  # type: ignore[import-untyped]

from sender.gateway.pool import Origin, Pool
from sender.send_clock import send_clock

#: Loggers of the SDK that write recipients' numbers at INFO; keep them at WARNING.
RECIPIENT_LOGGERS: Final = ("twilio.async_http_client", "twilio.http_client")

_PORTS: Final = {"http": 80, "https": 443}
#: How ASCII stands in a form, by code point.
_IN_A_FORM: Final = {code: quote_plus(chr(code)) for code in range(128)}


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One request and its answer: limits going in, facts coming out.

    Requests of a task belong to the exchange that they are made within (``with``, once): the SDK
    has no per-call limits and hides statuses and headers. Times without a zone are seconds by the
    send clock.
    """

    #: After this moment the request is not begun any more.
    connect_by: float
    #: After this moment nothing is waited for.
    deadline: float
    #: Wall clock (UTC) when a connection was in hand, right before writing; ``None``: not begun.
    begun_at: datetime | None = None
    #: Wall clock (UTC) when the status line and headers had arrived.
    answered_at: datetime | None = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Whether we found its time over before anything was written: no fault of the provider's.
    is_too_late: bool = False
    clock: Callable[[], float] = send_clock
    _outer: Token["Exchange"] = field(init=False, repr=False, compare=False)

    def __enter__(self) -> Self:
        """The requests that this task makes from now on belong to it."""
        self._outer = _current.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        """No more do."""
        _current.reset(self._outer)

    def begin(self) -> None:
        """The next thing that happens is that the request is written.

        Raises:
            TimeoutError: it is too late (the loop was busy, the host slept): write nothing.
        """
        self.left_to_begin()
        self.begun_at = datetime.now(UTC)

    def left_to_begin(self) -> float:
        """Seconds in which the request may still be begun.

        Raises:
            TimeoutError: none are left, and it was not begun.
        """
        left = min(self.connect_by, self.deadline) - self.clock()
        if left <= 0:
            self.is_too_late = True
            raise TimeoutError
        return left

    def answered(self, status: int, headers: Mapping[str, str]) -> None:
        """The status line and headers have arrived; the body may still fail."""
        self.answered_at = datetime.now(UTC)
        self.status, self.headers = status, headers


_current: ContextVar[Exchange] = ContextVar("exchange")


class LeanHttpClient(AsyncHttpClient):  # type: ignore[misc]  # untyped base class
    """The SDK's HTTP client; use it inside one event loop and close it.

    Every request must be made within an `Exchange`. No redirect is followed, and no request is
    ever made a second time.
    """

    def __init__(self, *, max_connections: int = 0) -> None:
        """Open nothing yet; ``max_connections`` 0 means as many as are asked for."""
        super().__init__(getLogger(__name__), True)
        self._pool = Pool(limit=max_connections)

    async def request(  # the SDK's signature
        self,
        method: str,
        url: str,
        params: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        **_sdk_options: object,
    ) -> Response:
        """Make one request; raises `OSError` or `UnreadableAnswerError`."""
        current = _current.get()
        origin, host, target = _split(url)
        body = None if data is None else _form(data)
        # Encoded once, here: a page token from Twilio has to go back exactly as it came.
        query = f"{'&' if '?' in target else '?'}{urlencode(params, doseq=True)}" if params else ""
        about = (("Host", host), *(headers or {}).items(), *_authorization(auth))
        request = _written(f"{method} {target}{query} HTTP/1.1", about, body)
        connection = await self._pool.take(origin, within=current.left_to_begin())
        try:
            current.begin()
            # No await from here on: this writes.
            answer = connection.ask(request, current.answered)
            limit = current.deadline - current.clock()
            timer = answer.get_loop().call_later(limit, connection.give_up)
            try:
                said = await answer
            finally:
                timer.cancel()
        finally:
            self._pool.give_back(origin, connection)
        return Response(said.status, said.body.decode("utf-8", "replace"), said.headers)

    async def close(self) -> None:
        """Close every connection."""
        self._pool.close()
        # One turn of the loop lets the transports finish closing.
        await asyncio.sleep(0)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


@lru_cache(maxsize=256)
def _split(url: str) -> tuple[Origin, str, str]:
    """Where a URL leads, its ``Host`` header, and its target.

    Raises:
        ValueError: it is no http(s) URL, or one that cannot be written down.
    """
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("not an http(s) URL")
    origin = Origin(parts.scheme == "https", parts.hostname, parts.port or _PORTS[parts.scheme])
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not target.isascii() or any(ord(char) <= ord(" ") for char in target):
        raise ValueError("a URL with characters that are not encoded")
    return origin, parts.netloc.rpartition("@")[2], target


def _form(fields: Mapping[str, Any]) -> bytes:
    """What `urlencode` makes of them, which takes five times as long."""
    pairs = [
        f"{_quoted(name)}={_quoted(str(one))}"
        for name, value in fields.items()
        for one in (value if isinstance(value, list | tuple) else (value,))
    ]
    return "&".join(pairs).encode("ascii")


@lru_cache(maxsize=512)  # most fields are the same in all messages of a campaign
def _quoted(value: str) -> str:
    """What `quote_plus` makes of it."""
    return value.translate(_IN_A_FORM) if value.isascii() else quote_plus(value)


def _written(first: str, headers: tuple[tuple[str, str], ...], body: bytes | None) -> bytes:
    """A request as it goes out."""
    length = "" if body is None else f"Content-Length: {len(body)}\r\n"
    return f"{first}\r\n{_lines(headers)}{length}\r\n".encode("latin-1") + (body or b"")


@lru_cache(maxsize=256)  # they are the same in all messages of an account
def _lines(headers: tuple[tuple[str, str], ...]) -> str:
    """Headers as they go out.

    Raises:
        ValueError: one that would be more than one, or that is not Latin-1.
    """
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
    if lines.encode("latin-1").count(b"\n") != len(headers):
        raise ValueError("a header with a line break")
    return lines


@lru_cache(maxsize=256)
def _authorization(auth: tuple[str, str] | None) -> tuple[tuple[str, str], ...]:
    if auth is None:
        return ()
    return (("Authorization", "Basic " + b64encode(":".join(auth).encode()).decode("ascii")),)
