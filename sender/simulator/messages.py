"""The account's Message rows, outbound and inbound, and their JSON shape."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import formatdate
from enum import StrEnum
from functools import lru_cache
from uuid import uuid4

from sender.simulator.segments import count_segments

API_VERSION = "2010-04-01"


class Direction(StrEnum):
    """Who began a message."""

    INBOUND = "inbound"
    OUTBOUND_API = "outbound-api"
    #: An automatic reply to a keyword.
    OUTBOUND_REPLY = "outbound-reply"


class Status(StrEnum):
    """The statuses a simulated message can have."""

    ACCEPTED = "accepted"
    QUEUED = "queued"
    #: Put off by the provider itself, as its Compliance Toolkit does in quiet hours.
    SCHEDULED = "scheduled"
    CANCELED = "canceled"
    SENT = "sent"
    DELIVERED = "delivered"
    #: A carrier or handset refused it after it left.
    UNDELIVERED = "undelivered"
    #: It never left the provider.
    FAILED = "failed"
    RECEIVED = "received"


@dataclass(slots=True, kw_only=True, eq=False)
class MessageRow:
    """One message. Mutable, as the resource is: status, sender and dates fill in over time."""

    account_sid: str
    direction: Direction
    status: Status
    to: str
    #: The number it leaves through or was sent from.
    number: str
    #: Unix time, arrival of the create request or of the person's text.
    created_at: float
    sid: str
    body: str
    #: False while a Messaging Service has not chosen: ``from`` is null until then.
    number_shown: bool = True
    messaging_service_sid: str | None = None
    num_media: int = 0
    status_callback: str = ""
    updated_at: float = 0.0
    sent_at: float | None = None
    error_code: int | None = None
    #: Position in the account's history, set when stored.
    ordinal: int = 0

    def as_json(self) -> dict[str, object]:
        """The Message resource: numbers as strings, RFC 2822 dates with whole seconds."""
        uri = f"/{API_VERSION}/Accounts/{self.account_sid}/Messages/{self.sid}"
        segments = count_segments(self.body) if self.number_shown else 0
        return {
            "sid": self.sid,
            "account_sid": self.account_sid,
            "messaging_service_sid": self.messaging_service_sid,
            "status": self.status,
            "direction": self.direction,
            "from": self.number if self.number_shown else None,
            "to": self.to,
            "body": self.body,
            "num_segments": str(segments),
            "num_media": str(self.num_media),
            "price": None if self.sent_at is None else f"{-0.0079 * segments:.5f}",
            "price_unit": "USD",
            "error_code": self.error_code,
            "error_message": None,
            "date_created": _rfc_2822(int(self.created_at)),
            "date_updated": _rfc_2822(int(self.updated_at or self.created_at)),
            "date_sent": None if self.sent_at is None else _rfc_2822(int(self.sent_at)),
            "api_version": API_VERSION,
            "uri": f"{uri}.json",
            "subresource_uris": {"media": f"{uri}/Media.json"},
        }


class Messages:
    """All rows of the account, by SID and by recipient, oldest first."""

    def __init__(self) -> None:
        self._rows: list[MessageRow] = []
        self._by_sid: dict[str, MessageRow] = {}
        self._by_to: defaultdict[str, list[MessageRow]] = defaultdict(list)
        self._by_person: defaultdict[str, list[MessageRow]] = defaultdict(list)

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, row: MessageRow) -> None:
        """Store a new row at the end of the history."""
        row.ordinal = len(self._rows)
        self._rows.append(row)
        self._by_sid[row.sid] = row
        self._by_to[row.to].append(row)
        if row.direction is Direction.INBOUND:
            self._by_person[row.number].append(row)

    def get(self, sid: str) -> MessageRow | None:
        """The row with this SID."""
        return self._by_sid.get(sid)

    def holds(self, row: MessageRow) -> bool:
        """Whether this very row is still stored; a reset forgets rows with timers running."""
        return self._by_sid.get(row.sid) is row

    def rows(self, *, to: str | None = None, sender: str | None = None) -> Sequence[MessageRow]:
        """The rows (to one recipient, or a person's texts), oldest first; not a copy.

        With a ``sender`` that is no person, all: whoever asks looks for it among them.
        """
        if to is not None:
            return self._by_to.get(to, [])
        return self._by_person.get(sender or "", self._rows)


def new_sid() -> str:
    """A Message SID: ``SM`` and 32 hex digits."""
    return f"SM{uuid4().hex}"


@lru_cache(maxsize=1024)
def _rfc_2822(second: int) -> str:
    return formatdate(second).replace("-0000", "+0000")
