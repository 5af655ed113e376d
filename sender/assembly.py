"""Use cases of many collaborators, put together for the runtime."""

from datetime import timedelta
from functools import partial

from sender import distrust
from sender.accounts import Accounts
from sender.batching import Batcher
from sender.block_reading import BlockReading
from sender.chasing import Chaser
from sender.config import Settings
from sender.distrust import Distrust
from sender.domain.inbound import InboundText
from sender.domain.receipt import Receipt
from sender.enforcement import Enforcement
from sender.gateway import EVENT_TYPES, NOT_PASSED_ON, HooksGateway, PublicUrls, SinksGateway
from sender.gateways import Gateways, Verifiers
from sender.inbound import Applied, Inbound
from sender.installing import EventInstallation, Installation
from sender.lost_blocks import LostBlocks
from sender.parts import Parts
from sender.pulling import Puller
from sender.receipts import Answer, Receipts
from sender.retention import Retention
from sender.scrubbing import Scrubber
from sender.storage.database import AsyncDatabase, Database
from sender.storage.tenants import DEFAULT_TENANT, Tenant
from sender.streaming import EventStream
from sender.suppression import RedisCache

#: Status callbacks come twice a message: gathered this long, they share a transaction.
RECEIPT_GATHER = timedelta(milliseconds=10)
LARGEST_RECEIPTS = 500


#: A text that comes alone waits this long; those that come meanwhile share its transaction.
TEXT_GATHER = timedelta(milliseconds=5)
LARGEST_TEXTS = 100
#: A person who is locked by somebody else keeps the texts beside theirs waiting, and no others.
TEXT_PATIENCE = timedelta(milliseconds=250)
#: Transactions that store texts at a time, of the pool's ten connections. The others are for
#: callbacks, for the enforcement of STOPs that are stored already and for tenants' tokens, one
#: each, and for signs of life.
TEXTS_AT_ONCE = 6


def texts(db: AsyncDatabase, inbound: Inbound) -> Batcher[InboundText, Applied]:
    """What keeps texts and acts on them, those that come together in one commit."""
    return Batcher(
        work=partial(inbound.receive_each, db),
        gather=TEXT_GATHER,
        largest=LARGEST_TEXTS,
        patience=TEXT_PATIENCE,
        at_once=TEXTS_AT_ONCE,
    )


def receipts(parts: Parts, db: AsyncDatabase, enforcement: Enforcement) -> Batcher[Receipt, Answer]:
    """What applies status callbacks, those that come together in one commit."""
    table = Receipts(messages=parts.messages, enforcement=enforcement)
    work = partial(table.receive_each, db)
    return Batcher(work=work, gather=RECEIPT_GATHER, largest=LARGEST_RECEIPTS)


def chaser(
    settings: Settings, parts: Parts, *, db: AsyncDatabase, providers: Gateways, cache: RedisCache
) -> Chaser:
    """What asks Twilio for missed callbacks."""
    enforcement = Enforcement(table=parts.enforcement, horizon=settings.doubt_horizon)
    return Chaser(
        db=db,
        providers=providers,
        receipts=Receipts(messages=parts.messages, enforcement=enforcement),
        cache=cache,
        patience=settings.callback_patience,
        per_minute=settings.callback_fetches_per_minute,
        kept=NOT_PASSED_ON,
    )


def scrubber(settings: Settings, parts: Parts, puller: Puller, providers: Gateways) -> Scrubber:
    """What asks Twilio before campaigns; it reads inbound messages as the puller does."""
    lost_blocks = LostBlocks(
        db=puller.db,
        enforcement=Enforcement(table=parts.enforcement, horizon=settings.doubt_horizon),
        messages=parts.messages,
        cache=puller.hearing.cache,
    )
    blocks = BlockReading(
        db=puller.db, hearing=puller.hearing, lost_blocks=lost_blocks, mode=puller.rhythm.mode
    )
    return Scrubber(
        db=puller.db,
        providers=providers,
        reading=puller.reading,
        blocks=blocks,
        patience=timedelta(seconds=settings.scrub_patience_seconds),
    )


def verifiers(settings: Settings, db: AsyncDatabase) -> Verifiers:
    """What checks webhooks, and tells when none is signed as it should be."""
    return Verifiers(
        db=db,
        accounts=Accounts.from_settings(settings),
        public_base_url=settings.public_base_url,
        distrust=Distrust(tell=distrust.alerting(db)),
    )


def stream(settings: Settings, db: AsyncDatabase, enforcement: Enforcement) -> EventStream | None:
    """What takes Event Streams; ``None`` where nobody wants them."""
    return EventStream(db=db, enforcement=enforcement) if settings.event_streams else None


def installation(
    settings: Settings, tenant: Tenant, *, db: AsyncDatabase, gateways: Gateways
) -> Installation:
    """What has Twilio call us for a tenant; only what asks Twilio needs credentials."""
    urls = PublicUrls(settings.public_base_url)

    async def hooks() -> HooksGateway:
        settings.require_twilio()
        return await gateways.hooks(tenant.id)

    async def sinks() -> SinksGateway:
        settings.require_twilio()
        return await gateways.sinks(tenant.id)

    own = settings.twilio_account_sid if tenant.id == DEFAULT_TENANT else ""
    events = EventInstallation(
        url=urls.events(own or tenant.account_sid or "AC…"),
        types=EVENT_TYPES,
        wanted=settings.event_streams,
        sinks=sinks,
    )
    return Installation(db=db, tenant_id=tenant.id, urls=urls, hooks=hooks, events=events)


def retention(settings: Settings) -> Retention:
    """What deletes old messages; it opens nothing before it is used."""
    db = Database.connect(settings.database_url, pool_size=1)
    return Retention(db=db, kept=settings.keep_messages)
