"""Posts to tenants what people wrote them in their own words, signed, until it is taken.

The outbox is written in the transaction that keeps the text, so that none is lost; one may come
twice, because the answer to a post may be. Receivers tell by ``id``, and no order is promised.
"""

import asyncio
import json
import time
from asyncio import FIRST_COMPLETED
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from sender.config import Settings
from sender.credentials import Vault
from sender.errors import ConfigurationError
from sender.posting import Poster, Posts
from sender.storage import forwards
from sender.storage.database import AsyncDatabase
from sender.storage.forwards import Forward

log = structlog.get_logger(__name__)

#: Posted at the same time: of one tenant's, and of all; no more than there are connections.
OF_EACH = 5
AT_A_TIME = 100
#: While some wait for their answer, what has become due is looked for as often.
LOOK_EVERY = timedelta(seconds=1)
#: How long one round goes on.
ROUND = timedelta(seconds=20)
#: How long one is tried.
PATIENCE = timedelta(hours=24)


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Forwarding:
    """Works off the outbox."""

    db: AsyncDatabase
    #: Posts to public hosts only.
    poster: Posts
    vault: Vault
    now: Callable[[], datetime] = _now

    @classmethod
    @asynccontextmanager
    async def open(cls, db: AsyncDatabase, settings: Settings) -> AsyncIterator["Forwarding"]:
        """As the settings say, with connections that last for the block."""
        async with Poster.open(allow_private=settings.forward_private) as poster:
            yield cls(db=db, poster=poster, vault=Vault(keys=settings.secret_keys))

    async def deliver(self) -> int:
        """Post what is due, for a while; how many were taken.

        Each tenant's are posted by themselves: who answers slowly keeps nobody else waiting.
        """
        give_up_at, taken = time.monotonic() + ROUND.total_seconds(), 0
        busy: dict[int, asyncio.Task[int]] = {}
        try:
            while True:
                if time.monotonic() < give_up_at:
                    await self._begin(busy)
                if not busy:
                    return taken
                done, _ = await asyncio.wait(
                    busy.values(), timeout=LOOK_EVERY.total_seconds(), return_when=FIRST_COMPLETED
                )
                taken += sum(one.result() for one in done)
                busy = {tenant: one for tenant, one in busy.items() if one not in done}
        finally:
            for one in busy.values():
                one.cancel()
            await asyncio.gather(*busy.values(), return_exceptions=True)

    async def _begin(self, busy: dict[int, asyncio.Task[int]]) -> None:
        """Have texts of tenants posted that are not busy, as far as there is room."""
        room = AT_A_TIME - OF_EACH * len(busy)
        if room <= 0:
            return
        due = await self.db.run(
            forwards.claim, each=OF_EACH, limit=room, patience=PATIENCE, besides=list(busy)
        )
        by_tenant: defaultdict[int, list[Forward]] = defaultdict(list)
        for one in due:
            by_tenant[one.tenant_id].append(one)
        for tenant, some in by_tenant.items():
            busy[tenant] = asyncio.create_task(self._deliver_all(some))

    async def _deliver_all(self, some: Sequence[Forward]) -> int:
        """Post some of one tenant's."""
        erased = [one.sid for one in some if one.erased]
        whole = [one for one in some if not one.erased]
        said = await asyncio.gather(*map(self._post, whole))
        errors = {one.sid: error for one, error in zip(whole, said, strict=True) if error}
        taken = [one.sid for one in whole if one.sid not in errors]
        if erased:
            await self.db.run(forwards.leave_out, erased, "erased")
        if errors:
            _tell(whole, errors)
            await self.db.run(forwards.failed, errors)
        if taken:  # last: an address that takes some is not left alone
            await self.db.run(forwards.delivered, taken)
        return len(taken)

    async def _post(self, one: Forward) -> str:
        try:
            secret = self.vault.unseal(one.target.secret)
        except ConfigurationError as exc:
            return str(exc)
        return await self.poster.post(one.target.url, _body(one), secret=secret, at=self.now())


def _body(one: Forward) -> bytes:
    """What the receiver reads."""
    content = {
        "id": one.sid,
        "tenant": one.tenant,
        "from": None if one.recipient is None else f"+{one.recipient}",
        "to": one.sender,
        "text": one.body,
        "read_as": one.keyword.lower(),
        "received_at": one.received_at.isoformat(),
    }
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def _tell(some: Sequence[Forward], errors: Mapping[str, str]) -> None:
    for one in some:
        if error := errors.get(one.sid):
            what = "forward_given_up" if one.is_last_try else "not_forwarded"
            log.warning(what, tenant=one.tenant_id, sid=one.sid, tries=one.tries, error=error)
