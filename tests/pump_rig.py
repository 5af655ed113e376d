"""The pump over a real Postgres and a real Redis, with a fake gateway."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from redis.asyncio import Redis
from sqlalchemy.exc import OperationalError

from sender.enforcement import SuppressionCache
from sender.permits import Permits
from sender.sending import Pump
from sender.settlement import Settlement
from sender.settling import Settler
from sender.storage.database import AsyncDatabase
from sender.storage.messages import MessageTable
from sender.storage.slices import SliceTable
from sender.suppression import (
    RedisCache,
    SuppressionLookup,
    SuppressionWriter,
    connect_sync,
    rebuild,
)
from sender.suppression.keys import pause_key
from sender.suppression.writing import Entry
from tests.bench import ENFORCEMENT, TENANT, Bench, FakeGateway

AWAY = OperationalError("UPDATE", {}, Exception("the server is away"))


@dataclass(frozen=True, kw_only=True)
class Rig:
    """A pump with its fake gateway, and the sets it asks."""

    bench: Bench
    pump: Pump
    gateway: FakeGateway
    redis_url: str

    async def work(self) -> None:
        """One run over every slice that is not done, as if all were due and nobody rested."""
        self.bench.execute("UPDATE slice SET due_at = NULL")
        self.bench.execute("UPDATE sender SET rests_until = NULL")
        with connect_sync(self.redis_url) as redis:
            redis.delete(pause_key(TENANT))
        found = self.bench.execute("SELECT id FROM slice WHERE done_at IS NULL ORDER BY id")
        for row in found:
            await self.pump.work(row.id)

    def warm(self, *suppressed: int) -> None:
        """Build the sets, the tenant-wide one with these numbers."""
        with connect_sync(self.redis_url) as redis:
            sender = self.bench.sender_id()
            for tenant_id, scope in ((0, 0), (TENANT, 0), (TENANT, sender)):
                rebuild(redis, tenant_id=tenant_id, scope=scope, entries=[], count=1, floor=1)
            SuppressionWriter(redis).add(
                Entry(tenant_id=TENANT, scope=0, recipient=who) for who in suppressed
            )

    def with_messages(self, messages: MessageTable) -> "Rig":
        """The same, with other statements."""
        return replace(self, pump=replace(self.pump, messages=messages))

    def with_lookup(self, lookup: SuppressionLookup) -> "Rig":
        """The same, asking another Redis."""
        return replace(self, pump=replace(self.pump, lookup=lookup))

    def with_settlement(self, settlement: Settlement) -> "Rig":
        """The same, settling in another way."""
        return replace(self, pump=replace(self.pump, settler=Settler(settlement, self.pump.db)))


def pump_rig(bench: Bench, db: AsyncDatabase, redis: Redis, redis_url: str, owner: int) -> Rig:
    """A pump over everything real but Twilio, with 64 permits."""
    cache, gateway = RedisCache(redis), FakeGateway()
    pump = Pump(
        db=db,
        slices=SliceTable(),
        messages=bench.messages,
        lookup=SuppressionLookup(redis),
        repair=cache,
        gateways=gateway,
        settler=Settler(_settlement(bench, cache), db),
        permits=Permits(64),
        owner=owner,
        stopping=asyncio.Event(),
    )
    return Rig(bench=bench, pump=pump, gateway=gateway, redis_url=redis_url)


def _settlement(bench: Bench, cache: SuppressionCache) -> Settlement:
    return Settlement(messages=bench.messages, enforcement=ENFORCEMENT, cache=cache)


class _Broken:
    """A connection that breaks at its first statement."""

    def execute(self, *_: object) -> Any:
        raise AWAY


@dataclass(frozen=True)
class AwayOnce(AsyncDatabase):
    """It is away at these statements, each once."""

    fails: list[str]

    async def run_alone(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Do it, or be away."""
        if (name := getattr(work, "__name__", "")) in self.fails:
            self.fails.remove(name)
            if name == "give_back":  # its statement does not arrive
                work(_Broken())
            raise AWAY
        return await super().run_alone(work, *args, **kwargs)
