"""Signed POSTs over real HTTP: what a receiver can check, and where none goes."""

import asyncio
import hashlib
import hmac
import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from gateway_wire import Request, reply, wire_server

from sender.posting import LOOK_UPS, Poster, is_public, signature

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SECRET, BODY = "s3cret", b'{"id":1}'


async def test_a_receiver_can_check_it() -> None:
    """The signature is an HMAC-SHA256 over the time and the body, as they arrive."""
    async with wire_server(reply(204, "")) as wire, Poster.open(allow_private=True) as poster:
        assert not await poster.post(wire.url, BODY, secret=SECRET, at=AT)
    (request,) = wire.requests
    seconds, said = (part.partition("=")[2] for part in _header(request).split(","))
    signed = f"{seconds}.".encode() + request.body
    assert int(seconds) == AT.timestamp()
    assert said == hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()


def _header(request: Request) -> str:
    return next(v for k, v in request.headers.items() if k.lower() == "sender-signature")


@pytest.mark.parametrize("status", [301, 404, 500])
async def test_not_taken(status: int) -> None:
    """Only 2xx is taken; a redirect is not followed."""
    script = reply(status, "", "Location: /elsewhere")
    async with wire_server(script) as wire, Poster.open(allow_private=True) as poster:
        assert await poster.post(wire.url, BODY, secret=SECRET, at=AT) == f"HTTP {status}"
    assert len(wire.requests) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"])
async def test_never_to_a_private_address(host: str) -> None:
    """Written as an address or as a name: nothing is connected to inside."""
    async with wire_server(reply(200, "")) as wire, Poster.open() as poster:
        port = wire.url.rpartition(":")[2]
        said = await poster.post(f"http://{host}:{port}/", BODY, secret=SECRET, at=AT)
    assert said == "the address is not public"
    assert not wire.requests


async def test_silent_name_servers() -> None:
    """However many hosts cannot be looked up, the loop's own threads stay free."""
    asked, may_answer, full = list[str](), threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def look_up(host: str, *_: object, **_options: object) -> list[Any]:
        asked.append(host)
        if len(asked) == LOOK_UPS:
            loop.call_soon_threadsafe(full.set)
        may_answer.wait(timeout=30)
        raise OSError("no answer")

    own_threads = 32  # the most that asyncio starts by itself
    async with asyncio.timeout(20), Poster.open(look_up=look_up) as poster:
        urls = [f"https://tenant{number}.example.com/" for number in range(2 * own_threads)]
        posts = [asyncio.create_task(poster.post(url, BODY, secret=SECRET, at=AT)) for url in urls]
        await full.wait()
        assert await asyncio.to_thread(lambda: "free") == "free"
        may_answer.set()
        assert all(await asyncio.gather(*posts))


@pytest.mark.parametrize("url", ["nonsense", "ftp://example.com/", "http://127.0.0.1:1/"])
async def test_it_never_raises(url: str) -> None:
    """Whatever is wrong is told, not thrown."""
    async with asyncio.timeout(20), Poster.open(allow_private=True) as poster:
        assert await poster.post(url, BODY, secret=SECRET, at=AT)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("10.0.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:10.0.0.1", False),
        ("224.0.0.1", False),
        ("64:ff9b::808:808", True),
        ("64:ff9b::a00:1", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("2002:a00:1::", False),
        ("64:ff9b:1::a00:1", False),
        ("::10.0.0.1", False),
        ("::ffff:0:10.0.0.1", False),
        ("fec0::1", False),
        ("192.0.0.8", False),
        ("3fff::1", False),
    ],
)
def test_what_is_public(address: str, *, public: bool) -> None:
    """Private, local, shared, mapped and multicast addresses are not."""
    assert is_public(address) is public


def test_another_secret_signs_otherwise() -> None:
    """Who does not know the secret cannot sign."""
    assert signature(SECRET, BODY, at=AT) != signature("other", BODY, at=AT)
