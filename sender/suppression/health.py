"""What is really in a scope's set, to be compared with Postgres.

The sentinels show a bucket that is missing. They do not show a whole set that is old (a restored
snapshot, a failover to a replica that lagged): for that a caller compares `SetHealth.members` with
the number of suppressions in Postgres.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from redis import Redis
from redis.exceptions import RedisError

from sender.errors import SuppressionUnavailable
from sender.suppression.batches import batched
from sender.suppression.keys import INTSET_LIMIT, bucket_key, pointer_key, sentinel

#: Buckets asked about in one pipeline.
BUCKETS_A_PIPELINE: Final = 5_000

#: Buckets looked at in one quick inspection of all sets.
SAMPLED: Final = 1_000

#: How often to start again when a rebuild switches generations under the count.
ATTEMPTS: Final = 3


@dataclass(frozen=True, kw_only=True)
class SetHealth:
    """A scope's set, counted."""

    #: The generation in force; 0 when the scope was never built here.
    generation: int
    #: How many buckets it should have.
    buckets: int
    #: How many of them are whole, that is, have their sentinel.
    whole: int
    #: Numbers in all buckets.
    members: int
    #: Members of the fullest bucket, its sentinel included.
    fullest: int

    @property
    def cold(self) -> bool:
        """Whether any number of the scope would be answered "cold": the set wants a rebuild."""
        return self.generation == 0 or self.whole < self.buckets

    @property
    def crowded(self) -> bool:
        """Whether a bucket outgrew its compact form: a rebuild would save memory."""
        return self.fullest > INTSET_LIMIT


def inspect(redis: Redis, *, tenant_id: int, scope: int) -> SetHealth:
    """Count a scope's set exactly, two commands a bucket.

    Raises:
        SuppressionUnavailable: Redis failed, or rebuilds switched under every attempt.
    """
    pointer = pointer_key(tenant_id, scope)
    try:
        for _ in range(ATTEMPTS):
            generation, buckets = _in_force(redis, pointer)
            health = _count(redis, pointer, generation, buckets)
            if _in_force(redis, pointer) == (generation, buckets):
                return health
    except RedisError as exc:
        raise SuppressionUnavailable(f"the set was not counted: {exc!r}") from exc
    raise SuppressionUnavailable(f"{pointer} was rebuilt {ATTEMPTS} times while being counted")


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What a pointer says."""

    generation: int
    buckets: int
    #: Whether a lookup met a bucket of this generation that was not whole.
    met_cold: bool


def ailing(
    redis: Redis, scopes: Sequence[tuple[int, int]], *, chance: random.Random
) -> list[tuple[int, int]]:
    """The (tenant, scope) pairs whose set wants a rebuild, as far as a quick look can tell.

    A set that was never built, in which a lookup met a bucket that is not whole, or in which a
    sampled bucket is not whole or has outgrown its compact form. Two pipelines, of
    ``SAMPLED`` buckets in all, however many scopes and numbers there are.

    Raises:
        SuppressionUnavailable: Redis failed.
    """
    try:
        seen = _pointers(redis, scopes)
        return [
            pair
            for pair, one, well in zip(
                scopes, seen, _samples(redis, scopes, seen, chance), strict=True
            )
            if not one.generation or one.met_cold or not well
        ]
    except RedisError as exc:
        raise SuppressionUnavailable(f"the sets were not inspected: {exc!r}") from exc


def _pointers(redis: Redis, scopes: Sequence[tuple[int, int]]) -> list[_Seen]:
    with redis.pipeline(transaction=False) as pipeline:
        for pair in scopes:
            pipeline.hmget(pointer_key(*pair), "generation", "buckets", "met_cold")
        return [
            _Seen(
                generation=int(generation or 0),
                buckets=int(buckets or 0),
                met_cold=met is not None and met == generation,
            )
            for generation, buckets, met in pipeline.execute()
        ]


def _samples(
    redis: Redis,
    scopes: Sequence[tuple[int, int]],
    seen: Sequence[_Seen],
    chance: random.Random,
) -> list[bool]:
    """For each scope, whether all of its sampled buckets are whole and compact."""
    each = max(1, SAMPLED // max(1, len(scopes)))
    counts = []
    with redis.pipeline(transaction=False) as pipeline:
        for pair, one in zip(scopes, seen, strict=True):
            chosen = chance.sample(range(one.buckets), min(each, one.buckets))
            counts.append(len(chosen))
            for bucket in chosen:
                key = bucket_key(pointer_key(*pair), one.generation, bucket)
                pipeline.sismember(key, str(sentinel(one.generation)))
                pipeline.scard(key)
        replies = iter(pipeline.execute())
    return [_all_well(replies, count) for count in counts]


def _all_well(replies: Iterator[int], buckets: int) -> bool:
    """Take the two replies of each bucket, all of them, whatever the first ones say."""
    found = [_is_well(next(replies), next(replies)) for _ in range(buckets)]
    return all(found)


def _is_well(whole: int, members: int) -> bool:
    return bool(whole) and members <= INTSET_LIMIT


def _in_force(redis: Redis, pointer: str) -> tuple[int, int]:
    """The generation and bucket count that lookups use now; zeros when there is none."""
    generation, buckets = redis.hmget(pointer, "generation", "buckets")
    return int(generation or 0), int(buckets or 0)


def _count(redis: Redis, pointer: str, generation: int, buckets: int) -> SetHealth:
    whole = sizes = fullest = 0
    for batch in batched(range(buckets), BUCKETS_A_PIPELINE):
        with redis.pipeline(transaction=False) as pipeline:
            for bucket in batch:
                key = bucket_key(pointer, generation, bucket)
                pipeline.sismember(key, str(sentinel(generation)))
                pipeline.scard(key)
            replies = pipeline.execute()
        whole += sum(map(bool, replies[::2]))
        sizes += sum(replies[1::2])
        fullest = max(fullest, *replies[1::2])
    return SetHealth(
        generation=generation,
        buckets=buckets,
        whole=whole,
        members=sizes - whole,
        fullest=fullest,
    )
