"""The consent log and the list as the Redis set's reader sees them: what changed, what is in it."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import text

from sender.storage.database import Transaction

_OLDEST_RUNNING = text("""
    SELECT CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)
""")
_WRITTEN_BETWEEN = text("""
    SELECT DISTINCT tenant_id, recipient FROM consent_event
    WHERE written_by >= CAST(CAST(:position AS text) AS xid8)
      AND written_by < CAST(CAST(:upto AS text) AS xid8)
""")


def oldest_running(tx: Transaction) -> int:
    """The oldest transaction that is still running: everything before it is visible."""
    return int(tx.execute(_OLDEST_RUNNING).scalar_one())


@dataclass(frozen=True, kw_only=True)
class LogStretch:
    """A stretch of the consent log whose transactions have all ended."""

    #: Where the next read begins.
    upto: int
    #: The (tenant, recipient) pairs whose consent changed in it.
    people: tuple[tuple[int, int], ...]


def changed_since(tx: Transaction, position: int) -> LogStretch:
    """Whose consent changed in transactions from ``position`` to the oldest one still running.

    Positions are transaction ids, not event ids: those are handed out before commit, so a
    smaller event id may appear after a larger one. Below the oldest running transaction nothing
    can appear any more.
    """
    upto = oldest_running(tx)
    rows = tx.execute(_WRITTEN_BETWEEN, {"position": str(position), "upto": str(upto)})
    return LogStretch(upto=upto, people=tuple((r.tenant_id, r.recipient) for r in rows))


_SCOPE_COUNT = text("""
    SELECT count(DISTINCT recipient) FROM suppression
    WHERE tenant_id = :tenant_id AND scope = :scope
""")
_SCOPE_MEMBERS = text("""
    SELECT DISTINCT recipient FROM suppression WHERE tenant_id = :tenant_id AND scope = :scope
""")


def scope_size(tx: Transaction, *, tenant_id: int, scope: int) -> int:
    """How many recipients one (tenant, scope) suppresses."""
    found = tx.execute(_SCOPE_COUNT, {"tenant_id": tenant_id, "scope": scope})
    return int(found.scalar_one())


def members(tx: Transaction, *, tenant_id: int, scope: int) -> Iterator[int]:
    """The recipients one (tenant, scope) suppresses, streamed."""
    streamed = tx.execution_options(yield_per=20_000)
    with streamed.execute(_SCOPE_MEMBERS, {"tenant_id": tenant_id, "scope": scope}) as found:
        for row in found:
            yield row.recipient
