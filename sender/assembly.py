"""Use cases of many collaborators, put together for the runtime."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sender.chasing import Chaser
from sender.config import Settings
from sender.credentials import Vault
from sender.enforcement import Enforcement
from sender.forwarding import Forwarding
from sender.gateway import NOT_PASSED_ON
from sender.gateways import Gateways
from sender.parts import Parts
from sender.posting import Poster
from sender.receipts import Receipts
from sender.storage.database import AsyncDatabase
from sender.suppression import RedisCache


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


@asynccontextmanager
async def forwarding(settings: Settings, *, db: AsyncDatabase) -> AsyncIterator[Forwarding]:
    """What posts texts to their tenants, with connections of its own, closed after the block."""
    async with Poster.open(allow_private=settings.forward_private) as poster:
        yield Forwarding(db=db, poster=poster, vault=Vault(keys=settings.secret_keys))
