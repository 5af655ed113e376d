"""What the Redis set costs by its size: ``python -m benchmarks.suppression_set``.

Starts a PostgreSQL and a Redis of its own in a temporary folder, fills the suppression list with
North American numbers, has the mirror build the sets, and asks them. Prints one JSON object: bytes
a number (keys and sentinels included), seconds a rebuild takes, microseconds a lookup of 64
recipients takes. 10 million numbers need about 3 GB of disk and 100 MB of Redis.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from redis import Redis
from sqlalchemy import text

from benchmarks.rig import on_disk
from sender import logs
from sender.domain.admission import Pace
from sender.local.servers import LocalPostgres, LocalRedis
from sender.mirroring import Mirror
from sender.storage.database import Database
from sender.storage.migrate import migrate
from sender.suppression import RedisSets, SuppressionLookup, connect_async, inspect
from sender.suppression.keys import pointer_key

WINDOW = 64
WINDOWS = 2_000
#: One recipient in twenty is suppressed.
HIT_EVERY = 20
TENANTS, EACH = 200, 5_000

#: Ten-digit numbers of North America in no order, each once: 2…9 as first digits of both parts.
_FILL = text("""
    INSERT INTO suppression (recipient, tenant_id, scope, reason, event_id, since)
    SELECT 12000000000 + n * 7919 % 8000000000, 1, 0, 'stop', n, now()
    FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS n
""")
_FILL_TENANTS = text("""
    INSERT INTO suppression (recipient, tenant_id, scope, reason, event_id, since)
    SELECT 12000000000 + n * 7919 % 8000000000, t, 0, 'stop', n, now()
    FROM generate_series(2, CAST(:tenants AS integer) + 1) AS t,
         generate_series(1, CAST(:each AS bigint)) AS n
""")
_TENANTS = text("""
    INSERT INTO tenant (id, name) SELECT n, 'tenant ' || n
    FROM generate_series(2, CAST(:tenants AS integer) + 1) AS n
""")


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--numbers", type=int, default=10_000_000, help="the largest size")
    print(json.dumps(measure(largest=parser.parse_args().numbers), indent=2))


def measure(*, largest: int = 10_000_000) -> dict[str, Any]:
    """The figures."""
    logs.configure("WARNING")
    with tempfile.TemporaryDirectory(prefix="sender-bench-", dir=on_disk()) as folder:
        return _measure(Path(folder), largest)


def _measure(folder: Path, largest: int) -> dict[str, Any]:
    with (
        LocalPostgres.start(folder / "postgres") as postgres,
        LocalRedis.start(folder / "redis") as server,
        Redis.from_url(server.url) as redis,
    ):
        migrate(postgres.url)
        db = Database.connect(postgres.url)
        mirror = Mirror(db=db, sets=RedisSets(redis))
        mirror.repair(compare_counts=False)
        sizes, filled, measured = [largest // 100, largest // 10, largest], 0, []
        for size in sizes:
            with db.transaction() as tx:
                tx.execute(_FILL, {"first": filled + 1, "last": size})
            filled = size
            measured.append(_measure_size(mirror, redis, server.url, size))
        tenants = _measure_tenants(db, mirror, redis)
        db.close()
    return {
        "sizes": measured,
        "tenants": tenants,
        "extrapolated_100_million": _extrapolated(measured),
    }


def _measure_size(mirror: Mirror, redis: Redis, url: str, size: int) -> dict[str, Any]:
    redis.flushdb()
    before = _memory(redis)
    began = time.perf_counter()
    mirror.repair(compare_counts=False)
    rebuild = time.perf_counter() - began
    bytes_each = (_memory(redis) - before) / size
    health = inspect(redis, tenant_id=1, scope=0)
    assert health.members == size
    assert not health.crowded
    began = time.perf_counter()
    mirror.repair(compare_counts=False)
    look = time.perf_counter() - began
    lookup = sorted(asyncio.run(_ask(url, size)))
    return {
        "numbers": size,
        "bytes_a_number": round(bytes_each, 2),
        "rebuild_s": round(rebuild, 2),
        "quick_look_ms": round(look * 1000, 1),
        "lookup_of_64_p50_us": round(statistics.median(lookup) * 1e6),
        "lookup_of_64_p99_us": round(lookup[int(len(lookup) * 0.99)] * 1e6),
    }


def _memory(redis: Redis) -> int:
    # Freed in the background: what a flush left is gone once this says so.
    while redis.info("memory")["lazyfree_pending_objects"]:
        time.sleep(0.01)
    return int(redis.info("memory")["used_memory"])


async def _ask(url: str, size: int) -> Sequence[float]:
    """Seconds of each of many windows, one recipient in twenty of them suppressed."""
    chance, took = Random(1), []
    pace = Pace(tenant_id=1, sender_id=1, rate=1e9, burst=10_000)
    async with connect_async(url) as redis:
        lookup = SuppressionLookup(redis)
        for _ in range(WINDOWS):
            recipients = [_recipient(chance, size, hit=n % HIT_EVERY == 0) for n in range(WINDOW)]
            began = time.perf_counter()
            answer = await lookup.check(
                pace=pace,
                scopes=[(0, 0), (1, 0)],
                recipients=recipients,
                segments=[1] * WINDOW,
            )
            took.append(time.perf_counter() - began)
            assert answer.verdicts[0] == "suppressed", answer.verdicts[0]
    return took


def _recipient(chance: Random, size: int, *, hit: bool) -> int:
    n = chance.randint(1, size) if hit else chance.randint(size + 1, 900_000_000)
    return 12_000_000_000 + n * 7919 % 8_000_000_000


def _measure_tenants(db: Database, mirror: Mirror, redis: Redis) -> dict[str, Any]:
    with db.transaction() as tx:
        tx.execute(text("DELETE FROM suppression"))
        tx.execute(_TENANTS, {"tenants": TENANTS})
        tx.execute(_FILL_TENANTS, {"tenants": TENANTS, "each": EACH})
    redis.flushdb()
    before = _memory(redis)
    mirror.repair(compare_counts=False)
    assert redis.exists(pointer_key(TENANTS, 0))
    return {
        "tenants": TENANTS,
        "numbers_each": EACH,
        "bytes_a_number": round((_memory(redis) - before) / (TENANTS * EACH), 2),
    }


def _extrapolated(measured: Sequence[dict[str, Any]]) -> dict[str, float]:
    """From the two largest sizes: what one more number costs, a hundred million times."""
    small, large = measured[-2:]
    more, hundred = large["numbers"] - small["numbers"], 100_000_000
    a_number = (
        large["bytes_a_number"] * large["numbers"] - small["bytes_a_number"] * small["numbers"]
    ) / more
    seconds = (large["rebuild_s"] - small["rebuild_s"]) / more
    return {
        "memory_gb": round(a_number * hundred / 1e9, 2),
        "rebuild_s": round(large["rebuild_s"] + seconds * (hundred - large["numbers"])),
    }


if __name__ == "__main__":
    main()
