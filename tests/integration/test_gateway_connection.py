"""The pooled connections under the SDK, against a server that answers as it is told."""

import asyncio
import socket
from collections.abc import Callable

import pytest
import uvloop
from gateway_wire import Request, Script, partial, raw, reply, wire_server
from twilio.http.response import Response  # type: ignore[import-untyped]  # the SDK has no types

from sender.gateway.connection import Connection, UnreadableAnswerError
from sender.gateway.transport import Exchange, LeanHttpClient
from sender.send_clock import send_clock

OK = raw(200, "{}")
CHUNKED = b"Transfer-Encoding: chunked"


async def ask(http: LeanHttpClient, url: str, **more: object) -> Response:
    """One request through a client, with time enough."""
    limit = send_clock() + 5
    with Exchange(connect_by=limit, deadline=limit):
        return await http.request("POST", url, data={"Body": "Sale"}, **more)  # type: ignore[arg-type]


async def answers_of(*scripts: bytes, close: bool = False) -> tuple[list[str], int]:
    """What requests one after the other were answered, and over how many connections."""
    waiting = iter(scripts)

    async def script(_request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(next(waiting))
        if close:
            await writer.drain()
            writer.close()

    async with wire_server(script) as wire, LeanHttpClient() as http:
        said = []
        for _ in scripts:
            said.append((await ask(http, wire.url)).text)
            await asyncio.sleep(0.02)  # what else the server sends may arrive
    return said, wire.connections


async def test_a_connection_is_used_again() -> None:
    """Requests one after the other share one connection."""
    assert await answers_of(raw(200, "a"), raw(200, "b"), raw(404, "c")) == (["a", "b", "c"], 1)


async def test_what_nobody_asked_for_answers_nobody() -> None:
    """Bytes beyond an answer end the connection: no later request takes them for its own."""
    twice = raw(200, "a") + raw(200, "stray")
    assert await answers_of(twice, raw(200, "b")) == (["a", "b"], 2)


async def test_a_second_answer_says_nothing_of_the_first() -> None:
    """A 503 with a stray 429 behind it is a 503: what may have been taken is not sent again."""
    answers = raw(503, "{}") + raw(429, "{}", "Retry-After: 1")
    limit = send_clock() + 5
    async with wire_server(partial(answers, close=False)) as wire, LeanHttpClient() as http:
        with Exchange(connect_by=limit, deadline=limit) as current:
            said = await http.request("POST", wire.url, data={})
    assert (said.status_code, current.status) == (503, 503)
    assert "Retry-After" not in current.headers


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_request_is_written_at_once(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """Nothing comes between the look at the clock and the bytes: no loop keeps them for later."""

    async def written() -> bytes:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            connection, peer = await _connected(listening)
            with peer:
                answer = connection.ask(b"GET", lambda *_: None)
                said = peer.recv(16)  # the loop cannot turn meanwhile
                connection.drop()
                with pytest.raises(ConnectionError):
                    await answer
        return said

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(written()) == b"GET"


async def test_whoever_says_no_more_is_asked_no_more() -> None:
    """A connection that the other side ends is not fit, though TLS has not closed it yet."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        connection, peer = await _connected(listening)
        with peer:
            assert connection.is_fit
            connection.eof_received()
            assert not connection.is_fit
            connection.drop()


async def test_endless_trailers_are_not_kept() -> None:
    """What comes behind a body counts, too: no answer takes all memory until its deadline."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        connection, peer = await _connected(listening)
        with peer:
            answer = connection.ask(b"GET", lambda *_: None)
            connection.data_received(
                raw(200, "").replace(b"Content-Length: 0", CHUNKED) + b"0\r\nX: "
            )
            for _ in range(5):
                connection.data_received(b"x" * 16 * 2**20)
            with pytest.raises(UnreadableAnswerError, match="too large"):
                await answer


async def _connected(listening: socket.socket) -> tuple[Connection, socket.socket]:
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(Connection, *listening.getsockname())
    peer, _ = listening.accept()
    peer.settimeout(5)
    return connection, peer


async def test_bytes_on_an_idle_connection_end_it() -> None:
    """A server that says something late (a 408, say) is not heard by the next request."""

    async def script(_request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await writer.drain()
        await asyncio.sleep(0.01)
        writer.write(raw(408, "too late"))

    async with wire_server(script) as wire, LeanHttpClient() as http:
        assert (await ask(http, wire.url)).status_code == 200
        await asyncio.sleep(0.05)
        assert (await ask(http, wire.url)).status_code == 200
    assert wire.connections == 2


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\n" + raw(200, "yes"), "yes"),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + raw(200, "yes"), "yes"),
        (
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                b"2\r\nye\r\n1\r\ns\r\n0\r\nX: y\r\n\r\n"
            ),
            "yes",
        ),
        (b"HTTP/1.1 204 No Content\r\n\r\n", ""),
    ],
    ids=["100", "103", "chunked", "204"],
)
async def test_every_framing_is_read(answer: bytes, text: str) -> None:
    """An answer may be announced, come in chunks with trailers, or have no body at all."""
    assert await answers_of(answer, answer) == ([text, text], 1)


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 200 OK\r\n\r\nyes", b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nyes"]
)
async def test_an_answer_may_end_with_its_connection(answer: bytes) -> None:
    """Without a length the connection's end is the answer's, and is no loss."""
    assert await answers_of(answer, answer, close=True) == (["yes", "yes"], 2)


async def test_a_connection_that_is_to_close_is_not_kept() -> None:
    """`Connection: close` is obeyed by us, too."""
    closing = raw(200, "a", "Connection: close")
    assert await answers_of(closing, raw(200, "b")) == (["a", "b"], 2)


@pytest.mark.parametrize(
    "script",
    [
        partial(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, close=False),
        partial(
            b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", close=False
        ),
        partial(b"SSH-2.0-OpenSSH\r\n", close=False),
    ],
    ids=["endless header", "another protocol", "not HTTP"],
)
async def test_what_is_no_answer_is_not_waited_for(script: Script) -> None:
    """Nonsense ends a request at once, with an error that is none of the wire's."""
    async with wire_server(script) as wire, LeanHttpClient() as http:
        with pytest.raises(UnreadableAnswerError):
            await ask(http, wire.url)


@pytest.mark.parametrize(
    "more",
    [
        {"headers": {"X-Note": "a\r\nX-Other: b"}},
        {"headers": {"X-Note": "\u20ac"}},
        {"auth": ("AC1", "\ud800")},
    ],
    ids=["two headers in one", "beyond Latin-1", "lone surrogate"],
)
async def test_a_request_that_cannot_be_written_down_is_not_begun(more: dict[str, object]) -> None:
    """What would be another request than the one meant reaches nobody."""
    async with wire_server(reply(200, "{}")) as wire, LeanHttpClient() as http:
        with pytest.raises(ValueError, match=r"header|codec"):
            await ask(http, wire.url, **more)
    assert wire.connections == 0


@pytest.mark.parametrize("target", ["/a b", "/\u00e4", "/a\r\nX: y"])
async def test_a_url_that_is_not_encoded_is_not_begun(target: str) -> None:
    """A link in an answer goes out as it is, or not at all."""
    async with wire_server(reply(200, "{}")) as wire, LeanHttpClient() as http:
        with pytest.raises(ValueError, match="not encoded"):
            await ask(http, wire.url + target.replace("\r\n", "\x0b"))
    assert wire.connections == 0
