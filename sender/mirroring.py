"""Keeps the Redis set equal to Postgres: follows the consent log, rebuilds what is cold."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import structlog

from sender.domain.admission import ScopeSize
from sender.storage import consent, consent_log, cursors, senders
from sender.storage.database import Database, Transaction

log = structlog.get_logger(__name__)

#: The name under which the position in the consent log is kept.
CURSOR = "redis_set"


class SuppressionSets(Protocol):
    """The sets in Redis, by (tenant, scope)."""

    def size(self, tenant_id: int, scope: int) -> ScopeSize:
        """Count one scope's set."""

    def write(
        self,
        *,
        add: Iterable[tuple[int, int, int]],
        remove: Iterable[tuple[int, int, int]],
    ) -> None:
        """Add and remove (tenant, scope, recipient) entries; repeating it is harmless."""

    def rebuild(
        self, tenant_id: int, scope: int, entries: Iterable[int], *, count: int, floor: int
    ) -> None:
        """Replace a scope's set; nothing half done is ever visible."""


@dataclass(frozen=True, kw_only=True)
class Mirror:
    """Postgres's suppressions, mirrored into Redis. One instance works at a time."""

    db: Database
    sets: SuppressionSets

    def follow(self) -> int:
        """Apply what the consent log has gained; how many people changed.

        It writes each person's *current* suppressions, so reading a stretch twice, or late, can
        neither over-block nor under-block.
        """
        position = self.db.run(cursors.read, CURSOR)
        if position is None:
            return 0
        stretch = self.db.run(consent_log.changed_since, position)
        for tenant_id, recipient in stretch.people:
            self._write_person(tenant_id, recipient)
        if stretch.upto != position:
            self.db.run(cursors.write, CURSOR, stretch.upto)
        return len(stretch.people)

    def _write_person(self, tenant_id: int, recipient: int) -> None:
        known, active = self.db.run(_scopes_of, tenant_id, recipient)
        self.sets.write(
            add=[(tenant_id, scope, recipient) for scope in active],
            remove=[(tenant_id, scope, recipient) for scope in known - active],
        )

    def repair(self, *, compare_counts: bool) -> list[tuple[int, int]]:
        """Rebuild each scope's set that is cold, or (if asked) has another size than Postgres.

        Returns:
            The (tenant, scope) pairs that were rebuilt.
        """
        if self.db.run(cursors.read, CURSOR) is None:
            # Noted before the first rebuild reads: what comes later is followed from here.
            self.db.run(cursors.write, CURSOR, self.db.run(consent_log.oldest_running))
        scopes = self.db.run(senders.all_scopes)
        wrong = [pair for pair in scopes if self.sets.size(*pair).cold]
        if compare_counts:
            wrong += [pair for pair in scopes if pair not in wrong and self._differs(pair)]
        for tenant_id, scope in wrong:
            self._rebuild(tenant_id, scope)
        return wrong

    def _differs(self, pair: tuple[int, int]) -> bool:
        """Whether a set has another size, and not only because the log has moved on."""
        if self._same_size(pair):
            return False
        self.follow()
        return not self._same_size(pair)

    def _same_size(self, pair: tuple[int, int]) -> bool:
        tenant_id, scope = pair
        wanted = self.db.run(consent_log.scope_size, tenant_id=tenant_id, scope=scope)
        return self.sets.size(tenant_id, scope).members == wanted

    def _rebuild(self, tenant_id: int, scope: int) -> None:
        count = self.db.run(consent_log.scope_size, tenant_id=tenant_id, scope=scope)
        entries = self._members(tenant_id, scope)
        self.sets.rebuild(tenant_id, scope, entries, count=count, floor=int(time.time()))
        log.info("suppression_set_rebuilt", tenant=tenant_id, scope=scope, members=count)

    def _members(self, tenant_id: int, scope: int) -> Iterator[int]:
        """Opened when first read: after the next generation is, so no write falls in between."""
        with self.db.transaction() as tx:
            yield from consent_log.members(tx, tenant_id=tenant_id, scope=scope)


def _scopes_of(tx: Transaction, tenant_id: int, recipient: int) -> tuple[set[int], set[int]]:
    """Every scope a person's events name, and those they are suppressed in now."""
    events = consent.history(tx, tenant_id=tenant_id, recipient=recipient)
    active = consent.suppressions_of(tx, tenant_id=tenant_id, recipient=recipient)
    scopes = {one.scope for one in active if one.tenant_id == tenant_id}
    return {event.scope for event in events}, scopes
