"""What Twilio's Event Streams post: a batch of CloudEvents in JSON.

Source: twilio.com/docs/events/event-types/messaging/inbound-message and …/outbound-message
"""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

from sender.domain.inbound import InboundText
from sender.domain.stream import StatusNews, StreamEvent
from sender.errors import MalformedWebhook
from sender.gateway.codes import callback_verdict, is_toll_free
from sender.gateway.webhooks import is_sid, is_status, printable

_INBOUND: Final = "com.twilio.messaging.inbound-message.received"
_STATUS: Final = "com.twilio.messaging.message."
_OUR_CALLBACK: Final = re.compile(r"/twilio/status/([0-9a-f-]{36})")
#: Before Twilio, and long after us: at the edges of its calendar Python cannot reckon.
_OLDEST_YEAR: Final = 2000
_LATEST_YEAR: Final = 2999
#: Twilio's have 34 characters. What could not be kept must not keep its whole batch from being so.
_ID: Final = re.compile("[!-~]{1,255}")


def events_from_json(raw: bytes, *, callback_base: str) -> list[StreamEvent]:
    """The events of a batch, or of a sink that sends them one by one.

    One that is broken says so in its ``problem``, and costs the others nothing.

    Args:
        raw: the body.
        callback_base: the public URL in front of ``/twilio/status/…``.

    Raises:
        MalformedWebhook: the body is no JSON, or not one event.
    """
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise MalformedWebhook("the body is no JSON") from error
    batch = found if isinstance(found, list) else [found]
    events = [_event(one, callback_base) for one in batch]
    if batch and not any(one.id for one in events):
        raise MalformedWebhook("the body holds something else than events with an id")
    return events


def _event(event: Any, callback_base: str) -> StreamEvent:
    if not isinstance(event, dict) or not _ID.fullmatch(_text(event, "id")):
        return StreamEvent(id="", account_sid="", news=None, problem="the event has no id")
    data = event.get("data")
    fields = data if isinstance(data, dict) else {}
    known = StreamEvent(id=_text(event, "id"), account_sid=_text(fields, "accountSid"), news=None)
    try:
        news = _news(_text(event, "type"), fields, callback_base)
        return replace(known, news=news, at=_time(_text(event, "time")))
    except (MalformedWebhook, RecursionError) as error:
        return replace(known, problem=str(error))


def _news(
    kind: str, fields: Mapping[str, Any], callback_base: str
) -> InboundText | StatusNews | None:
    if kind == _INBOUND:
        return _inbound(fields)
    return _status(kind, fields, callback_base) if kind.startswith(_STATUS) else None


def _inbound(fields: Mapping[str, Any]) -> InboundText:
    return InboundText(
        sid=_required_sid(fields, "messageSid"),
        account_sid=_required_sid(fields, "accountSid"),
        from_=_required(fields, "from"),
        to=printable(_required(fields, "to")),
        service_sid=printable(_text(fields, "messagingServiceSid")) or None,
        body=_text(fields, "body"),
        opt_out_type=_text(fields, "optOutType").upper() or None,
        num_media=_number(fields, "numMedia") or 0,
        raw={name: _plain(value) for name, value in fields.items()},
    )


def _status(kind: str, fields: Mapping[str, Any], callback_base: str) -> StatusNews:
    status = (_text(fields, "messageStatus") or kind.removeprefix(_STATUS)).lower()
    if not is_status(status):
        raise MalformedWebhook("the event's status is none")
    code, sender = _number(fields, "errorCode"), _text(fields, "from") or None
    return StatusNews(
        message_id=_our_id(_text(fields, "statusCallBackUrl"), callback_base),
        account_sid=_required_sid(fields, "accountSid"),
        sid=_required_sid(fields, "messageSid"),
        status=status,
        code=code,
        to=_required(fields, "to"),
        from_=sender,
        service_sid=_text(fields, "messagingServiceSid") or None,
        raw_dlr_done=_text(fields, "rawDlrDoneDate") or None,
        verdict=callback_verdict(status, code, toll_free=is_toll_free(sender)),
    )


def _our_id(url: str, callback_base: str) -> UUID | None:
    """The message id in a callback URL of this installation: others may share the account."""
    base = callback_base.rstrip("/")
    if not url.startswith(f"{base}/"):
        return None
    found = _OUR_CALLBACK.fullmatch(urlsplit(url.removeprefix(base)).path)
    try:
        return UUID(found[1]) if found else None
    except ValueError:
        return None


def _required(fields: Mapping[str, Any], name: str) -> str:
    value = _text(fields, name)
    if not value:
        raise MalformedWebhook(f"the event's field {name} is missing")
    return value


def _required_sid(fields: Mapping[str, Any], name: str) -> str:
    value = _required(fields, name)
    if not is_sid(value):
        raise MalformedWebhook(f"the event's field {name} is no SID")
    return value


def _time(value: str) -> datetime | None:
    """When it happened, by the provider's clock; ``None`` if it does not say so."""
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    if not _OLDEST_YEAR <= at.year <= _LATEST_YEAR:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def _number(fields: Mapping[str, Any], name: str) -> int | None:
    """A number, which schemas before the sixth wrote as text."""
    value = fields.get(name)
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value[:9])
    is_number = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9
    return value if is_number else None


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
