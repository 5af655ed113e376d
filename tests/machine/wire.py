"""Twilio's end: requests on the network, what was accepted, and its logs."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from sender.domain.message import Guarded
from sender.domain.provider import MessageRecord
from sender.domain.receipt import Receipt
from sender.gateway.codes import callback_verdict
from tests.bench import ACCOUNT


@dataclass(frozen=True, kw_only=True)
class Licence:
    """A guarded row in a worker's hands, and the text it is about."""

    guarded: Guarded
    recipient: int
    sender: str
    body: str


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A text that the provider accepted."""

    licence: Licence
    sid: str
    at: datetime

    def receipt(self, status: str, code: int | None) -> Receipt:
        """A status callback about it."""
        return Receipt(
            message_id=self.licence.guarded.message_id,
            account_sid=ACCOUNT,
            sid=self.sid,
            status=status,
            code=code,
            to=f"+{self.licence.recipient}",
            from_=self.licence.sender,
            service_sid=None,
            raw_dlr_done=None,
            verdict=callback_verdict(status, code, toll_free=False),
        )

    def record(self) -> MessageRecord:
        """What stands in the provider's log."""
        return _record(
            sid=self.sid,
            direction="outbound-api",
            from_=self.licence.sender,
            to=f"+{self.licence.recipient}",
            body=self.licence.body,
            at=self.at,
        )


@dataclass
class Wire:
    """The provider, and its logs as our gateway would read them."""

    accepted: list[Taken] = field(default_factory=list)
    #: When each text of a person was received, once the provider tells.
    told: dict[str, datetime] = field(default_factory=dict)

    def accept(self, licence: Licence) -> Taken:
        """Take a request."""
        sid = f"SM{licence.guarded.message_id.hex[:24]}{len(self.accepted):08x}"
        taken = Taken(licence=licence, sid=sid, at=datetime.now(UTC))
        self.accepted.append(taken)
        return taken

    def sent_to(self, message_id: UUID) -> list[Taken]:
        """What was accepted of one message."""
        return [one for one in self.accepted if one.licence.guarded.message_id == message_id]

    def counts(self) -> Counter[tuple[int, str]]:
        """How often each person was sent each text."""
        return Counter((one.licence.recipient, one.licence.body) for one in self.accepted)

    async def of(self, _tenant_id: int) -> "Wire":
        """Every tenant's log."""
        return self

    async def list_to(self, recipient: int, since: datetime) -> list[MessageRecord]:
        """What was sent to a person."""
        return [
            one.record()
            for one in self.accepted
            if one.licence.recipient == recipient and one.at >= since
        ]

    async def fetch(self, sid: str) -> MessageRecord | None:
        """A text that a person sent."""
        if sid not in self.told:
            return None
        at = self.told[sid]
        return _record(sid=sid, direction="inbound", from_=None, to="", body="", at=at)


def _record(
    *, sid: str, direction: str, from_: str | None, to: str, body: str, at: datetime
) -> MessageRecord:
    return MessageRecord(
        sid=sid,
        account_sid=ACCOUNT,
        direction=direction,
        from_=from_,
        to=to,
        body=body,
        status="sent",
        error_code=None,
        date_created=at,
        service_sid=None,
        num_media=0,
        verdict=callback_verdict("sent", None, toll_free=False),
    )
