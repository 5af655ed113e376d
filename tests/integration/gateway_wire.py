"""A server for one test: it answers each HTTP request by a script and keeps what it was sent."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request as it came over the wire."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        """The body's fields."""
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))


Script = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


@dataclass(kw_only=True)
class WireServer:
    """The URL of a running server and what it received so far."""

    url: str = ""
    script: Script
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection until either side closes it."""
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while not writer.is_closing():
                request = await _read_request(reader)
                self.requests.append(request)
                await self.script(request, writer)
                await writer.drain()
        writer.close()

    async def stop(self) -> None:
        """End what is still answering."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def wire_server(script: Script) -> AsyncIterator[WireServer]:
    """Run a server on a free loopback port."""
    wire = WireServer(script=script)
    server = await asyncio.start_server(wire.serve, "127.0.0.1", 0)
    wire.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield wire
    finally:
        server.close()
        await wire.stop()


async def _read_request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    method, target, _version = first.split(" ")
    return Request(method=method, target=target, headers=headers, body=body)


def raw(status: int, body: str, *headers: str) -> bytes:
    """The bytes of a whole answer."""
    payload = body.encode()
    lines = (f"HTTP/1.1 {status} X", f"Content-Length: {len(payload)}", *headers)
    return "\r\n".join((*lines, "", "")).encode() + payload


def reply(status: int, body: object, *headers: str) -> Script:
    """Answer every request alike; a body that is no text is sent as JSON."""
    text = body if isinstance(body, str) else json.dumps(body)

    async def script(_request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(raw(status, text, *headers))

    return script


def error(status: int, code: int, *headers: str) -> Script:
    """Answer with an error in Twilio's shape."""
    return reply(status, {"code": code, "message": "no", "status": status}, *headers)


def partial(data: bytes, *, close: bool) -> Script:
    """Write part of an answer, then close the connection or hang."""

    async def script(_request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        if not close:
            await asyncio.Event().wait()
        writer.close()

    return script


def message(sid: str, **fields: object) -> dict[str, object]:
    """A Message resource in Twilio's JSON shape."""
    return {
        "sid": sid,
        "account_sid": "AC" + "0" * 32,
        "status": "queued",
        "direction": "outbound-api",
        "from": "+15550000001",
        "to": "+15550000002",
        "body": "hello",
        "date_created": "Thu, 24 Aug 2023 05:01:45 +0000",
        "error_code": None,
        "num_media": "0",
        "messaging_service_sid": None,
        **fields,
    }
