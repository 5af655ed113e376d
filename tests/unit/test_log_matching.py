"""Which record of the provider's log belongs to which message."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sender.domain.provider import MessageRecord
from sender.gateway.codes import callback_verdict
from sender.log_matching import by_recipient, match
from sender.storage.restoring import KnownMessage
from tests.bench import ACCOUNT, ANNA, BERT, OTHER_SENDER, SENDER, SERVICE, new_sid


def record(number: int, **facts: Any) -> MessageRecord:
    """A text of ours to Anna, in the log."""
    plain = {
        "sid": new_sid(number),
        "account_sid": ACCOUNT,
        "direction": "outbound-api",
        "from_": SENDER,
        "to": f"+{ANNA}",
        "body": "Hi Anna",
        "status": "sent",
        "error_code": None,
        "date_created": datetime(2026, 11, 25, tzinfo=UTC),
        "service_sid": None,
        "num_media": 0,
    }
    return MessageRecord(**plain | facts, verdict=callback_verdict("sent", None, toll_free=False))


def message(number: int, **facts: Any) -> KnownMessage:
    """A row to Anna that nobody knows the outcome of."""
    plain = {
        "id": UUID(int=number),
        "recipient": ANNA,
        "sid": None,
        "guarded_at": None,
        "sender": SENDER,
        "body": "Hi {name}",
        "fields": {"name": "Anna"},
    }
    return KnownMessage(**plain | facts)


def pairs(records: list[MessageRecord], known: list[KnownMessage]) -> dict[str, int]:
    """What was matched: the message's number by the record's SID."""
    found = match(by_recipient(records), known)
    assert len({one.message.id for one in found}) == len(found)
    return {one.record.sid: one.message.id.int for one in found}


def test_sender_and_text_make_a_match() -> None:
    """The text as it was sent to this person, from the campaign's sender."""
    assert pairs([record(1)], [message(1)]) == {new_sid(1): 1}


def test_anything_else_makes_none() -> None:
    """Another person, sender or text is another message; so is a text that cannot be made."""
    others = [
        message(1, recipient=BERT),
        message(2, sender=OTHER_SENDER),
        message(3, fields={"name": "Bert"}),
        message(4, fields={}),
    ]
    assert pairs([record(1)], others) == {}
    assert pairs([record(1, to="whatsapp:+14155552001")], [message(1)]) == {}


def test_a_sid_is_the_stronger_proof() -> None:
    """A record that a message has already is not taken for another one's."""
    settled, waiting = message(1, sid=new_sid(1)), message(2)
    assert pairs([record(1)], [settled, waiting]) == {new_sid(1): 1}
    assert pairs([record(1), record(2)], [waiting, settled]) == {new_sid(1): 1, new_sid(2): 2}


def test_two_alike_are_two() -> None:
    """Of two messages alike, as many are matched as there are records."""
    alike = [message(1), message(2)]
    assert pairs([record(1)], alike) == {new_sid(1): 1}
    assert pairs([record(1), record(2), record(3)], alike) == {new_sid(1): 1, new_sid(2): 2}


def test_a_service_is_known_by_its_sid() -> None:
    """Whichever number a Messaging Service chose."""
    sent = record(1, from_=OTHER_SENDER, service_sid=SERVICE)
    assert pairs([sent], [message(1, sender=SERVICE)]) == {new_sid(1): 1}
