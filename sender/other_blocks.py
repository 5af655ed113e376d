"""Provider blocks that an account reports of messages which are none of ours.

Another system texts from the account's senders; who opted out there said it to them.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from sender.domain.consent import Suppression
from sender.domain.phone import digits
from sender.enforcement import Enforcement, LostBlock
from sender.storage import tenants
from sender.storage.database import Transaction
from sender.storage.texts import storable


class Reported(Protocol):
    """A message that the provider says it did not send, as a callback or an event tells of it."""

    @property
    def account_sid(self) -> str:
        """Who signed the report."""

    @property
    def sid(self) -> str:
        """The message's."""

    @property
    def to(self) -> str:
        """Whom it was for."""

    @property
    def from_(self) -> str | None:
        """The number it was from, if one was chosen."""

    @property
    def service_sid(self) -> str | None:
        """The Messaging Service it was from."""


def record(
    tx: Transaction, enforcement: Enforcement, report: Reported, *, source: str, at: datetime
) -> Sequence[Suppression]:
    """Store such a block, in the caller's transaction.

    Returns:
        The person's suppressions now, for the Redis set; none where there is no such person, or no
        tenant with this account.
    """
    tenant = tenants.by_account(tx, report.account_sid)
    recipient = _person(report.to)
    if tenant is None or recipient is None:
        return ()
    block = LostBlock(
        tenant_id=tenant.id,
        recipient=recipient,
        senders=(storable(report.service_sid or ""), storable(report.from_ or "")),
        source=source,
        source_id=report.sid,
        provider_at=at,
    )
    return enforcement.record_lost_block(tx, block)


def _person(address: str) -> int | None:
    try:
        return digits(address)
    except ValueError:
        return None
