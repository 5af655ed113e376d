"""Building a scope's set anew from Postgres, unseen until it is whole.

The order that loses nothing, of which the first and last steps are the caller's:

1. note the cursor of the consent log;
2. `rebuild`: open the next generation (writers write to both from here on), put the sentinel into
   every one of its buckets, fill it, switch the pointer, remove what it replaced;
3. replay the consent log from the cursor. A START that came while its recipient was being copied is
   undone by the copy until then; a STOP never is.

Sentinels go in first and only once: a bucket that is lost while the set is being filled has none
afterwards, however much is still added to it, and is cold instead of looking whole.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError

from sender.errors import RebuildRefused, SuppressionUnavailable
from sender.suppression.batches import batched
from sender.suppression.keys import bucket_key, buckets_for, pointer_key, sentinel, split
from sender.suppression.scripts import run, script

#: Numbers in one pipeline, at least and at most. A million numbers take 1.0 s in hundreds of
#: thousands against 1.8 s in twenty thousands, because each command then brings its bucket more
#: members; half a million held in memory are about 50 MB.
SMALLEST_BATCH: Final = 100_000
LARGEST_BATCH: Final = 500_000

#: Members that a command should bring its bucket.
MEMBERS_A_COMMAND: Final = 10

#: How long a rebuild may be silent before another may take over; renewed with every batch.
LEASE: Final = timedelta(seconds=20)

#: Sentinels in one pipeline.
BUCKETS_A_PIPELINE: Final = 20_000

#: Keys in one UNLINK, which blocks the server while it takes them out of the keyspace.
KEYS_AN_UNLINK: Final = 1_000


def rebuild(  # noqa: PLR0913 - the scope, its numbers and how many belong together
    redis: Redis,
    *,
    tenant_id: int,
    scope: int,
    entries: Iterable[int],
    count: int,
    floor: int,
    batch: int | None = None,
) -> int:
    """Replace a scope's set by these numbers.

    Args:
        redis: the server with the set; `connecting.connect_sync` makes a fitting client.
        tenant_id: whose list; 0 is the platform.
        scope: 0 for all senders of the tenant, else the sender's id.
        entries: E.164 digits as integers. Read only after the next generation is open, so a lazy
            iterable (a cursor opened when first asked) misses nothing; read once, not kept.
        count: about how many there are; sizes the buckets and need not be exact.
        floor: the new generation is greater than this: Unix time in seconds, so that generations go
            on rising after the pointer was lost.
        batch: numbers held in memory and sent at a time; by default what suits the size.

    Returns:
        The generation now in force.

    Raises:
        RebuildRefused: another rebuild of this scope is under way, or took over from this one, or
            the server was flushed meanwhile. This rebuild has changed nothing.
        SuppressionUnavailable: Redis failed. The generation in force is the old one or, if only
            an answer was lost, the new one; either is whole.
    """
    buckets = buckets_for(count)
    with _translated():
        coming, leftovers = _begin(redis, pointer_key(tenant_id, scope), buckets, floor)
        try:
            for leftover in leftovers:
                leftover.remove()
            coming.put_sentinels()
            for numbers in batched(entries, batch or _batch_for(buckets)):
                coming.fill(numbers)
            replaced = coming.switch()
        except BaseException:
            coming.abandon()
            raise
        # In force from here on. What is not removed now, the next rebuild will remove.
        with suppress(RedisError):
            replaced.remove()
    return coming.number


@dataclass(frozen=True, kw_only=True)
class _Generation:
    """The keys of one generation of one scope."""

    redis: Redis
    pointer: str
    number: int
    buckets: int

    def put_sentinels(self) -> None:
        """Mark every bucket as whole, before there is anything to be lost from it."""
        for buckets in batched(range(self.buckets), BUCKETS_A_PIPELINE):
            with self._renewing() as pipeline:
                for bucket in buckets:
                    pipeline.sadd(self._key(bucket), sentinel(self.number))

    def fill(self, numbers: Iterable[int]) -> None:
        """Add these numbers, with one command a bucket."""
        members: defaultdict[int, list[int]] = defaultdict(list)
        for number in numbers:
            bucket, member = split(number, self.buckets)
            members[bucket].append(member)
        with self._renewing() as pipeline:
            for bucket, added in members.items():
                pipeline.sadd(self._key(bucket), *added)

    def switch(self) -> "_Generation":
        """Put this generation in force and return the one it replaced (of no buckets if none)."""
        done, number, buckets = run(self.redis, "rebuild_switch", [self.pointer], [self.number])
        _require_ours(done)
        return replace(self, number=number, buckets=buckets)

    def abandon(self) -> None:
        """Withdraw this generation, as far as Redis answers; its lease ends it otherwise.

        Where only the answer to the switch was lost, it is in force and stays.
        """
        with suppress(RedisError):
            if run(self.redis, "rebuild_abandon", [self.pointer], [self.number]):
                self.remove()

    def remove(self) -> None:
        """Free this generation's keys, in the background of the server."""
        for buckets in batched(range(self.buckets), KEYS_AN_UNLINK):
            self.redis.unlink(*(self._key(bucket) for bucket in buckets))

    def _key(self, bucket: int) -> str:
        return bucket_key(self.pointer, self.number, bucket)

    @contextmanager
    def _renewing(self) -> Iterator[Pipeline]:
        """A pipeline, sent at the end, whose first command renews the lease.

        What a superseded rebuild still adds goes into its own generation, which nobody reads, and
        is removed when it is abandoned.
        """
        with self.redis.pipeline(transaction=False) as pipeline:
            lease = int(LEASE / timedelta(milliseconds=1))
            pipeline.eval(script("rebuild_renew").text, 1, self.pointer, self.number, lease)
            yield pipeline
            _require_ours(pipeline.execute()[0])


def _batch_for(buckets: int) -> int:
    return min(LARGEST_BATCH, max(SMALLEST_BATCH, MEMBERS_A_COMMAND * buckets))


def _begin(
    redis: Redis, pointer: str, buckets: int, floor: int
) -> tuple[_Generation, list[_Generation]]:
    """Open the next generation; return it and those that earlier rebuilds left behind."""
    lease = int(LEASE / timedelta(milliseconds=1))
    number, leftovers = run(redis, "rebuild_begin", [pointer], [buckets, floor, lease])
    if not number:
        raise RebuildRefused(f"another rebuild of {pointer} is under way")
    coming = _Generation(redis=redis, pointer=pointer, number=number, buckets=buckets)
    return coming, [replace(coming, number=old, buckets=size) for old, size in leftovers]


def _require_ours(answer: int) -> None:
    if not answer:
        raise RebuildRefused("another rebuild took over, or the server was flushed meanwhile")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except RedisError as exc:
        raise SuppressionUnavailable(f"the set was not rebuilt: {exc!r}") from exc
