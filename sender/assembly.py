"""Use cases of many collaborators, put together for the runtime."""

from datetime import timedelta
from functools import partial

from sender.batching import Batcher
from sender.chasing import Chaser
from sender.config import Settings
from sender.domain.inbound import InboundText
from sender.domain.receipt import Receipt
from sender.enforcement import Enforcement
from sender.gateway import NOT_PASSED_ON
from sender.gateways import Gateways
from sender.inbound import Applied, Inbound
from sender.lost_blocks import LostBlocks
from sender.parts import Parts
from sender.pulling import Puller
from sender.receipts import Answer, Receipts
from sender.scrubbing import Scrubber
from sender.storage.database import AsyncDatabase
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
    blocks = LostBlocks(
        db=puller.db,
        enforcement=Enforcement(table=parts.enforcement, horizon=settings.doubt_horizon),
        messages=parts.messages,
        cache=puller.hearing.cache,
    )
    return Scrubber(
        db=puller.db,
        providers=providers,
        reading=puller.reading,
        lost_blocks=blocks,
        patience=timedelta(seconds=settings.scrub_patience_seconds),
    )
