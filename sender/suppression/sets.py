"""The sets as the mirror sees them: counted, written and rebuilt by (tenant, scope)."""

from collections.abc import Iterable

from redis import Redis

from sender.domain.admission import ScopeSize
from sender.suppression.health import inspect
from sender.suppression.rebuild import rebuild
from sender.suppression.writing import Entry, SuppressionWriter


class RedisSets:
    """All of a server's suppression sets.

    Every method raises ``SuppressionUnavailable`` when Redis fails, ``rebuild`` also
    ``RebuildRefused`` when another process is at it.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._writer = SuppressionWriter(redis)

    def size(self, tenant_id: int, scope: int) -> ScopeSize:
        """Count one scope's set."""
        health = inspect(self._redis, tenant_id=tenant_id, scope=scope)
        return ScopeSize(members=health.members, cold=health.cold)

    def write(
        self,
        *,
        add: Iterable[tuple[int, int, int]],
        remove: Iterable[tuple[int, int, int]],
    ) -> None:
        """Add and remove (tenant, scope, recipient) entries."""
        self._writer.add(_entries(add))
        self._writer.remove(_entries(remove))

    def rebuild(
        self, tenant_id: int, scope: int, entries: Iterable[int], *, count: int, floor: int
    ) -> None:
        """Replace a scope's set."""
        rebuild(
            self._redis,
            tenant_id=tenant_id,
            scope=scope,
            entries=entries,
            count=count,
            floor=floor,
        )


def _entries(triples: Iterable[tuple[int, int, int]]) -> list[Entry]:
    return [
        Entry(tenant_id=tenant_id, scope=scope, recipient=recipient)
        for tenant_id, scope, recipient in triples
    ]
