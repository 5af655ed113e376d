"""From what the wire did to an outcome. Pure: an exchange and an error in, an outcome out."""

import json
import re
import socket
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, Final

from twilio.http.response import Response  # type: ignore[import-untyped]  # the SDK has no types
from twilio.rest.api.v2010.account.message import (  # type: ignore[import-untyped]
    MessageInstance,
)

from sender.domain.outcome import (
    TOO_LATE,
    Accepted,
    Ambiguous,
    NotBegun,
    Outcome,
    RefusalKind,
    Refused,
)
from sender.gateway.codes import create_outcome
from sender.gateway.transport import Exchange

_MESSAGE_SID: Final = re.compile(r"(?:SM|MM)[0-9a-fA-F]{32}")
#: Twilio's codes have five digits. The SDK puts the HTTP status where a body has no code.
_SMALLEST_CODE: Final = 10_000
#: Larger ones are somebody else's: Twilio's have five digits, and our column is an int4.
_LARGEST_CODE: Final = 999_999
#: Longer rests are a mistake of whoever answered; a throttled row is asked about hourly at least.
_LONGEST_REST: Final = timedelta(hours=1)


def accepted(message: MessageInstance, exchange: Exchange) -> Outcome:
    """The outcome of a 2xx: accepted, if it names a message."""
    sid = message.sid
    if not isinstance(sid, str) or _MESSAGE_SID.fullmatch(sid) is None:
        return Ambiguous(why="unreadable_answer", code=exchange.status)
    return Accepted(sid=sid, provider_status=str(message.status or ""))


def refused(error: Exception, exchange: Exchange) -> Outcome:
    """The outcome of a complete answer the SDK raised an error for."""
    if exchange.status is None:
        return unfinished(error, exchange)
    return create_outcome(
        status=exchange.status,
        code=vendor_code(error),
        retry_after=retry_after(exchange),
    )


def unfinished(error: Exception, exchange: Exchange) -> Outcome:
    """The outcome of an exchange that ended in an error of the wire, or of ours."""
    if exchange.begun_at is not None:
        return Ambiguous(why=_why_ambiguous(error, exchange), code=exchange.status)
    if isinstance(error, OSError):
        return NotBegun(why=TOO_LATE if exchange.is_too_late else _why_not_begun(error))
    # The request could not even be written down (a lone surrogate in the body, say): proven not
    # sent, and it would fail the same way for ever.
    return Refused(kind=RefusalKind.BUG, code=0)


def _why_ambiguous(error: Exception, exchange: Exchange) -> str:
    if exchange.status is not None:
        return "answer_cut_off" if isinstance(error, OSError) else "unreadable_answer"
    if isinstance(error, TimeoutError):
        return "read_timeout"
    return "reset" if isinstance(error, OSError) else "unreadable_answer"


def _why_not_begun(error: OSError) -> str:
    match error:
        case TimeoutError():
            return "connect_timeout"
        case socket.gaierror():
            return "dns"
        case ssl.SSLError():
            return "tls"
        case ConnectionRefusedError():
            return "connect_refused"
        case _:
            return "connect_failed"


def vendor_code(error: Exception) -> int | None:
    """Twilio's code in an SDK error; ``None`` where the body carried none."""
    try:
        code = int(getattr(error, "code", None) or _code_of_page(error) or 0)
    except (TypeError, ValueError):
        return None
    return code if _SMALLEST_CODE <= code <= _LARGEST_CODE else None


def _code_of_page(error: Exception) -> Any:
    """The code in an answer that is no page of a list: the SDK hands on the answer as it came."""
    for argument in getattr(error, "args", ()):
        if isinstance(argument, Response):
            body = json.loads(argument.text)
            return body.get("code") if isinstance(body, dict) else None
    return None


def retry_after(exchange: Exchange) -> timedelta | None:
    """What ``Retry-After`` asks for (seconds or an HTTP date, RFC 9110 10.2.3), never negative."""
    value = exchange.headers.get("Retry-After")
    if value is None:
        return None
    asked = _seconds(value) if value.strip().isdecimal() else _until(value, exchange)
    return None if asked is None else min(max(asked, timedelta(0)), _LONGEST_REST)


def _until(value: str, exchange: Exchange) -> timedelta | None:
    at = _http_date(value)
    return None if at is None else at - (exchange.answered_at or datetime.now(UTC))


def _seconds(value: str) -> timedelta | None:
    try:
        return timedelta(seconds=int(value))
    except (OverflowError, ValueError):
        return None


def clock_offset(exchange: Exchange) -> timedelta | None:
    """The provider's clock minus ours, by its ``Date`` header; ``None`` if there is none."""
    at = _http_date(exchange.headers.get("Date"))
    if at is None or exchange.answered_at is None:
        return None
    return at - exchange.answered_at


@lru_cache(maxsize=16)  # thousands of answers name the same second
def _http_date(value: str | None) -> datetime | None:
    try:
        at = parsedate_to_datetime(value or "")
    except (ValueError, OverflowError):  # a year or a zone beyond all measure
        return None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
