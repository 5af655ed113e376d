"""The composition root: settings in, use cases with their collaborators out."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from redis.asyncio import Redis

from sender import assembly
from sender.accounts import Accounts
from sender.alerting import Alerting
from sender.campaigns import Campaigns
from sender.config import Settings
from sender.crashing import Passing, crash_at, pass_by
from sender.domain.consent import PLATFORM
from sender.domain.intake import Source
from sender.doubting import Doubts
from sender.enforcement import Enforcement, EnforcementQueue
from sender.erasing import Erasures
from sender.errors import NotFound
from sender.experience import AHEAD
from sender.exporting import Exports
from sender.fleet import Fleet
from sender.forwarding import Forwarding
from sender.gateway import NOT_PASSED_ON
from sender.gateways import Gateways
from sender.hearing import Hearing
from sender.heartbeat import Heartbeat, demand
from sender.high_water import HighWater
from sender.holding import Holds
from sender.importing import Imports
from sender.inbound import Inbound
from sender.installing import Installation
from sender.intake import Intake
from sender.investigating import Investigation
from sender.liveness import living
from sender.mark_file import MarkFile
from sender.marking import GatheredCache
from sender.mirroring import Mirror
from sender.months import Months
from sender.numbers import Numbers
from sender.optouts import OptOuts
from sender.overhearing import Overhearing
from sender.parts import ApiRuntime, ConsumerRuntime, Parts, WebhookRuntime, WorkerRuntime
from sender.permits import Permits
from sender.pulling import Puller
from sender.pulsing import Pulse, installed_version
from sender.pushing import Pushes, PushPlan, PushReport
from sender.recalling import Recaller
from sender.reconcile import ProviderTimes
from sender.recovery import Kicker, Resolver, Sweeper
from sender.restoring import Recovery, RecoveryPlan, RecoveryReport
from sender.reviewing import Reviews
from sender.sealing import Sealer
from sender.sending import Pump
from sender.settling import Settler
from sender.storage import tenants
from sender.storage.database import POOL_SIZE, AsyncDatabase, Database, Transaction
from sender.storage.migrate import require_usable
from sender.storage.tenants import DEFAULT_NAME, DEFAULT_TENANT
from sender.storage.workers import NewWorker
from sender.suppression import (
    RedisCache,
    RedisMarks,
    RedisSets,
    SuppressionLookup,
    connect_async,
    connect_sync,
)
from sender.suppression_list import SuppressionList
from sender.tenancy import Tenancy
from sender.tracing import Tracing
from sender.verifying import Verification

#: Connections of a worker's event loop besides one for each Celery thread: settling, doubts.
SPARE_CONNECTIONS = 4
#: Connections of the kicker, and of the sweeper, who keeps its turn on one and works on another.
#: Where two rounds meet, each opens as many again.
KICKER_CONNECTIONS = 1
SWEEPER_CONNECTIONS = 2
#: Beyond the doubts' horizon, for what a recovery has to enforce.
RECOVERY_PATIENCE = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """Builds each process's use cases from one set of settings."""

    settings: Settings
    parts: Parts = field(default_factory=Parts)

    def api(self, tenant: str = DEFAULT_NAME, db: Database | None = None) -> ApiRuntime:
        """For code that creates and watches a tenant's campaigns, over ``db`` where it is given.

        Opens nothing before it is used, unless it has to ask who the tenant is.

        Raises:
            NotFound: there is no such tenant.
        """
        db = db or Database.connect(self.settings.database_url)
        tenant_id = DEFAULT_TENANT if tenant == DEFAULT_NAME else _id_of(db, tenant)
        scrubs = self.settings.scrub == "on"
        campaigns = Campaigns(db=db, tenant_id=tenant_id, admit=self.parts.admit, scrubs=scrubs)
        return ApiRuntime(
            db=db,
            campaigns=campaigns,
            suppression=self._suppression(db, tenant_id),
            numbers=Numbers(db=db, tenant_id=tenant_id),
            holds=Holds(db=db, tenant_id=tenant_id),
            doubts=Doubts(db=db, tenant_id=tenant_id, horizon=self.settings.doubt_horizon),
            tracing=Tracing(db=db, tenant_id=tenant_id),
            of_tenant=partial(self.api, db=db),
        )

    def platform(self) -> SuppressionList:
        """The platform-wide list, which covers every tenant: the operator's own."""
        return self._suppression(self._sync_db(), PLATFORM)

    def platform_holds(self) -> Holds:
        """The holds on everybody and everything: the operator's own."""
        return Holds(db=self._sync_db(), tenant_id=PLATFORM)

    async def push_opt_outs(
        self, tenant: str, *, dry_run: bool, progress: Callable[[int], object]
    ) -> PushPlan | PushReport:
        """Tell Twilio of a tenant's opt-outs, or only what there is to tell."""
        self.settings.require_twilio()
        async with self._asking(tenant) as (db, gateways, tenant_id):
            pushes = Pushes(
                db=db,
                tenant_id=tenant_id,
                consents=await gateways.consents(tenant_id),
                sleep=asyncio.sleep,
            )
            return await (pushes.plan() if dry_run else pushes.push(progress=progress))

    @asynccontextmanager
    async def installation(self, tenant: str) -> AsyncIterator[Installation]:
        """Where Twilio calls us for a tenant's senders."""
        async with self._asking(tenant) as (db, gateways, tenant_id):
            owner = await db.run(tenants.get, tenant_id)
            yield assembly.installation(self.settings, owner, db=db, gateways=gateways)

    @asynccontextmanager
    async def _asking(self, tenant: str) -> AsyncIterator[tuple[AsyncDatabase, Gateways, int]]:
        """What a command needs that asks Twilio in one tenant's name."""
        db = AsyncDatabase.connect(self.settings.database_url)
        try:
            async with self._gateways(db) as gateways:
                yield db, gateways, (await db.run(tenants.by_name, tenant)).id
        finally:
            await db.close()

    async def recover(
        self, *, author: str, since: datetime | None, dry_run: bool, say: Callable[[str], object]
    ) -> RecoveryPlan | RecoveryReport:
        """Recover a restored database, or only say what that would do."""
        async with AsyncExitStack() as stack:
            db = await self._open_db(stack, claims=not dry_run)
            gateways = await stack.enter_async_context(self._gateways(db))
            redis = connect_async(self.settings.redis_url)
            stack.push_async_callback(redis.aclose)
            recovery = Recovery(
                db=db,
                water=self._water(redis, writes=not dry_run),
                messages=self.parts.messages,
                enforcement=self._enforcement(),
                inbound=Inbound(enforcement=self._enforcement()),
                cache=RedisCache(redis),
                providers=gateways,
                patience=self.settings.doubt_horizon + RECOVERY_PATIENCE,
                say=say,
            )
            if dry_run:
                return await recovery.plan(since=since)
            return await recovery.recover(author=author, since=since)

    def tenancy(self) -> Tenancy:
        """Tenants, as the operator keeps them."""
        accounts = Accounts.from_settings(self.settings)
        return Tenancy(
            db=self._sync_db(),
            vault=accounts.vault,
            accounts=accounts,
            forward_private=self.settings.forward_private,
        )

    def fleet(self) -> Fleet:
        """The worker processes, as the operator sees them."""
        return Fleet(db=self._sync_db())

    def intake(self) -> Intake:
        """How STOPs come in, as the operator sees it."""
        return Intake(db=self._sync_db())

    def _suppression(self, db: Database, tenant_id: int) -> SuppressionList:
        enforcement = self._enforcement()
        return SuppressionList(
            tenant_id=tenant_id,
            opt_outs=OptOuts(db=db, tenant_id=tenant_id, enforcement=enforcement),
            imports=Imports(db=db, tenant_id=tenant_id, enforcement=enforcement),
            exports=Exports(db=db, tenant_id=tenant_id),
            reviews=Reviews(db=db, tenant_id=tenant_id, enforcement=enforcement),
            erasures=Erasures(db=db, tenant_id=tenant_id),
            verification=Verification(db=db),
        )

    def kicker(
        self, publish: Callable[[int], None], publish_transactional: Callable[[int], None]
    ) -> Kicker:
        """Offers slices through the one or the other."""
        return Kicker(
            db=self._sync_db(KICKER_CONNECTIONS),
            slices=self.parts.slices,
            publish=publish,
            publish_transactional=publish_transactional,
            passing=self._crash_point(),
        )

    def sweeper(self) -> Sweeper:
        """Sweeps what was abandoned."""
        db = self._sync_db(SWEEPER_CONNECTIONS)
        return Sweeper(db=db, limits=self.settings.block_limits)

    @asynccontextmanager
    async def worker(self, name: str) -> AsyncIterator[WorkerRuntime]:
        """A worker process's use cases, alive (see ``living``) while the block runs."""
        settings, parts, passing = self.settings, self.parts, self._crash_point()
        async with AsyncExitStack() as stack:
            connections = settings.slice_threads + SPARE_CONNECTIONS
            db = await self._open_db(stack, connections)
            await demand(db, self.settings.rhythm)
            gateways = await stack.enter_async_context(self._gateways(db))
            redis = connect_async(settings.redis_url)
            stack.push_async_callback(redis.aclose)
            cache = RedisCache(redis)
            settlement = parts.settlement(
                messages=parts.messages, enforcement=self._enforcement(), cache=cache
            )
            permits = Permits(settings.concurrency, ahead=AHEAD)
            water = self._water(redis)
            owner = await stack.enter_async_context(
                living(
                    db,
                    NewWorker(name=name, slices=settings.slices, reserved=settings.reserved_slices),
                    gate=permits,
                    water=water,
                )
            )
            pump = Pump(
                db=db,
                slices=parts.slices,
                messages=parts.messages,
                lookup=SuppressionLookup(redis),
                repair=cache,
                gateways=gateways,
                settler=Settler(settlement, db, passing),
                permits=permits,
                owner=owner,
                stopping=asyncio.Event(),
                passing=passing,
                water=water,
            )
            resolver = Resolver(
                db=db,
                messages=parts.messages,
                enforcement=self._enforcement(),
                cache=cache,
                providers=gateways,
            )
            recaller = Recaller(
                db=db, messages=parts.messages, providers=gateways, kept=NOT_PASSED_ON
            )
            chaser = assembly.chaser(settings, parts, db=db, providers=gateways, cache=cache)
            pulse = Pulse(
                db=db, worker_id=owner, version=installed_version(), every=parts.pulse_every
            )
            yield WorkerRuntime(
                pump=pump, resolver=resolver, recaller=recaller, chaser=chaser, pulse=pulse
            )

    @asynccontextmanager
    async def webhooks(self) -> AsyncIterator[WebhookRuntime]:
        """The webhook app's use cases."""
        passing = self._crash_point()
        async with AsyncExitStack() as stack:
            db = await self._open_db(stack)
            await demand(db, self.settings.rhythm)
            redis = connect_async(self.settings.redis_url)
            stack.push_async_callback(redis.aclose)
            enforcement = self._enforcement(passing)
            yield WebhookRuntime(
                db=db,
                verifiers=assembly.verifiers(self.settings, db),
                texts=assembly.texts(db, Inbound(enforcement=enforcement)),
                receipts=assembly.receipts(self.parts, db, enforcement),
                queue=EnforcementQueue(enforcement=enforcement, db=db),
                stream=assembly.stream(self.settings, db, enforcement),
                cache=GatheredCache(RedisCache(redis)),
                passing=passing,
                heartbeat=Heartbeat(db=db, source=Source.WEBHOOK, rhythm=self.settings.rhythm),
            )

    @asynccontextmanager
    async def consumer(self) -> AsyncIterator[ConsumerRuntime]:
        """The consumer's use cases."""
        passing = self._crash_point()
        async with AsyncExitStack() as stack:
            db = await self._open_db(stack)
            await demand(db, self.settings.rhythm)
            gateways = await stack.enter_async_context(self._gateways(db))
            redis = connect_async(self.settings.redis_url)
            stack.push_async_callback(redis.aclose)
            enforcement, cache = self._enforcement(passing), RedisCache(redis)
            sets = RedisSets(connect_sync(self.settings.redis_url))
            water = self._water(redis)
            stack.push_async_callback(water.close)
            alerting = await stack.enter_async_context(Alerting.open(db, self.settings))
            forwarding = await stack.enter_async_context(Forwarding.open(db, self.settings))
            hearing = Hearing(db=db, inbound=Inbound(enforcement=enforcement), cache=cache)
            rhythm = self.settings.rhythm
            puller = Puller(db=db, providers=gateways, hearing=hearing, rhythm=rhythm)
            scrubber = assembly.scrubber(self.settings, self.parts, puller, gateways)
            stack.push_async_callback(scrubber.close)
            yield ConsumerRuntime(
                db=db,
                water=water,
                enforcement=enforcement,
                mirror=Mirror(db=self._sync_db(), sets=sets),
                times=ProviderTimes(db=db, providers=gateways, cache=cache),
                investigation=Investigation(db=db, providers=gateways),
                alerting=alerting,
                forwarding=forwarding,
                sealer=Sealer(db=self._sync_db()),
                heartbeat=Heartbeat(db=db, source=Source.CONSUMER, rhythm=rhythm),
                puller=puller,
                scrubber=scrubber,
                months=Months(db=db),
                retention=assembly.retention(self.settings),
                overhearing=Overhearing(db=db, providers=gateways, blocks=scrubber.blocks),
            )

    def _water(self, redis: Redis, *, writes: bool = True) -> HighWater:
        """What is known of the database: in Redis, and on disk where a folder is given."""
        folder = self.settings.state_dir
        # To read only, the folder is not made.
        made = MarkFile.in_folder if writes else partial(MarkFile)
        files = [made(folder=Path(folder))] if folder else []
        return HighWater(places=[RedisMarks(redis), *files])

    def _enforcement(self, passing: Passing = pass_by) -> Enforcement:
        return Enforcement(
            table=self.parts.enforcement, horizon=self.settings.doubt_horizon, passing=passing
        )

    def _crash_point(self) -> Passing:
        return crash_at(self.settings.crash_at, is_test=self.settings.test_faults)

    def _sync_db(self, pool_size: int = 5) -> Database:
        return Database.connect(self.settings.database_url, pool_size=pool_size)

    async def _open_db(
        self,
        stack: AsyncExitStack,
        pool_size: int = POOL_SIZE,
        *,
        claims: bool = True,
    ) -> AsyncDatabase:
        self.settings.require_twilio()
        url = self.settings.database_url
        db = AsyncDatabase.connect(url, pool_size=pool_size)
        stack.push_async_callback(db.close)
        await db.run(require_usable)
        if claims:
            await db.run(_claim_account, self.settings.twilio_account_sid)
        return db

    def _gateways(self, db: AsyncDatabase) -> AbstractAsyncContextManager[Gateways]:
        return Gateways.open(
            db,
            Accounts.from_settings(self.settings),
            callback_base=self.settings.public_base_url,
            base_url=self.settings.twilio_api_base_url,
        )


def _id_of(db: Database, tenant: str) -> int:
    try:
        return db.run(tenants.by_name, tenant).id
    except NotFound:
        db.close()
        raise


def _claim_account(tx: Transaction, account_sid: str) -> None:
    tenants.set_account(tx, DEFAULT_TENANT, account_sid)
