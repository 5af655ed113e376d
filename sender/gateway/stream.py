"""What Twilio's Event Streams post: a batch of CloudEvents in JSON.

Source: twilio.com/docs/events/event-types/messaging/inbound-message and …/outbound-message
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

from sender.domain.inbound import InboundText
from sender.domain.stream import StatusNews, StreamEvent
from sender.errors import MalformedWebhook
from sender.gateway.codes import callback_verdict, is_toll_free

_INBOUND: Final = "com.twilio.messaging.inbound-message.received"
_STATUS: Final = "com.twilio.messaging.message."
_OUR_CALLBACK: Final = re.compile(r"/twilio/status/([0-9a-f-]{36})")


def events_from_json(raw: bytes, *, callback_base: str) -> list[StreamEvent]:
    """The events of a batch, or of a sink that sends them one by one.

    Args:
        raw: the body.
        callback_base: the public URL in front of ``/twilio/status/…``.

    Raises:
        MalformedWebhook: the body is no JSON, or no events.
    """
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise MalformedWebhook("the body is no JSON") from error
    batch = found if isinstance(found, list) else [found]
    if not all(isinstance(one, dict) and _text(one, "id") for one in batch):
        raise MalformedWebhook("the body holds something else than events with an id")
    return [_event(one, callback_base) for one in batch]


def _event(event: Mapping[str, Any], callback_base: str) -> StreamEvent:
    data = event.get("data")
    fields = data if isinstance(data, dict) else {}
    known = {"id": _text(event, "id"), "account_sid": _text(fields, "accountSid")}
    try:
        return StreamEvent(**known, news=_news(_text(event, "type"), fields, callback_base))
    except MalformedWebhook as error:
        return StreamEvent(**known, news=None, problem=str(error))


def _news(
    kind: str, fields: Mapping[str, Any], callback_base: str
) -> InboundText | StatusNews | None:
    if kind == _INBOUND:
        return _inbound(fields)
    return _status(kind, fields, callback_base) if kind.startswith(_STATUS) else None


def _inbound(fields: Mapping[str, Any]) -> InboundText:
    return InboundText(
        sid=_required(fields, "messageSid"),
        account_sid=_required(fields, "accountSid"),
        from_=_required(fields, "from"),
        to=_required(fields, "to"),
        service_sid=_text(fields, "messagingServiceSid") or None,
        body=_text(fields, "body"),
        opt_out_type=_text(fields, "optOutType").upper() or None,
        num_media=_number(fields, "numMedia") or 0,
        raw={name: _plain(value) for name, value in fields.items()},
    )


def _status(kind: str, fields: Mapping[str, Any], callback_base: str) -> StatusNews:
    status = (_text(fields, "messageStatus") or kind.removeprefix(_STATUS)).lower()
    code, sender = _number(fields, "errorCode"), _text(fields, "from") or None
    return StatusNews(
        message_id=_our_id(_text(fields, "statusCallBackUrl"), callback_base),
        account_sid=_required(fields, "accountSid"),
        sid=_required(fields, "messageSid"),
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
