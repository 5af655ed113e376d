"""A person texts one of our numbers: the block first, then the webhook, as Twilio does it."""

import time
from dataclasses import dataclass
from typing import Annotated

from pydantic import ConfigDict, Field, with_config

from sender.simulator.messages import API_VERSION, Direction, MessageRow, Status, new_sid
from sender.simulator.optouts import AUTO_REPLIES, Keyword, classify
from sender.simulator.segments import count_segments
from sender.simulator.simulator import Simulator
from sender.simulator.webhooks import Webhook


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, kw_only=True)
class PersonText:
    """What a person texts, and to which of our numbers."""

    sender: Annotated[str, Field(validation_alias="from")]
    to: str
    body: str
    #: What Advanced Opt-Out makes of it (a custom keyword, another language); by default what
    #: the default keywords say.
    opt_out_type: Keyword | None = None


@dataclass(frozen=True, kw_only=True)
class Received:
    """The stored message, and its webhook where an inbound URL is configured."""

    row: MessageRow
    webhook: Webhook | None


def receive(simulator: Simulator, text: PersonText, *, origin: str) -> Received:
    """Store a person's text, obey its keyword and queue its webhook.

    Args:
        simulator: The provider.
        text: The text.
        origin: Who caused it, for the log: ``control`` or ``script``.
    """
    keyword = text.opt_out_type or classify(text.body)
    row = _store(simulator, text)
    if keyword:
        _obey(simulator, text, keyword)
    return Received(row=row, webhook=_notify(simulator, text, row, keyword, origin))


def _store(simulator: Simulator, text: PersonText) -> MessageRow:
    now = time.time()
    row = MessageRow(
        sid=new_sid(),
        account_sid=simulator.account.sid,
        direction=Direction.INBOUND,
        status=Status.RECEIVED,
        to=text.to,
        number=text.sender,
        body=text.body,
        messaging_service_sid=simulator.account.service_of(text.to),
        created_at=now,
        sent_at=now,
    )
    simulator.messages.add(row)
    return row


def _obey(simulator: Simulator, text: PersonText, keyword: Keyword) -> None:
    """Change the block table and answer the person, unless opt-out handling is off.

    Replies of Advanced Opt-Out do not show up in the message log, so none is stored for it.
    """
    if not simulator.behaviour.provider_block:
        return
    scope = simulator.account.scope_of(text.to)
    is_answered = simulator.blocks.apply(scope, text.sender, keyword)
    if is_answered and scope not in simulator.config.advanced_opt_out:
        simulator.messages.add(_auto_reply(simulator, text, keyword))


def _auto_reply(simulator: Simulator, text: PersonText, keyword: Keyword) -> MessageRow:
    now = time.time()
    return MessageRow(
        sid=new_sid(),
        account_sid=simulator.account.sid,
        direction=Direction.OUTBOUND_REPLY,
        status=Status.DELIVERED,
        to=text.sender,
        number=text.to,
        body=AUTO_REPLIES[keyword],
        messaging_service_sid=simulator.account.service_of(text.to),
        created_at=now,
        sent_at=now,
    )


def _notify(
    simulator: Simulator,
    text: PersonText,
    row: MessageRow,
    keyword: Keyword | None,
    origin: str,
) -> Webhook | None:
    url, fallback = simulator.hooks.called_for(text.to)
    url = url or simulator.behaviour.inbound_url
    if not url:
        return None
    is_advanced = row.messaging_service_sid in simulator.config.advanced_opt_out
    tag = keyword if is_advanced else text.opt_out_type
    return simulator.post(
        simulator.inbound_webhooks,
        "inbound",
        url,
        _params(row, tag),
        **{"message_sid": row.sid, "from": text.sender, "to": text.to},
        body=text.body,
        origin=origin,
        fallback=fallback,
    )


def _params(row: MessageRow, tag: Keyword | None) -> dict[str, str]:
    """All parameters of an inbound webhook; many are blank, and blank ones are signed too."""
    params = {
        "ToCountry": _country(row.to),
        "ToState": "",
        "SmsMessageSid": row.sid,
        "NumMedia": str(row.num_media),
        "ToCity": "",
        "FromZip": "",
        "SmsSid": row.sid,
        "FromState": "",
        "SmsStatus": row.status.value,
        "FromCity": "",
        "Body": row.body,
        "FromCountry": _country(row.number),
        "To": row.to,
        "ToZip": "",
        "NumSegments": str(count_segments(row.body)),
        "MessageSid": row.sid,
        "AccountSid": row.account_sid,
        "From": row.number,
        "ApiVersion": API_VERSION,
    }
    if row.messaging_service_sid:
        params["MessagingServiceSid"] = row.messaging_service_sid
    if tag:
        params["OptOutType"] = tag.value
    return params


def _country(number: str) -> str:
    """Often blank in Twilio's requests too; never guessed beyond +1."""
    return "US" if number.startswith("+1") else ""
