"""Use cases of many collaborators, put together for the runtime."""

from datetime import timedelta
from functools import partial

from sender.batching import Batcher
from sender.chasing import Chaser
from sender.config import Settings
from sender.domain.receipt import Receipt
from sender.enforcement import Enforcement
from sender.gateway import NOT_PASSED_ON
from sender.gateways import Gateways
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
