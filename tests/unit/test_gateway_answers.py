"""Headers and errors of the wire, read on their own."""

import socket
import ssl
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from sender.domain.outcome import Ambiguous, NotBegun
from sender.gateway.answers import clock_offset, retry_after, unfinished, vendor_code
from sender.gateway.transport import Exchange

NOON = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def answered(**headers: str) -> Exchange:
    """An exchange answered at noon with these headers."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Exchange(connect_by=0, deadline=0, begun_at=NOON, answered_at=NOON, headers=named)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("3", timedelta(seconds=3)),
        ("0", timedelta(0)),
        ("90000", timedelta(hours=1)),
        ("Thu, 01 Jan 2026 12:00:30 GMT", timedelta(seconds=30)),
        ("Thu, 01 Jan 2026 11:00:00 GMT", timedelta(0)),
        ("soon", None),
        ("-3", None),
        ("9" * 30, None),
        ("9" * 5000, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, expected: timedelta | None) -> None:
    """Both forms of RFC 9110 count; nonsense and the past never make a wait."""
    assert retry_after(answered(Retry_After=value)) == expected


def test_no_header_means_nothing_is_known() -> None:
    """Without headers there is no wait and no clock offset."""
    assert retry_after(answered()) is None
    assert clock_offset(answered()) is None
    assert clock_offset(answered(Date="yesterday")) is None


def test_the_clock_offset_is_theirs_minus_ours() -> None:
    """A provider ahead of us gives a positive offset."""
    offset = clock_offset(answered(Date="Thu, 01 Jan 2026 12:00:05 GMT"))
    assert offset == timedelta(seconds=5)


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (TimeoutError(), "connect_timeout"),
        (socket.gaierror(-2, "unknown"), "dns"),
        (ssl.SSLError(1, "bad"), "tls"),
        (ConnectionResetError(), "connect_failed"),
    ],
)
def test_before_a_connection_was_in_hand_nothing_was_begun(error: Exception, why: str) -> None:
    """The same error is proof of nothing sent before the connection, and of nothing after it."""
    before = Exchange(connect_by=0, deadline=0)
    after = Exchange(connect_by=0, deadline=0, begun_at=NOON)

    assert unfinished(error, before) == NotBegun(why=why)
    assert isinstance(unfinished(error, after), Ambiguous)


@pytest.mark.parametrize("error", [ConnectionResetError(), BrokenPipeError()])
def test_a_lost_connection_is_a_reset(error: Exception) -> None:
    """However it was lost, a connection that was in hand leaves the message in doubt."""
    after = Exchange(connect_by=0, deadline=0, begun_at=NOON)
    assert unfinished(error, after) == Ambiguous(why="reset")


@pytest.mark.parametrize(
    ("code", "expected"),
    [(21610, 21610), ("21610", 21610), (500, None), (None, None), ("x", None), ([], None)],
)
def test_a_status_in_place_of_a_code_is_no_code(code: object, expected: int | None) -> None:
    """The SDK fills in the HTTP status where a body had no code; that must not pass for one."""
    error = Exception()
    error.code = code  # type: ignore[attr-defined]  # the shape of the SDK's errors
    assert vendor_code(error) == expected
    assert vendor_code(SimpleNamespace()) is None  # type: ignore[arg-type]
