"""Recognises a database that is older than what a process, Redis or the disk knows of it.

Whoever works with a database counts its mark up, and keeps what it has seen where a restored
database cannot take it back. A database that shows less was restored or failed over to: rows that
were sent since look unsent in it, and STOPs are missing. Then everything is held until
`sender recover` has settled what happened in between.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Concatenate, ParamSpec, Protocol, TypeVar
from uuid import UUID

import structlog

from sender.domain.high_water import Finding, Look, Mark, highest, why_older
from sender.errors import MarkUnavailable, MarkUnreadable
from sender.storage import high_water
from sender.storage.database import Transaction
from sender.storage.holds import DATABASE_OLDER

log = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


class Place(Protocol):
    """Where marks are kept outside of Postgres."""

    async def read(self, identity: UUID) -> Mark | None:
        """The mark kept of a database.

        Raises `MarkUnavailable` where it cannot be asked, `MarkUnreadable` where it is no mark.
        """

    async def knows_another(self, identity: UUID) -> bool:
        """Whether a mark of another database is kept. Raises `MarkUnavailable`."""

    async def raise_to(self, mark: Mark) -> Mark:
        """Keep a mark unless a higher one is kept; the one kept now. Raises `MarkUnavailable`."""


class Runs(Protocol):
    """What runs a storage function and has committed it when it returns."""

    async def run(
        self, work: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """``work`` on a connection."""


@dataclass(kw_only=True)
class HighWater:
    """What one process knows of its database."""

    places: Sequence[Place] = ()
    #: What the guard must find; ``None`` before the first look.
    seen: Look | None = None
    _known: Mark | None = None
    _timeline: int | None = None
    _older: bool = False
    _failing: bool = False
    _keeping: asyncio.Task[None] | None = field(default=None, repr=False)

    async def look(self, db: Runs, *, anew: bool = False) -> bool:
        """Look once, about once a second; whether this database may be worked with.

        Where it may not, all sending is held, and the next look tells whether it was recovered.

        Args:
            db: a session or a database.
            anew: also compare with what Redis and the disk know, as whenever the server was
                started since the last look.

        Raises:
            DatabaseError: Postgres cannot be asked.
            MarkUnavailable: Redis or the disk cannot be, and has to be.
        """
        known, seen = self._known, self.seen  # as of before the look: `_keep` may raise the one
        if anew or known is None or seen is None or self._older:
            finding = await self.compare(db)
        else:
            look = await db.run(high_water.tick, known, server=seen.server)
            started = look.server != seen.server
            finding = await self.compare(db) if started else self._judge(look, known)
        if finding.why:
            await self.hold(db, finding.look, finding.why)
            return False
        if self._older:
            log.info("database_recovered", era=finding.look.mark.era)
            self._older = False
        self.seen = finding.look
        self._keep_soon(replace(finding.look.mark, timeline=self._timeline))
        return True

    async def compare(self, db: Runs) -> Finding:
        """Compare the database with what is known everywhere; changes nothing.

        The marks are read first: one that is raised between the two was committed before.

        Raises:
            DatabaseError, MarkUnavailable: as for ``look``.
        """
        first = await db.run(high_water.read)
        identity = first.mark.identity
        try:
            kept = await self._kept(identity)
            if first.unmarked and kept is None:
                await self._require_no_other(identity)
        except MarkUnreadable as exc:
            look = await db.run(high_water.read)
            why = f"an unknown database ({exc})"
            return Finding(look=look, why=why, known=self._known, timeline=self._timeline)
        self._known = known = highest([self._known, kept])
        self._timeline = await db.run(high_water.timeline)
        return self._judge(await db.run(high_water.read), known)

    def _judge(self, look: Look, known: Mark | None) -> Finding:
        """Compare with what was known before the look."""
        found = replace(look.mark, timeline=self._timeline)
        why = why_older(found, known)
        if not why:
            self._known = highest([found, self._known])
        return Finding(look=look, why=why, known=known, timeline=self._timeline)

    async def _kept(self, identity: UUID) -> Mark | None:
        """The highest mark kept anywhere; one that makes no sense counts if there is no other."""
        marks, unreadable = [], None
        for place in self.places:
            try:
                marks.append(await place.read(identity))
            except MarkUnreadable as exc:
                log.error("high_water_unreadable", error=str(exc))
                unreadable = exc
        found = highest([self._known, *marks])
        if unreadable is not None and found is None:
            raise unreadable
        return found

    async def _require_no_other(self, identity: UUID) -> None:
        """Raise `MarkUnreadable` if what is kept speaks of another database alone.

        This one was worked with before there were marks, and would be a backup from then.
        """
        for place in self.places:
            if await place.knows_another(identity):
                raise MarkUnreadable("it has no mark yet, and another's is kept")

    async def hold(self, db: Runs, look: Look, why: str) -> None:
        """Hold all sending until a recovery; doing it again changes nothing."""
        detail = f"{why}: run `sender recover`"
        await db.run(high_water.hold, look, detail)
        if not self._older:
            log.critical(DATABASE_OLDER, detail=detail)
            self._older = True

    def _keep_soon(self, mark: Mark) -> None:
        """Keep the mark elsewhere, beside the work: a slow disk must not look like a lost lock."""
        if self._keeping is None or self._keeping.done():
            self._keeping = asyncio.create_task(self._keep(mark))

    async def _keep(self, mark: Mark) -> None:
        failing = False
        for place in self.places:
            try:
                kept = await place.raise_to(mark)
            except (MarkUnavailable, MarkUnreadable) as exc:
                failing = True
                if not self._failing:
                    log.warning("high_water_not_kept", error=str(exc))
            else:
                self._known = highest([self._known, kept])
        self._failing = failing

    async def close(self) -> None:
        """Give up a keeping that is under way."""
        if self._keeping is not None:
            self._keeping.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeping

    async def raise_to(self, mark: Mark) -> None:
        """Keep a mark everywhere outside of Postgres.

        Raises:
            MarkUnavailable: somewhere it was not taken.
        """
        for place in self.places:
            await place.raise_to(mark)
