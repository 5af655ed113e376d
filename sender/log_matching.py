"""Which record of the provider's log belongs to which message of ours, many at a time."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sender.domain.phone import digits
from sender.domain.provider import MessageRecord
from sender.domain.template import Template, TemplateError
from sender.storage.restoring import KnownMessage


@dataclass(frozen=True, kw_only=True)
class Match:
    """A record, and the message that it proves was accepted."""

    record: MessageRecord
    message: KnownMessage


def by_recipient(records: Iterable[MessageRecord]) -> dict[int, list[MessageRecord]]:
    """Records by the number they went to; what went to no number is none of ours."""
    found: dict[int, list[MessageRecord]] = {}
    for record in records:
        try:
            recipient = digits(record.to)
        except ValueError:
            continue
        found.setdefault(recipient, []).append(record)
    return found


def match(
    records: Mapping[int, Sequence[MessageRecord]], known: Iterable[KnownMessage]
) -> list[Match]:
    """Pair them by SID, else by recipient, sender and text; each record and message once.

    Args:
        records: by recipient.
        known: messages to these recipients that are not settled, or have one of the SIDs.
    """
    settled: dict[str, KnownMessage] = {}
    open_: dict[int, list[tuple[str, KnownMessage]]] = {}
    for message in known:
        if message.sid is not None:
            settled[message.sid] = message
        elif body := _body(message):
            open_.setdefault(message.recipient, []).append((body, message))
    found = []
    for recipient, ones in records.items():
        for record in ones:
            own = settled.get(record.sid) or _take(open_.get(recipient, []), record)
            if own is not None:
                found.append(Match(record=record, message=own))
    return found


def _body(message: KnownMessage) -> str:
    """The text as it would be sent; empty for a row that never could be."""
    try:
        return Template.parse(message.body).render(message.fields)
    except TemplateError:
        return ""


def _take(open_: list[tuple[str, KnownMessage]], record: MessageRecord) -> KnownMessage | None:
    """The first message that the record may be of; it is not open any more."""
    for place, (body, message) in enumerate(open_):
        if record.body == body and record.is_from(message.sender):
            del open_[place]
            return message
    return None
