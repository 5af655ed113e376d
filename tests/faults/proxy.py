"""A TCP proxy on this machine that breaks connections as networks do."""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar

from sender.local.ports import LOOPBACK, free_port

T = TypeVar("T")

_CHUNK = 65_536
#: Closed with this, a socket sends RST: its peer gets an error and not an end.
_AT_ONCE = struct.pack("ii", 1, 0)


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Where a connection is to break: when the client has sent all of these, in this order."""

    markers: tuple[bytes, ...]
    #: Whether the last of them still reaches the server, whose answer then gets lost.
    delivered: bool


@dataclass(eq=False)
class _Connection:
    """One client with its way to the server."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    frozen: bool = False
    #: The server's next bytes are not passed on; the connection breaks instead.
    deaf: bool = False
    #: What of the cut in force the client has sent, and the end of what it sent last: a marker
    #: may come in two pieces.
    seen: int = 0
    tail: bytes = b""

    def reset(self) -> None:
        """Break it on both sides."""
        for writer in (self.client, self.server):
            _reset(writer)

    def passes(self, cut: Cut, data: bytes) -> bool:
        """Note what the client sends; whether the whole cut has been sent by now."""
        self.tail += data
        while self.seen < len(cut.markers):
            marker = cut.markers[self.seen]
            at = self.tail.find(marker)
            if at < 0:
                self.tail = self.tail[-len(marker) :]
                return False
            self.tail, self.seen = self.tail[at + len(marker) :], self.seen + 1
        return True


def _reset(writer: asyncio.StreamWriter) -> None:
    peer: socket.socket = writer.get_extra_info("socket")
    with suppress(OSError):
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    writer.transport.abort()


@dataclass
class FaultProxy:
    """Leads to a server on this machine; a context manager, whose loop runs in its own thread."""

    #: The server's port.
    upstream: int
    port: int = field(default_factory=free_port)
    #: Connections broken by `cut_at` so far.
    cuts: int = 0
    _connections: set[_Connection] = field(default_factory=set)
    _refusing: bool = False
    _delay: float = 0.0
    _cut: Cut | None = None
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._serve, LOOPBACK, self.port))
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def black_hole(self) -> None:
        """From now on no byte passes on the connections that are open; new ones work."""
        self._do(self._black_hole)

    def reset(self) -> None:
        """Break every connection that is open."""
        self._do(self._reset)

    def refuse(self, *, refusing: bool = True) -> None:
        """Refuse new connections, or let them in again."""
        self._refusing = refusing

    def delay(self, seconds: float) -> None:
        """Hold up what clients send, chunk by chunk, from now on."""
        self._delay = seconds

    def lead_to(self, port: int) -> None:
        """Lead to another server: new connections at once, the open ones by breaking them."""
        self.upstream = port
        self.reset()

    def cut_at(self, *markers: bytes, delivered: bool) -> None:
        """Break the first connection whose client sends these, one after the other."""
        self._do(lambda: self._aim(Cut(markers=markers, delivered=delivered)))

    def _do(self, action: Callable[[], None]) -> None:
        async def act() -> None:
            action()

        self._run(act())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)

    def _black_hole(self) -> None:
        for connection in self._connections:
            connection.frozen = True

    def _reset(self) -> None:
        for connection in self._connections:
            connection.reset()

    def _aim(self, cut: Cut) -> None:
        for connection in self._connections:
            connection.seen, connection.tail = 0, b""
        self._cut = cut

    async def _end(self) -> None:
        self._server.close()
        self._reset()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        if self._refusing:
            _reset(client)
            return
        try:
            answers, server = await asyncio.open_connection(LOOPBACK, self.upstream)
        except OSError:
            _reset(client)
            return
        connection = _Connection(client, server)
        self._connections.add(connection)
        try:
            await asyncio.gather(self._ask(reader, connection), self._answer(answers, connection))
        finally:
            self._connections.discard(connection)

    async def _ask(self, reader: asyncio.StreamReader, connection: _Connection) -> None:
        """Pass on what the client sends."""
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._hold(connection)
                if self._is_cut(connection, data):
                    continue
                connection.server.write(data)
                await connection.server.drain()
        connection.server.close()

    async def _answer(self, answers: asyncio.StreamReader, connection: _Connection) -> None:
        """Pass on what the server says."""
        with suppress(OSError):
            while data := await answers.read(_CHUNK):
                if connection.frozen:
                    await asyncio.Event().wait()
                if connection.deaf:
                    connection.reset()
                    break
                connection.client.write(data)
                await connection.client.drain()
        connection.client.close()

    async def _hold(self, connection: _Connection) -> None:
        if connection.frozen:
            await asyncio.Event().wait()
        if self._delay:
            await asyncio.sleep(self._delay)

    def _is_cut(self, connection: _Connection, data: bytes) -> bool:
        """Break the connection if this is the place; whether its bytes must not go on."""
        cut = self._cut
        if cut is None or not connection.passes(cut, data):
            return False
        self._cut, self.cuts = None, self.cuts + 1
        if cut.delivered:
            connection.deaf = True
            return False
        connection.reset()
        return True
