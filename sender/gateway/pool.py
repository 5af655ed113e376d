"""Connections that are open to the provider, and how new ones are made."""

import asyncio
import ssl
from collections import defaultdict, deque
from dataclasses import dataclass
from functools import cached_property
from socket import SOCK_STREAM
from typing import Final

from aiohappyeyeballs import AddrInfoType, start_connection

from sender.gateway.connection import Connection
from sender.send_clock import send_clock

#: Shorter than the idle time-outs in front of Twilio, so that a request is rarely written to a
#: connection the other side has just closed: such a message would be in doubt.
_KEEPALIVE_SECONDS: Final = 15.0
#: How long addresses stand for a name.
_DNS_SECONDS: Final = 60.0
#: How long an address may take before the next one is tried as well (RFC 8305 5).
_NEXT_ADDRESS_SECONDS: Final = 0.25


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request goes."""

    is_tls: bool
    host: str
    port: int


class Pool:
    """Connections by origin, the one used last first; for one event loop."""

    def __init__(self, *, limit: int = 0) -> None:
        """Open nothing yet; ``limit`` 0 means as many as are asked for."""
        self._room = asyncio.Semaphore(limit) if limit else None
        self._idle: defaultdict[Origin, deque[tuple[Connection, float]]] = defaultdict(deque)
        self._cleaning: asyncio.TimerHandle | None = None
        self._addresses: dict[Origin, tuple[float, asyncio.Task[list[AddrInfoType]]]] = {}

    async def take(self, origin: Origin, *, within: float) -> Connection:
        """A connection in hand; whoever took it gives it back.

        Args:
            origin: where it leads to.
            within: seconds that a free place, and a new connection, are waited for.

        Raises:
            OSError: none can be had (`socket.gaierror`: no address; `ssl.SSLError`: no trust;
                `TimeoutError`).
        """
        if self._room is None and (kept := self._kept(origin)):
            return kept
        async with asyncio.timeout(within):
            if self._room is None:
                return await self._made(origin)
            await self._room.acquire()
            try:
                return self._kept(origin) or await self._made(origin)
            except BaseException:
                self._room.release()
                raise

    def give_back(self, origin: Origin, connection: Connection) -> None:
        """Keep it for the next request; one that is not fit for any is closed."""
        if self._room is not None:
            self._room.release()
        if not connection.is_fit:
            connection.drop()
            return
        self._idle[origin].append((connection, send_clock()))
        self._clean_later()

    def close(self) -> None:
        """Close every connection that is kept."""
        for line in self._idle.values():
            for connection, _since in line:
                connection.drop()
        self._idle.clear()
        if self._cleaning is not None:
            self._cleaning.cancel()
        for _until, asked in self._addresses.values():
            asked.cancel()

    def _kept(self, origin: Origin) -> Connection | None:
        oldest, line = send_clock() - _KEEPALIVE_SECONDS, self._idle[origin]
        while line:
            connection, since = line.pop()
            if connection.is_fit and since >= oldest:
                return connection
            connection.drop()
        return None

    def _clean_later(self) -> None:
        if self._cleaning is None:
            loop = asyncio.get_running_loop()
            self._cleaning = loop.call_later(_KEEPALIVE_SECONDS, self._clean)

    def _clean(self) -> None:
        """Close what nobody has used for long, and come back while anything is kept."""
        self._cleaning, oldest = None, send_clock() - _KEEPALIVE_SECONDS
        for line in self._idle.values():
            while line and (line[0][1] < oldest or not line[0][0].is_fit):
                line.popleft()[0].drop()
        if any(self._idle.values()):
            self._clean_later()

    async def _made(self, origin: Origin) -> Connection:
        loop, addresses = asyncio.get_running_loop(), await self._resolved(origin)
        sock = await start_connection(addresses, happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS)
        try:
            _, connection = await loop.create_connection(
                Connection,
                sock=sock,
                ssl=self._trust if origin.is_tls else None,
                server_hostname=origin.host if origin.is_tls else None,
            )
        except BaseException:
            sock.close()
            raise
        return connection

    async def _resolved(self, origin: Origin) -> list[AddrInfoType]:
        """Its addresses, asked for once by however many wait for them."""
        until, asked = self._addresses.get(origin, (0.0, None))
        if asked is None or send_clock() > until:
            loop = asyncio.get_running_loop()
            asked = loop.create_task(_addresses(origin))
            self._addresses[origin] = send_clock() + _DNS_SECONDS, asked
        try:
            # Whoever gives up waiting leaves the question to the others.
            return await asyncio.shield(asked)
        finally:
            if asked.done() and (asked.cancelled() or asked.exception()):
                self._addresses.pop(origin, None)

    @cached_property
    def _trust(self) -> ssl.SSLContext:
        return ssl.create_default_context()


async def _addresses(origin: Origin) -> list[AddrInfoType]:
    loop = asyncio.get_running_loop()
    return list(await loop.getaddrinfo(origin.host, origin.port, type=SOCK_STREAM))
