"""Twilio as a caller of webhooks: signed beforehand, over connections that stay open.

Costs about 15 us a request, so what is measured is the app. A connection has one request under way
at a time, as Twilio's have.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode

from twilio.request_validator import (  # type: ignore[import-untyped]  # the SDK ships no types
    RequestValidator,
)

from benchmarks.percentiles import percentile


@dataclass(frozen=True, kw_only=True)
class Answered:
    """One answer."""

    status: int
    #: When its first byte went out; Unix time.
    asked_at: float
    #: From the request's first byte out to the answer's last byte in.
    seconds: float


#: What Twilio sends of a text besides what it says, From, To and the SIDs.
_ABOUT_A_TEXT = {
    "ToCountry": "US",
    "ToState": "",
    "NumMedia": "0",
    "ToCity": "",
    "FromZip": "94103",
    "FromState": "CA",
    "SmsStatus": "received",
    "FromCity": "SAN FRANCISCO",
    "FromCountry": "US",
    "ToZip": "",
    "NumSegments": "1",
    "ApiVersion": "2010-04-01",
}


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who signs with a token, over a public URL."""

    account: str
    token: str
    public_url: str

    def stop(self, sid: str, recipient: int, sender: str) -> bytes:
        """A person's STOP."""
        told = {"MessageSid": sid, "SmsMessageSid": sid, "SmsSid": sid, "Body": "STOP"}
        who = {"AccountSid": self.account, "From": f"+{recipient}", "To": sender}
        return self.request("/twilio/inbound", {**_ABOUT_A_TEXT, **told, **who})

    def request(self, path: str, form: Mapping[str, str]) -> bytes:
        """A signed request, byte for byte."""
        url = f"{self.public_url}{path}"
        signature = RequestValidator(self.token).compute_signature(url, dict(form))
        body = urlencode(form).encode()
        lines = (
            f"POST {path} HTTP/1.1",
            "Host: sms.example.com",
            "User-Agent: TwilioProxy/1.1",
            "Accept: */*",
            "Content-Type: application/x-www-form-urlencoded; charset=UTF-8",
            f"X-Twilio-Signature: {signature}",
            f"Content-Length: {len(body)}",
        )
        return "\r\n".join((*lines, "", "")).encode() + body


async def call_all(
    port: int, requests: Sequence[bytes], *, connections: int, per_second: float | None = None
) -> list[Answered]:
    """Each request's answer, in order: as fast as so many connections allow, or at a rate."""
    answers: list[Answered | None] = [None] * len(requests)
    turns = iter(range(len(requests)))
    began = time.perf_counter()

    async def work() -> None:
        connection = await _Connection.open(port)
        for n in turns:
            if per_second is not None:
                await asyncio.sleep(max(0.0, began + n / per_second - time.perf_counter()))
            answers[n] = await connection.ask(requests[n])
        connection.close()

    await asyncio.gather(*(work() for _ in range(min(connections, len(requests)))))
    return [one for one in answers if one is not None]


def percentiles(seconds: Iterable[float]) -> dict[str, float]:
    """The median and the 99th of some durations, in milliseconds."""
    ordered = sorted(seconds)
    return {f"p{share}_ms": round(percentile(ordered, share / 100) * 1000, 1) for share in (50, 99)}


@dataclass
class _Connection(asyncio.Protocol):
    """One keep-alive connection."""

    _transport: asyncio.Transport | None = None
    _answer: asyncio.Future[Answered] | None = None
    _received: bytearray = field(default_factory=bytearray)
    _began: float = 0.0
    _asked_at: float = 0.0

    @classmethod
    async def open(cls, port: int) -> "_Connection":
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(cls, "127.0.0.1", port)
        return connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    async def ask(self, request: bytes) -> Answered:
        self._answer = asyncio.get_running_loop().create_future()
        self._began, self._asked_at = time.perf_counter(), time.time()
        assert self._transport is not None
        self._transport.write(request)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if end and len(body) >= _length_of(head):
            status = int(head[9:12])
            self._received.clear()
            assert self._answer is not None
            took = time.perf_counter() - self._began
            self._answer.set_result(Answered(status=status, asked_at=self._asked_at, seconds=took))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("closed before the answer"))

    def close(self) -> None:
        assert self._transport is not None
        self._transport.close()


def _length_of(head: bytearray) -> int:
    lines: Iterator[bytearray] = iter(head.lower().split(b"\r\n"))
    return next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
