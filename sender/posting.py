"""POSTs to an address that a user gave: signed, bounded in time, to public hosts only."""

import asyncio
import hashlib
import hmac
import ipaddress
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult

#: From the look-up of the name to the status line.
WITHIN = timedelta(seconds=10)
#: Names that are looked up at the same time.
LOOK_UPS = 20
#: `socket.getaddrinfo`.
LookUp = Callable[..., Sequence[tuple[Any, Any, int, str, Any]]]
#: ``t=<unix seconds>,v1=<hex>``: HMAC-SHA256 under the shared secret of ``<unix seconds>.<body>``.
#: The time lets a receiver refuse a POST that somebody else repeats later.
SIGNATURE = "Sender-Signature"
_TAKEN = range(200, 300)
#: RFC 6052: IPv4 addresses as an IPv6-only network reaches them.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
#: What IANA's registries of special-purpose addresses have and not every Python knows: IPv4 inside
#: IPv6 for one network's own use, by now unused forms of the same, site-local, examples.
_SPECIAL = tuple(
    map(
        ipaddress.ip_network,
        (
            *("192.0.0.0/24", "192.88.99.0/24"),
            *("64:ff9b:1::/48", "::/96", "::ffff:0:0:0/96", "fec0::/10", "3fff::/20", "5f00::/16"),
        ),
    )
)


def signature(secret: str, body: bytes, *, at: datetime) -> str:
    """What the signature header of a body says."""
    seconds = int(at.timestamp())
    signed = hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256)
    return f"t={seconds},v1={signed.hexdigest()}"


class _PrivateAddressError(OSError):
    """The host is inside our own network: an address there must not be reached through us."""


class _OwnThreads(AbstractResolver):
    """Looks names up in threads of its own.

    A host whose name servers are silent holds one for half a minute. The event loop has only a few
    of its own: they mirror the Redis set, and look up Twilio for the puller.
    """

    def __init__(self, look_up: LookUp) -> None:
        self._look_up = look_up
        self._threads = ThreadPoolExecutor(LOOK_UPS, thread_name_prefix="look-up")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a host; raises ``OSError``."""
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads,
            partial(self._look_up, host, port, family=family, type=socket.SOCK_STREAM),
        )
        numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [
            ResolveResult(
                hostname=host, host=address[0], port=port, family=kind, proto=proto, flags=numeric
            )
            for kind, _, proto, _, address in found
        ]

    async def close(self) -> None:
        """Take no more; who is still looking is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class Posts(Protocol):
    """Signed POSTs."""

    async def post(self, url: str, body: bytes, *, secret: str, at: datetime) -> str:
        """Post once; empty when it was taken, else why not."""


@dataclass(frozen=True, kw_only=True)
class Poster:
    """Posts JSON; holds its connections."""

    session: ClientSession

    @classmethod
    @asynccontextmanager
    async def open(
        cls, *, allow_private: bool = False, look_up: LookUp = socket.getaddrinfo
    ) -> AsyncIterator["Poster"]:
        """One that lasts for the block.

        Args:
            allow_private: for tests, whose receivers are on this machine.
            look_up: finds a host's addresses, however long that takes.
        """
        resolver = _OwnThreads(look_up)
        connector = TCPConnector(
            socket_factory=_any_socket if allow_private else _public_socket, resolver=resolver
        )
        timeout = ClientTimeout(total=WITHIN.total_seconds())
        try:
            async with ClientSession(
                connector=connector, timeout=timeout, cookie_jar=DummyCookieJar(), trust_env=False
            ) as session:
                yield cls(session=session)
        finally:
            await resolver.close()

    async def post(self, url: str, body: bytes, *, secret: str, at: datetime) -> str:
        """Post a body once; empty when it was taken (2xx), else why not. It never raises.

        Redirects are not followed: they could lead inside. Names are not trusted either; the
        address that is connected to is what counts.
        """
        headers = {"Content-Type": "application/json", SIGNATURE: signature(secret, body, at=at)}
        try:
            async with self.session.post(
                url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                return "" if answer.status in _TAKEN else f"HTTP {answer.status}"
        except TimeoutError:
            return f"no answer within {WITHIN.total_seconds():g} s"
        except ClientError as exc:
            private = isinstance(getattr(exc, "os_error", None), _PrivateAddressError)
            return "the address is not public" if private else type(exc).__name__
        except (OSError, ValueError) as exc:
            return type(exc).__name__


def _any_socket(address: Any) -> socket.socket:
    family, kind, protocol, _, _ = address
    return socket.socket(family=family, type=kind, proto=protocol)


def _public_socket(address: Any) -> socket.socket:
    if not is_public(address[4][0]):
        raise _PrivateAddressError("not a public address")
    return _any_socket(address)


def is_public(host: str) -> bool:
    """Whether an IP address is one of the public internet's."""
    address = ipaddress.ip_address(host.partition("%")[0])
    inner = _meant(address) if isinstance(address, ipaddress.IPv6Address) else address
    special = any(inner in one for one in _SPECIAL)  # of the other version: never
    return bool(inner.is_global and not inner.is_multicast and not special)


def _meant(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Where a connection ends: some IPv6 addresses are translated to the IPv4 one inside them."""
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address
