"""The set as the send path and the webhook app write to it: at once, and without ever failing.

A write that is lost here costs speed, not correctness: the guard asks Postgres, and the consumer
writes the same again from the consent log.
"""

from collections.abc import Iterable, Sequence

import structlog
from redis.asyncio import Redis

from sender.domain.consent import Suppression
from sender.errors import SuppressionUnavailable
from sender.suppression.writing import AsyncSuppressionWriter, Entry

log = structlog.get_logger(__name__)


class RedisCache:
    """Best-effort writes; failures are logged and left to the consumer."""

    def __init__(self, redis: Redis) -> None:
        self._writer = AsyncSuppressionWriter(redis)

    async def add(self, entries: Iterable[Suppression]) -> None:
        """Make these numbers hit at once."""
        wanted = [
            Entry(tenant_id=one.tenant_id, scope=one.scope, recipient=one.recipient)
            for one in entries
        ]
        try:
            await self._writer.add(wanted)
        except SuppressionUnavailable as exc:
            log.warning("suppression_cache_behind", entries=len(wanted), error=str(exc))

    async def forget(self, scopes: Sequence[tuple[int, int]], recipients: Sequence[int]) -> None:
        """Take wrong hits out of these (tenant, scope) pairs."""
        wrong = [
            Entry(tenant_id=tenant_id, scope=scope, recipient=recipient)
            for tenant_id, scope in scopes
            for recipient in recipients
        ]
        try:
            await self._writer.remove(wrong)
        except SuppressionUnavailable as exc:
            log.warning("suppression_cache_wrong", entries=len(wrong), error=str(exc))
