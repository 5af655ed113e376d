"""Keeps the Redis set equal to Postgres: follows the consent log, rebuilds what is cold."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from sender.domain.admission import ScopeSize
from sender.storage import consent_log, cursors, senders
from sender.storage.consent_log import Running, Standing
from sender.storage.database import Database

log = structlog.get_logger(__name__)

#: The name under which Postgres keeps how far the mirror had come when it last met a change, for
#: others to look at.
CURSOR = "redis_set"


class SuppressionSets(Protocol):
    """The sets in Redis, by (tenant, scope)."""

    def size(self, tenant_id: int, scope: int) -> ScopeSize:
        """Count one scope's set, bucket by bucket."""

    def ailing(self, scopes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Those whose set wants a rebuild, by a look whose cost does not grow with the sets."""

    def position(self) -> int | None:
        """Up to which transaction the sets have followed the log; ``None`` if they have not."""

    def note_position(self, position: int) -> None:
        """Note that everything before this transaction is in the sets."""

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
    """Postgres's suppressions, mirrored into Redis. One instance works at a time.

    How far it has come stands in Redis, beside the sets: a server that comes back with an old
    snapshot comes back with its old position, and one that comes back empty with none.
    """

    db: Database
    sets: SuppressionSets

    def follow(self) -> int:
        """Apply what the consent log has gained; how many people changed.

        It writes each person's *current* suppressions, so reading a stretch twice, or late, can
        neither over-block nor under-block.
        """
        position, running = self._look()
        if position is None or running.oldest == position:
            return 0
        changed = self._apply(position, running.oldest) if running.changed else 0
        if changed:
            self._note(running.oldest)
        else:  # a write to Postgres is a transaction more, and would be followed for ever
            self.sets.note_position(running.oldest)
        return changed

    def _look(self) -> tuple[int | None, Running]:
        """From where the log can be followed now, and what is running.

        From ``None``: nothing can be followed. What is rebuilt from now on is to be followed from
        the oldest that is running.
        """
        position = self.sets.position()
        running = self.db.run_alone(consent_log.running, position)
        if position is not None and position > running.next:
            log.warning("mirror_ahead_of_postgres", position=position)
            return None, running
        return position, running

    def _apply(self, position: int, upto: int) -> int:
        """Write what changed between the two; how many people's."""
        changed = 0
        with self.db.transaction() as tx:
            for people in consent_log.changed_between(tx, position, upto):
                self._write(self.db.run(consent_log.standing, people))
                changed += len(people)
        return changed

    def _write(self, people: Iterable[Standing]) -> None:
        add, remove = [], []
        for one in people:
            add += [(one.tenant_id, scope, one.recipient) for scope in one.suppressed]
            gone = one.known - one.suppressed
            remove += [(one.tenant_id, scope, one.recipient) for scope in gone]
        self.sets.write(add=add, remove=remove)

    def repair(self, *, compare_counts: bool) -> list[tuple[int, int]]:
        """Rebuild each scope's set that is not well, or (if asked) of another size than Postgres.

        Returns:
            The (tenant, scope) pairs that were rebuilt.
        """
        scopes = self.db.run(senders.all_scopes)
        position, running = self._look()
        wrong = list(scopes) if position is None else self.sets.ailing(scopes)
        if compare_counts:
            wrong += [pair for pair in scopes if pair not in wrong and self._differs(pair)]
        for tenant_id, scope in wrong:
            self._rebuild(tenant_id, scope)
        if position is None or self.db.run_alone(cursors.read, CURSOR) is None:
            self._note(running.oldest if position is None else position)
        return wrong

    def _note(self, position: int) -> None:
        """In Redis last: what is noted there is not looked at again."""
        self.db.run_alone(cursors.write, CURSOR, position)
        self.sets.note_position(position)

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
        count = self.db.run(consent_log.entries_in, tenant_id=tenant_id, scope=scope)
        entries = self._members(tenant_id, scope)
        self.sets.rebuild(tenant_id, scope, entries, count=count, floor=int(time.time()))
        log.info("suppression_set_rebuilt", tenant=tenant_id, scope=scope, entries=count)

    def _members(self, tenant_id: int, scope: int) -> Iterator[int]:
        """Opened when first read: after the next generation is, so no write falls in between."""
        with self.db.transaction() as tx:
            yield from consent_log.members(tx, tenant_id=tenant_id, scope=scope)
