"""Redis clients made for the suppression set and for pacing."""

from datetime import timedelta
from typing import Any

from redis import Redis
from redis.asyncio import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from sender.suppression.lookup import CHECK_TIMEOUT

#: A rebuild's pipeline of 20,000 commands takes tens of milliseconds; this is for a busy server.
REBUILD_TIMEOUT = timedelta(seconds=10)


class _OnAnyLoop(AbstractConnection):
    """A connection that was reset raises a `RedisError` on every event loop.

    asyncio's own loop raises an `OSError` there, of which redis-py makes one; uvloop raises a
    `RuntimeError` (its issue 506) and that of Python 3.13.0 an `AttributeError`, which nobody takes
    for a server that is away.
    """

    async def send_packed_command(self, *args: Any, **kwargs: Any) -> None:
        """Write a command."""
        try:
            await super().send_packed_command(*args, **kwargs)
        except (AttributeError, RuntimeError) as exc:
            raise RedisConnectionError(f"the connection is closed: {exc}") from exc


class _Plain(_OnAnyLoop, Connection):
    """``redis://``."""


class _Encrypted(_OnAnyLoop, SSLConnection):
    """``rediss://``."""


class _Local(_OnAnyLoop, UnixDomainSocketConnection):
    """``unix://``."""


_OF_OURS = {
    Connection: _Plain,
    SSLConnection: _Encrypted,
    UnixDomainSocketConnection: _Local,
}


def connect_async(url: str, *, timeout: timedelta = CHECK_TIMEOUT) -> AsyncRedis:
    """A client for `SuppressionLookup` and `AsyncSuppressionWriter`; connects when first used.

    It repeats nothing by itself (redis-py's default is up to ten times, for longer than a check may
    take): a repeated check would take its tokens twice.
    """
    seconds = timeout.total_seconds()
    client = AsyncRedis.from_url(
        url,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        retry=AsyncRetry(NoBackoff(), 0),
    )
    pool = client.connection_pool
    pool.connection_class = _OF_OURS[pool.connection_class]
    return client


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
