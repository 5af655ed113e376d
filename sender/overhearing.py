"""Hears STOPs to numbers of a tenant's account that are no senders here, campaigns or not.

Their webhooks go elsewhere, if there are any, and the puller reads the logs of senders. Now and
then each account's log is read as a whole, as far as that is a few pages, like before campaigns.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import structlog

from sender.block_reading import BlockLog, BlockReading
from sender.clocks import Clock
from sender.errors import SenderError
from sender.storage import block_marks
from sender.storage.database import AsyncDatabase, told

log = structlog.get_logger(__name__)

#: How long such a STOP may go unheard: one request for each account, mostly.
EVERY = timedelta(minutes=5)
#: Accounts read in one round, one after the other.
AT_A_TIME = 10


class ProviderLogs(Protocol):
    """Each tenant's logs; ``ConfigurationError`` where it cannot sign in."""

    async def of(self, tenant_id: int) -> Clock:
        """Its clock."""

    async def blocks(self, tenant_id: int) -> BlockLog:
        """Its messages."""


@dataclass(frozen=True, kw_only=True)
class Overhearing:
    """Reads the accounts that are due, in whichever consumer has claimed them."""

    db: AsyncDatabase
    providers: ProviderLogs
    blocks: BlockReading
    every: timedelta = EVERY

    async def round(self) -> int:
        """Read them; how many were. What fails is read again when it is due again.

        Raises:
            DatabaseError: nobody could ask which are due.
        """
        due = await self.db.run(block_marks.claim_logs, every=self.every, limit=AT_A_TIME)
        return sum([await self._read(tenant_id) for tenant_id in due])

    async def _read(self, tenant_id: int) -> bool:
        try:
            provider = await self.providers.of(tenant_id)
            log_ = await self.providers.blocks(tenant_id)
            account = await self.blocks.open(tenant_id, log_, provider)
            covered = await self.blocks.account(account)
        except Exception as exc:  # noqa: BLE001  # whatever it is, the other accounts are read
            # Only our own errors' texts: another's may quote what a person wrote.
            why = str(exc) if isinstance(exc, SenderError) else told(exc)
            log.warning("account_not_read", tenant=tenant_id, error=why)
            return False
        if covered.since is None:
            log.info("account_log_too_long", tenant=tenant_id, unseen=covered.found.unseen)
        return True
