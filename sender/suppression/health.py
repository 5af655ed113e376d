"""What is really in a scope's set, to be compared with Postgres.

The sentinels show a bucket that is missing. They do not show a whole set that is old (a restored
snapshot, a failover to a replica that lagged): for that a caller compares `SetHealth.members` with
the number of suppressions in Postgres.
"""

from dataclasses import dataclass
from typing import Final

from redis import Redis
from redis.exceptions import RedisError

from sender.errors import SuppressionUnavailable
from sender.suppression.batches import batched
from sender.suppression.keys import INTSET_LIMIT, bucket_key, pointer_key, sentinel

#: Buckets asked about in one pipeline.
BUCKETS_A_PIPELINE: Final = 5_000

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
