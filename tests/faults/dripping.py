"""Callers of the webhook app that are slow, endless, or no HTTP at all: raw sockets."""

import socket
import time
from dataclasses import dataclass
from datetime import timedelta

from sender.local.ports import LOOPBACK

_START = b"POST /twilio/inbound HTTP/1.1\r\nHost: x\r\n"
_FORM = _START + b"Content-Type: application/x-www-form-urlencoded\r\n"


@dataclass(frozen=True, kw_only=True)
class Dripper:
    """Somebody who opens a connection, sends a beginning, and then the same again and again."""

    beginning: bytes
    again: bytes = b""
    #: Between two of them.
    pause: timedelta = timedelta(seconds=1)

    def cut_off(self, port: int, *, within: timedelta) -> bytes:
        """Go on until the other side closes the connection; what it had answered.

        Raises:
            AssertionError: it never did.
        """
        give_up_at = time.monotonic() + within.total_seconds()
        with socket.create_connection((LOOPBACK, port)) as connection:
            connection.settimeout(self.pause.total_seconds())
            answer = b""
            try:
                connection.sendall(self.beginning)
                while time.monotonic() < give_up_at:
                    connection.sendall(self.again)
                    try:
                        received = connection.recv(65_536)
                    except TimeoutError:
                        continue
                    if not received:
                        return answer
                    answer += received
            except ConnectionError:  # closed while we were still writing
                return answer
        raise AssertionError(f"still connected after {within}: {self.beginning!r}")


#: Each with the status it may be answered with before it is cut off; 0 for no answer at all.
DRIPPERS = {
    "headers that do not end": (Dripper(beginning=_START, again=b"a"), {0, 408}),
    "a body that drips": (
        Dripper(beginning=_FORM + b"Content-Length: 1000\r\n\r\n", again=b"a"),
        {400},
    ),
    "a body that does not come": (
        Dripper(beginning=_FORM + b"Content-Length: 1000\r\n\r\n"),
        {400},
    ),
    "chunks that do not end": (
        Dripper(beginning=_FORM + b"Transfer-Encoding: chunked\r\n\r\n", again=b"1\r\na\r\n"),
        {400},
    ),
    "a flood": (
        Dripper(
            beginning=_FORM + b"Transfer-Encoding: chunked\r\n\r\n",
            again=b"4000\r\n" + b"a" * 0x4000 + b"\r\n",
            pause=timedelta(milliseconds=10),
        ),
        {0, 413},
    ),
    "a length beyond all measure": (
        Dripper(
            beginning=_FORM + b"Content-Length: 100000000000\r\n\r\n",
            again=b"a" * 0x4000,
            pause=timedelta(milliseconds=10),
        ),
        {0, 413},
    ),
    "a length that is none": (
        Dripper(beginning=_FORM + b"Content-Length: -1\r\n\r\n"),
        {0, 400},
    ),
    "silence": (Dripper(beginning=b""), {0}),
    "silence after HTTP/2's greeting": (
        Dripper(beginning=b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        {0, 400, 505},
    ),
    "TLS": (Dripper(beginning=b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"), {0, 400}),
}


def status_of(answer: bytes) -> int:
    """The status of an answer; 0 if there was none."""
    return int(answer.split(maxsplit=2)[1]) if answer else 0
