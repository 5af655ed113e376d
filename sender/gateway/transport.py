"""The SDK's transport: one pooled aiohttp session, absolute deadlines, no retries.

Why not the SDK's own: its connector stops at 100 connections, its ``timeout`` has no effect, its
``max_retries`` re-POSTs on 5xx (a double-send machine), and it logs recipients at INFO.

The question every failed exchange must answer is *was the request begun?* Exception classes
cannot tell (a plain ``TimeoutError`` may come from either side), so the connector marks the
moment a connection is handed over. Before it, not one byte was written; after it, nobody knows,
unless the request itself says that it came too late to be written.
"""

import asyncio
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from logging import getLogger
from types import TracebackType
from typing import Any, Final, NoReturn, Self
from urllib.parse import urlencode

from aiohttp import (
    ClientRequest,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
)
from aiohttp.abc import AbstractStreamWriter
from aiohttp.connector import Connection
from aiohttp.tracing import Trace
from twilio.http import AsyncHttpClient  # type: ignore[import-untyped]  # the SDK ships no types
from twilio.http.response import Response  # type: ignore[import-untyped]
from yarl import URL

from sender.send_clock import send_clock

#: Loggers of the SDK that write recipients' numbers at INFO; keep them at WARNING.
RECIPIENT_LOGGERS: Final = ("twilio.async_http_client", "twilio.http_client")

#: Shorter than the idle time-outs in front of Twilio, so that a request is rarely written to a
#: connection the other side has just closed: such a message would be in doubt.
_KEEPALIVE_SECONDS: Final = 15.0
_DNS_TTL_SECONDS: Final = 60
#: aiohttp rounds longer time-outs up to whole seconds; ours are promises.
_NEVER_ROUND: Final = 86_400.0


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One request and its answer: limits going in, facts coming out.

    Times without a zone are seconds by the send clock.
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

    def begin(self) -> None:
        """A connection is in hand.

        Raises:
            TimeoutError: it came too late, for example because the loop was busy.
        """
        self.check()
        self.begun_at = datetime.now(UTC)

    def check(self) -> None:
        """Look at the clock while nothing is written yet.

        Raises:
            TimeoutError: the request may not be begun any more, and was not.
        """
        if self.clock() > self.connect_by:
            self._is_over()

    def _is_over(self) -> NoReturn:
        self.is_too_late, self.begun_at = True, None
        raise TimeoutError

    def answered(self, response: ClientResponse) -> None:
        """The status line and headers have arrived; the body may still fail."""
        self.answered_at = datetime.now(UTC)
        self.status = response.status
        self.headers = response.headers

    def timeout(self) -> ClientTimeout:
        """What is left, in aiohttp's terms; ``connect`` covers pool wait, DNS, TCP and TLS.

        Raises:
            TimeoutError: nothing is left (aiohttp would read zero as "no limit").
        """
        now = self.clock()
        if now >= self.connect_by or now >= self.deadline:
            self._is_over()
        return ClientTimeout(
            total=self.deadline - now,
            connect=self.connect_by - now,
            ceil_threshold=_NEVER_ROUND,
        )


_current: ContextVar[Exchange] = ContextVar("exchange")


@contextmanager
def exchange(
    *, connect_by: float, deadline: float, clock: Callable[[], float] = send_clock
) -> Iterator[Exchange]:
    """Make an exchange the one that requests of this task belong to.

    The SDK has no per-call limits and hides statuses and headers, hence the way around it.
    """
    current = Exchange(connect_by=connect_by, deadline=deadline, clock=clock)
    token = _current.set(current)
    try:
        yield current
    finally:
        _current.reset(token)


class _MarkingConnector(TCPConnector):
    """Tells the exchange when its connection is in hand."""

    async def connect(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: ClientTimeout,  # noqa: ASYNC109  # aiohttp's signature
    ) -> Connection:
        connection = await super().connect(req, traces, timeout)
        try:
            _current.get().begin()
        except TimeoutError:
            connection.release()
            raise
        return connection


class _PunctualRequest(ClientRequest):
    """Looks at the clock once more where the first byte is written.

    Python 3.11 writes a turn of the loop after the connection is in hand, and a host can be
    suspended in between. What has no body is a question: it changes nothing, however late it is.
    """

    async def write_bytes(
        self,
        writer: AbstractStreamWriter,
        conn: Connection,
        content_length: int | None = None,
    ) -> None:
        """Write headers and body, or nothing."""
        try:
            _current.get().check()
        except TimeoutError as late:
            if conn.protocol is not None:
                conn.protocol.set_exception(late)
            return
        # No await from here on: this writes.
        await super().write_bytes(writer, conn, content_length)


class LeanHttpClient(AsyncHttpClient):  # type: ignore[misc]  # untyped base class
    """The SDK's HTTP client; build it inside a running loop and close it.

    Every request must be made within :func:`exchange`. Redirects are never followed and a POST
    is never repeated (aiohttp itself repeats a GET once, on a connection found dead).
    """

    def __init__(self, *, max_connections: int = 0) -> None:
        """Open the session; ``max_connections`` 0 means as many as are asked for."""
        super().__init__(getLogger(__name__), True)
        self._session = ClientSession(
            connector=_MarkingConnector(
                limit=max_connections,
                keepalive_timeout=_KEEPALIVE_SECONDS,
                ttl_dns_cache=_DNS_TTL_SECONDS,
            ),
            request_class=_PunctualRequest,
            cookie_jar=DummyCookieJar(),
            trust_env=False,
        )

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
        """Make one request; raises aiohttp's errors, ``OSError`` or ``TimeoutError``."""
        current = _current.get()
        async with self._session.request(
            method,
            _target(url, params),
            data=None if data is None else _form(data),
            headers=_with_auth(headers, auth),
            allow_redirects=False,
            timeout=current.timeout(),
        ) as response:
            current.answered(response)
            text = (await response.read()).decode("utf-8", "replace")
        return Response(response.status, text, response.headers)

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()
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


def _form(fields: Mapping[str, Any]) -> bytes:
    return urlencode(fields, doseq=True).encode("ascii")


def _target(url: str, params: Mapping[str, Any] | None) -> URL:
    # Encoded once, here: a page token from Twilio has to go back exactly as it came.
    query = f"?{urlencode(params, doseq=True)}" if params else ""
    return URL(url + query, encoded=True)


def _with_auth(headers: Mapping[str, str] | None, auth: tuple[str, str] | None) -> dict[str, str]:
    sent = dict(headers or {})
    if auth is not None:
        sent["Authorization"] = "Basic " + b64encode(":".join(auth).encode()).decode("ascii")
    return sent
