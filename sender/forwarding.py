"""Posts to tenants what people wrote them in their own words, signed, until it is taken.

The outbox is written in the transaction that keeps the text, so that none is lost; one may come
twice, because the answer to a post may be. Receivers tell by ``id``, and no order is promised.
"""

import asyncio
import json
import time
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

#: Posted at the same time: of one tenant's, so that a slow address keeps nobody else waiting, and
#: of all.
OF_EACH = 5
AT_A_TIME = 50
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
        """Post what is due, for a while; how many were taken."""
        give_up_at, taken = time.monotonic() + ROUND.total_seconds(), 0
        while time.monotonic() < give_up_at:
            due = await self.db.run(
                forwards.claim, each=OF_EACH, limit=AT_A_TIME, patience=PATIENCE
            )
            by_tenant: defaultdict[int, list[Forward]] = defaultdict(list)
            for one in due:
                by_tenant[one.tenant_id].append(one)
            taken += sum(await asyncio.gather(*map(self._deliver_all, by_tenant.values())))
            if not due:
                break
        return taken

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
