"""What befalls everything but the workers."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from random import Random

from celery import Celery
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import RedisError

from sender.local.servers import StopMode
from sender.storage.database import DatabaseError
from tests.faults.rig import FaultySystem, until
from workers.app import create_app

#: What the broker's keys begin with, and the queue of slices.
BROKER_PREFIX, SLICES = "sender:", "slices"
#: The slices that somebody works on.
_FOLLOWED = "SELECT id FROM slice WHERE owner IS NOT NULL AND done_at IS NULL"
#: How slow Redis is when it is slow: well within what a lookup waits.
SLOW_SECONDS, SLOW_FOR = 0.25, 3.0
#: How long the consumer or the webhook app is frozen.
FROZEN_FOR, CONSUMER_FROZEN_FOR = 2.0, 12.0


@dataclass(kw_only=True)
class Disasters:
    """Each befalls the system when its turn comes; what lasts is ended by `look`."""

    system: FaultySystem
    chance: Random
    happened: Counter[str] = field(default_factory=Counter)
    _endings: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    @cached_property
    def _hints(self) -> Celery:
        return create_app(settings=lambda: self.system.stack.plan.settings)

    def deck(self) -> list[Callable[[], None]]:
        """Every disaster, the worst of them twice, in an order of its own."""
        once = [self.restart_redis, self.reset_connections, self.swallow_broker, self.swallow_redis]
        twice = [self.restart_postgres, self.flush_redis, self.slow_redis, self.freeze_webhooks]
        deck = [*once, *twice, *twice]
        self.chance.shuffle(deck)
        return deck

    def look(self) -> None:
        """End what has lasted long enough."""
        now = time.monotonic()
        due = [ending for ending in self._endings if ending[0] <= now]
        self._endings = [ending for ending in self._endings if ending[0] > now]
        for _, end in due:
            end()

    def end(self) -> None:
        """End all that lasts."""
        for _, end in self._endings:
            end()
        self._endings = []

    def restart_postgres(self) -> None:
        """The server ends at once and replays its log."""
        self.system.servers.postgres.restart(StopMode.IMMEDIATE)
        until(self._postgres_answers, "the database")
        self.happened["postgres restarts"] += 1

    def _postgres_answers(self) -> bool:
        return bool(self.system.tried("SELECT 1"))

    def flush_redis(self) -> None:
        """FLUSHALL: sets, pacing and every hint are gone."""
        with Redis.from_url(self.system.servers.redis.url) as redis:
            redis.flushall()
        self.happened["redis flushes"] += 1

    def restart_redis(self) -> None:
        """The server is killed, and comes back empty."""
        self.system.servers.redis.kill()
        self.system.servers.redis.restart()
        self.happened["redis restarts"] += 1

    def slow_redis(self) -> None:
        """Redis is slow and the consumer frozen: long between a STOP's store and its withdrawal."""
        self.system.proxies.redis.delay(SLOW_SECONDS)
        self._freeze("consumer", SLOW_FOR)
        self._endings.append((time.monotonic() + SLOW_FOR, self._redis_is_fast))
        self.happened["redis slow"] += 1

    def _redis_is_fast(self) -> None:
        self.system.proxies.redis.delay(0)

    def swallow_broker(self) -> None:
        """The broker's connections are half open."""
        self.system.proxies.broker.black_hole()
        self.happened["half-open broker"] += 1

    def swallow_redis(self) -> None:
        """Those to the sets and the pacing are."""
        self.system.proxies.redis.black_hole()
        self.happened["half-open redis"] += 1

    def reset_connections(self) -> None:
        """Every connection to every server breaks."""
        proxies = self.system.proxies
        for proxy in (proxies.postgres, proxies.redis, proxies.broker, proxies.door):
            proxy.reset()
        self.happened["resets"] += 1

    def freeze_webhooks(self) -> None:
        """The webhook app stands still for a while."""
        self._freeze("webhooks", FROZEN_FOR)
        self.happened["webhooks frozen"] += 1

    def freeze_consumer(self) -> None:
        """The consumer stands still for a while: the Redis set is not kept up."""
        self._freeze("consumer", CONSUMER_FROZEN_FOR)

    def _freeze(self, name: str, seconds: float) -> None:
        pids = self.system.family(name)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        self._endings.append((time.monotonic() + seconds, lambda: _go_on(pids)))

    def garble_hints(self) -> None:
        """Some Celery messages get lost, and some come twice."""
        with suppress(RedisError), Redis.from_url(self.system.servers.redis.broker_url) as broker:
            if broker.rpop(f"{BROKER_PREFIX}{SLICES}") is not None:
                self.happened["hints lost"] += 1
        with suppress(OperationalError, DatabaseError):
            for row in self.system.rows(_FOLLOWED):
                self._hints.send_task("workers.send_slice", (row.id,), queue=SLICES, retry=False)
                self.happened["hints doubled"] += 1


def _go_on(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
