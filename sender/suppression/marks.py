"""The high-water mark in Redis: only ever raised, and gone when Redis is emptied."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

from sender.domain.high_water import Mark
from sender.errors import MarkUnavailable, MarkUnreadable
from sender.suppression.keys import HIGH_WATER_KEYS, high_water_key
from sender.suppression.scripts import run_async

#: A millisecond of Redis's time.
_KEYS_AT_A_TIME = 1000


class RedisMarks:
    """Keeps one mark for each database."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def read(self, identity: UUID) -> Mark | None:
        """The mark kept of this database; ``None`` if there is none.

        Raises:
            MarkUnavailable: Redis cannot be asked.
            MarkUnreadable: what is kept is no mark.
        """
        try:
            found = await self._redis.hmget(high_water_key(identity), ["era", "seq", "timeline"])
        except RedisError as exc:
            raise MarkUnavailable(f"Redis cannot be asked: {type(exc).__name__}") from exc
        return None if not any(found) else _mark(identity, found)

    async def knows_another(self, identity: UUID) -> bool:
        """Whether a mark of another database is kept; goes through all keys.

        Raises:
            MarkUnavailable: Redis cannot be asked.
        """
        own = high_water_key(identity)
        try:
            async for key in self._redis.scan_iter(match=HIGH_WATER_KEYS, count=_KEYS_AT_A_TIME):
                if key not in {own, own.encode()}:
                    return True
        except RedisError as exc:
            raise MarkUnavailable(f"Redis cannot be asked: {type(exc).__name__}") from exc
        return False

    async def raise_to(self, mark: Mark) -> Mark:
        """Keep this mark unless a higher one is kept; the one that is kept now.

        Raises:
            MarkUnavailable: Redis did not take it.
        """
        keys = [high_water_key(mark.identity)]
        values = [mark.era, mark.seq, mark.timeline or ""]
        try:
            kept = await run_async(self._redis, "raise_mark", keys, values)
        except RedisError as exc:
            raise MarkUnavailable(f"Redis did not take it: {type(exc).__name__}") from exc
        return _mark(mark.identity, kept)


def _mark(identity: UUID, kept: Sequence[Any]) -> Mark:
    try:
        era, seq = int(kept[0]), int(kept[1])
        timeline = int(kept[2]) if kept[2] else None
    except (TypeError, ValueError) as exc:
        raise MarkUnreadable(f"{high_water_key(identity)} in Redis is no mark") from exc
    return Mark(identity=identity, era=era, seq=seq, timeline=timeline)
