"""The sets as the mirror sees them: counted, written and rebuilt by (tenant, scope)."""

import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from redis import Redis
from redis.exceptions import RedisError

from sender.domain.admission import ScopeSize
from sender.errors import SuppressionUnavailable
from sender.suppression.health import ailing, inspect
from sender.suppression.keys import POSITION_KEY
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
        self._chance = random.Random()

    def size(self, tenant_id: int, scope: int) -> ScopeSize:
        """Count one scope's set."""
        health = inspect(self._redis, tenant_id=tenant_id, scope=scope)
        return ScopeSize(members=health.members, cold=health.cold)

    def ailing(self, scopes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Those whose set wants a rebuild, by a quick look: see `health.ailing`."""
        return ailing(self._redis, scopes, chance=self._chance)

    def position(self) -> int | None:
        """Up to which transaction the sets have followed the log; ``None`` if they have not."""
        with _translated():
            found = self._redis.get(POSITION_KEY)
        return None if found is None else int(found)

    def note_position(self, position: int) -> None:
        """Note that everything before this transaction is in the sets."""
        with _translated():
            self._redis.set(POSITION_KEY, position)

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


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except RedisError as exc:
        raise SuppressionUnavailable(f"the mirror's position is unknown: {exc!r}") from exc


def _entries(triples: Iterable[tuple[int, int, int]]) -> list[Entry]:
    return [
        Entry(tenant_id=tenant_id, scope=scope, recipient=recipient)
        for tenant_id, scope, recipient in triples
    ]
