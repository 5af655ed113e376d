"""Redis clients made for the suppression set and for pacing."""

from datetime import timedelta

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from sender.suppression.lookup import CHECK_TIMEOUT

#: A rebuild's pipeline of 20,000 commands takes tens of milliseconds; this is for a busy server.
REBUILD_TIMEOUT = timedelta(seconds=10)


def connect_async(url: str, *, timeout: timedelta = CHECK_TIMEOUT) -> AsyncRedis:
    """A client for `SuppressionLookup` and `AsyncSuppressionWriter`; connects when first used.

    It repeats nothing by itself (redis-py's default is up to ten times, for longer than a check may
    take): a repeated check would take its tokens twice.
    """
    seconds = timeout.total_seconds()
    return AsyncRedis.from_url(
        url,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        retry=AsyncRetry(NoBackoff(), 0),
    )


def connect_sync(url: str, *, timeout: timedelta = REBUILD_TIMEOUT) -> Redis:
    """A client for `SuppressionWriter`, `rebuild` and `inspect`; connects when first used.

    It repeats nothing by itself: a repeated begin of a rebuild would find the first one's lease.
    """
    seconds = timeout.total_seconds()
    return Redis.from_url(
        url,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        retry=Retry(NoBackoff(), 0),
    )
