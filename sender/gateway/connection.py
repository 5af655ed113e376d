"""One connection to the provider: a request written, its whole answer read, one at a time.

`httptools` (Node's and uvicorn's parser) reads the answers; asyncio has the socket and TLS. What is
ours is who waits for which answer, and what makes a connection unfit for another request.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from multidict import CIMultiDict

#: Of an answer's status line and headers; what is longer is none of Twilio's.
_LARGEST_HEAD: Final = 65_536
#: Of an answer, trailers and all: a page of 1,000 messages has about 2 MB.
_LARGEST: Final = 64 * 2**20
#: Statuses below are news on the way to the answer (RFC 9110 15.2).
_FIRST_FINAL: Final = 200
_SWITCHING: Final = 101


class UnreadableAnswerError(Exception):
    """What came back is not HTTP, or no answer to what was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A complete answer."""

    status: int
    #: By name in any case.
    headers: Mapping[str, str]
    body: bytes


class Connection(asyncio.Protocol):
    """One connection, for one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Answer] | None = None
        self._told: Callable[[int, Mapping[str, str]], None] | None = None
        self._parser = HttpResponseParser(self)
        self._is_fit = True
        self._forget()

    def _forget(self) -> None:
        self._status = 0
        self._headers: CIMultiDict[str] = CIMultiDict()
        self._body: list[bytes] = []
        self._size = 0
        self._has_head = False

    @property
    def is_fit(self) -> bool:
        """Whether another request may be made on it: it is open, and nothing is awaited."""
        transport = self._transport
        is_open = transport is not None and not transport.is_closing()
        return self._is_fit and is_open and self._waiter is None

    def ask(
        self, request: bytes, told: Callable[[int, Mapping[str, str]], None]
    ) -> asyncio.Future[Answer]:
        """Write a request now, in this very call; its answer.

        Args:
            request: the whole request.
            told: called with status and headers as soon as they are there.

        The answer raises `ConnectionError` where the connection was lost, `UnreadableAnswerError`
        where what came is no answer.
        """
        if self._transport is None or self._waiter is not None:
            raise RuntimeError("a connection takes one request at a time, while it is open")
        self._forget()
        self._told = told
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._waiter

    def give_up(self) -> None:
        """Wait no longer for the answer: it raises `TimeoutError`."""
        self._fail(TimeoutError())

    def drop(self) -> None:
        """Close it at once, whatever it is in the middle of."""
        self._is_fit = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The event loop's: it is open."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """The event loop's: something came."""
        if self._waiter is None:  # whoever asks next must not take it for their answer
            self.drop()
            return
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as exc:
            self._fail(UnreadableAnswerError(type(exc).__name__))
            return
        self._size += len(data)
        if self._size > (_LARGEST if self._has_head else _LARGEST_HEAD):
            self._fail(UnreadableAnswerError("too large"))

    def eof_received(self) -> None:
        """The event loop's: the other side says no more. TLS is open for some turns after that."""
        self._is_fit = False

    def connection_lost(self, exc: Exception | None) -> None:
        """The event loop's: it is gone."""
        self._transport = None
        if self._has_head and exc is None and self._ends_with_the_connection:
            self._finish()
        else:
            self._fail(exc if isinstance(exc, OSError) else ConnectionResetError("closed"))

    def on_header(self, name: bytes, value: bytes) -> None:
        """The parser's: a header, or one of the trailers, which say nothing to us."""
        if not self._has_head:
            self._headers.add(name.decode("latin-1"), value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        """The parser's: the status line and headers are there."""
        self._status = self._parser.get_status_code()
        if self._status >= _FIRST_FINAL and self._told is not None:
            self._has_head = True
            self._told(self._status, self._headers)

    def on_body(self, body: bytes) -> None:
        """The parser's: a piece of the body."""
        self._body.append(body)

    def on_message_begin(self) -> None:
        """The parser's: an answer begins; a second one to one request makes us distrust both."""
        if self._has_head:
            self._is_fit = False

    def on_message_complete(self) -> None:
        """The parser's: the answer is there, or one that only says that it is still to come."""
        if self._status == _SWITCHING:
            self._fail(UnreadableAnswerError("another protocol"))
        elif self._status < _FIRST_FINAL:
            self._forget()
        else:
            self._finish()

    @property
    def _ends_with_the_connection(self) -> bool:
        """Whether the answer's own end is the connection's (RFC 9112 6.3)."""
        return "Content-Length" not in self._headers and "Transfer-Encoding" not in self._headers

    def _finish(self) -> None:
        waiter = self._end()
        if self._transport is None or not self._parser.should_keep_alive():
            self.drop()
        if waiter is not None and not waiter.done():
            body = b"".join(self._body)
            waiter.set_result(Answer(status=self._status, headers=self._headers, body=body))

    def _fail(self, error: Exception) -> None:
        waiter = self._end()
        self.drop()
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)

    def _end(self) -> asyncio.Future[Answer] | None:
        """Who waited: whatever else comes in the same bytes is told to nobody."""
        waiter, self._waiter, self._told = self._waiter, None, None
        return waiter
