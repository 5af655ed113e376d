"""What the provider says to our requests and later of our messages, applied as its doors do."""

from collections.abc import Sequence
from uuid import UUID

from sender.domain.message import Guarded
from sender.domain.outcome import Outcome, Refused
from sender.domain.receipt import Receipt
from sender.enforcement import SuppressionCache
from sender.gateway import receipt_from_form
from sender.receipts import Counted, Receipts
from sender.settlement import Handed, Settlement
from sender.storage.database import AsyncDatabase
from tests.bench import ACCOUNT, ANNA, ENFORCEMENT, SENDER, Bench, hand_off


class _NoCache:
    """A Redis set that is never written."""

    async def add(self, entries: object) -> None:
        """Forget it."""


CACHE: SuppressionCache = _NoCache()


def callback(
    message_id: UUID, recipient: int, status: str, code: int | None, *, account: str = ACCOUNT
) -> Receipt:
    """A status callback about a message, as Twilio sends it."""
    form = {
        "AccountSid": account,
        "MessageSid": f"SM{message_id.hex}",
        "MessageStatus": status,
        "To": f"+{recipient}",
        "From": SENDER,
        "ErrorCode": "" if code is None else str(code),
    }
    return receipt_from_form(message_id, list(form.items()))


def report(bench: Bench, *batch: Receipt) -> None:
    """Apply a batch of status callbacks, all of which count."""
    receipts = Receipts(messages=bench.messages, enforcement=ENFORCEMENT)
    answers = bench.db.run(receipts.apply, batch)
    assert all(isinstance(one, Counted) for one in answers)


def fail(bench: Bench, campaign: int, code: int, recipient: int = ANNA, **facts: str) -> None:
    """Have one of a campaign's messages fail after it was accepted."""
    message_id = bench.row(campaign, recipient).id
    report(bench, callback(message_id, recipient, "undelivered", code, **facts))


async def refuse(
    bench: Bench, db: AsyncDatabase, licences: Sequence[Guarded], refused: Refused
) -> None:
    """Have these create requests refused."""
    settlement = Settlement(messages=bench.messages, enforcement=ENFORCEMENT, cache=CACHE)
    answered = [Handed(guarded=one, hand_off=hand_off(refused)) for one in licences]
    await settlement.settle(db, answered)


async def settle(bench: Bench, db: AsyncDatabase, licence: Guarded, outcome: Outcome) -> None:
    """Settle what came of one create request."""
    settlement = Settlement(messages=bench.messages, enforcement=ENFORCEMENT, cache=CACHE)
    await settlement.settle(db, [Handed(guarded=licence, hand_off=hand_off(outcome))])
