"""A text a person sent to one of our senders."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from sender.domain.provider import MessageRecord


@dataclass(frozen=True, kw_only=True)
class InboundText:
    """An inbound message as the provider described it; nothing in it is interpreted yet."""

    sid: str
    account_sid: str
    #: As written by the provider: ``+`` and digits, or a channel address like ``whatsapp:+1…``.
    from_: str
    to: str
    #: The Messaging Service, when the number belongs to one.
    service_sid: str | None
    #: Untrimmed; empty for a picture without words.
    body: str
    #: ``STOP``, ``START`` or ``HELP``: the provider's own reading, where Advanced Opt-Out is on.
    opt_out_type: str | None
    num_media: int
    #: Every field as received, for evidence and for what nobody has thought of yet.
    raw: Mapping[str, str] = field(repr=False)
    #: Whether the provider's log told of it, and no webhook.
    pulled: bool = False

    @classmethod
    def from_record(cls, record: MessageRecord) -> Self:
        """The same message pulled from the provider's log; it never tells the opt-out type.

        Raises:
            ValueError: the record is not an inbound message with a From.
        """
        if not record.inbound or record.from_ is None:
            raise ValueError(f"{record.sid} is not an inbound message")
        return cls(
            sid=record.sid,
            account_sid=record.account_sid,
            from_=record.from_,
            to=record.to,
            service_sid=record.service_sid,
            body=record.body,
            opt_out_type=None,
            num_media=record.num_media,
            raw={},
            pulled=True,
        )
