"""The chain over the consent log: its links, and the rows each of them seals."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, TextClause, text

from sender.storage.database import Transaction

#: Rows fetched at a time while the log streams by.
PAGE = 5_000


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A part of the log: transactions ``from_xid <= x < upto_xid``, within these ids."""

    from_xid: int
    upto_xid: int
    #: Ids from the next one after it, up to and including the last.
    after_event: int
    last_event: int
    after_time: int
    last_time: int


@dataclass(frozen=True, kw_only=True)
class Link(Stretch):
    """A stored link of the chain."""

    id: int
    events: int
    times: int
    digest: bytes
    sealed_at: datetime


_COLUMNS = """
    id, from_xid, upto_xid, after_event, last_event, after_time, last_time, events, times, digest,
    sealed_at
"""
_HEAD = text(f"SELECT {_COLUMNS} FROM consent_seal ORDER BY id DESC LIMIT 1")  # noqa: S608  # a constant
_LINKS = text(f"SELECT {_COLUMNS} FROM consent_seal ORDER BY id")  # noqa: S608  # a constant
_BOUNDS = text("""
    SELECT CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint) AS upto_xid,
           (SELECT coalesce(max(id), 0) FROM consent_event) AS last_event,
           (SELECT coalesce(max(id), 0) FROM consent_time) AS last_time
""")
# Written by transactions that this server has not come to: by those of the one that was dumped.
_BROUGHT = text("""
    WITH event AS (SELECT id, written_by FROM consent_event
                   WHERE written_by >= CAST(CAST(:upto_xid AS text) AS xid8)
                     AND written_by >= pg_snapshot_xmax(pg_current_snapshot())),
         time AS (SELECT id, written_by FROM consent_time
                  WHERE written_by >= CAST(CAST(:upto_xid AS text) AS xid8)
                    AND written_by >= pg_snapshot_xmax(pg_current_snapshot()))
    SELECT coalesce(1 + CAST(CAST(greatest((SELECT max(written_by) FROM event),
                                           (SELECT max(written_by) FROM time)) AS text) AS bigint),
                    0) AS upto_xid,
           (SELECT coalesce(max(id), 0) FROM event) AS last_event,
           (SELECT coalesce(max(id), 0) FROM time) AS last_time
""")
#: Above every transaction id.
_NEVER = 1 << 62
_WITHIN = """
    written_by >= CAST(CAST(:from_xid AS text) AS xid8)
    AND written_by < CAST(CAST(:upto_xid AS text) AS xid8)
"""
_EVENTS = text(f"""
    SELECT id, tenant_id, recipient, scope, direction, reason, source, source_id, provider_at,
           author, batch_id, evidence_digest, received_at, CAST(written_by AS text) AS written_by
    FROM consent_event
    WHERE {_WITHIN} AND id > :after_event AND id <= :last_event ORDER BY id
""")  # noqa: S608  # built from the constant above only
_TIMES = text(f"""
    SELECT id, source_id, provider_at, recorded_at, CAST(written_by AS text) AS written_by
    FROM consent_time
    WHERE {_WITHIN} AND id > :after_time AND id <= :last_time ORDER BY id
""")  # noqa: S608  # built from the constant above only
_COUNT = text(f"""
    SELECT (SELECT count(*) FROM consent_event
            WHERE {_WITHIN} AND id > :after_event AND id <= :last_event)
         + (SELECT count(*) FROM consent_time
            WHERE {_WITHIN} AND id > :after_time AND id <= :last_time)
""")  # noqa: S608  # built from the constant above only
_APPEND = text("""
    INSERT INTO consent_seal (id, from_xid, upto_xid, after_event, last_event, after_time,
                              last_time, events, times, digest)
    VALUES (:id, :from_xid, :upto_xid, :after_event, :last_event, :after_time, :last_time,
            :events, :times, :digest)
    ON CONFLICT (id) DO NOTHING
""")
_SEAL_LOCK = 0x7365616C  # "seal" in ASCII


def take_turn(tx: Transaction) -> bool:
    """Whether the caller may seal: one at a time, for as long as ``tx`` is open."""
    lock = text("SELECT pg_try_advisory_xact_lock(:key)")
    return bool(tx.execute(lock, {"key": _SEAL_LOCK}).scalar_one())


def head(tx: Transaction) -> Link | None:
    """The latest link; ``None`` for a chain not begun."""
    found = tx.execute(_HEAD).mappings().one_or_none()
    return None if found is None else _link(found)


def links(tx: Transaction) -> Iterator[Link]:
    """Every link, in order, streamed."""
    for row in _streamed(tx, _LINKS, {}):
        yield _link(row)


def _link(row: Mapping[str, Any] | RowMapping) -> Link:
    return Link(**{**row, "digest": bytes(row["digest"])})


def to_seal(tx: Transaction, latest: Link | None) -> Stretch:
    """What a new link would cover now: from the latest link to the oldest running transaction.

    Transaction ids that began anew mean that a dump was restored. Then it is, one after the other,
    what the dump brought unsealed, and what was written since, told apart by their ids.
    """
    return _open(tx, latest)[0]


def tail(tx: Transaction, latest: Link | None) -> tuple[Stretch, ...]:
    """What no link seals yet, what transactions that still run have written included."""
    *before, newest = _open(tx, latest)
    return (*before, Stretch(**{**vars(newest), "upto_xid": _NEVER}))


def _open(tx: Transaction, latest: Link | None) -> tuple[Stretch, ...]:
    bounds = tx.execute(_BOUNDS).mappings().one()
    if latest is None:
        return (Stretch(from_xid=0, after_event=0, after_time=0, **bounds),)
    if bounds["upto_xid"] >= latest.upto_xid:
        return (_onward(latest, **bounds),)
    brought = tx.execute(_BROUGHT, {"upto_xid": latest.upto_xid}).mappings().one()
    if not brought["upto_xid"]:
        return (_anew(latest, **bounds),)
    ids = {name: max(brought[name], vars(latest)[name]) for name in ("last_event", "last_time")}
    left = _onward(latest, **{**brought, **ids})
    return left, _anew(left, **bounds)


def _onward(latest: Stretch, **bounds: int) -> Stretch:
    return Stretch(
        from_xid=latest.upto_xid,
        after_event=latest.after_event,
        after_time=latest.after_time,
        **bounds,
    )


def _anew(latest: Stretch, **bounds: int) -> Stretch:
    return Stretch(from_xid=0, after_event=latest.last_event, after_time=latest.last_time, **bounds)


def rows(tx: Transaction, stretch: Stretch) -> Iterator[Mapping[str, Any]]:
    """What a stretch holds, in the order of the seal: events, then times, streamed."""
    yield from _streamed(tx, _EVENTS, vars(stretch))
    yield from _streamed(tx, _TIMES, vars(stretch))


def size(tx: Transaction, stretches: Sequence[Stretch]) -> int:
    """How many events and times these stretches hold."""
    return sum(int(tx.execute(_COUNT, vars(one)).scalar_one()) for one in stretches)


def _streamed(
    tx: Transaction, query: TextClause, values: Mapping[str, object]
) -> Iterator[Mapping[str, Any]]:
    streamed = {"yield_per": PAGE}
    with tx.execute(query, dict(values), execution_options=streamed) as found:
        for row in found.mappings():
            yield dict(row)


def append(tx: Transaction, link: Mapping[str, object]) -> bool:
    """Add a link; ``False`` when another sealer was first."""
    return tx.execute(_APPEND, dict(link)).rowcount == 1


@dataclass(frozen=True, kw_only=True)
class Totals:
    """The whole log in figures, beside what the links say."""

    events: int
    times: int
    #: Tables whose trigger against changes is missing, switched off, or does not refuse them all.
    unguarded: tuple[str, ...]


# 58: before each statement, of UPDATE, DELETE and TRUNCATE (TRIGGER_TYPE_* in Postgres's
# src/include/catalog/pg_trigger.h); 'A': also as a replica.
_TOTALS = text("""
    SELECT (SELECT count(*) FROM consent_event) AS events,
           (SELECT count(*) FROM consent_time) AS times,
           ARRAY(SELECT t FROM unnest(ARRAY['consent_event', 'consent_time', 'consent_seal']) AS t
                 WHERE NOT EXISTS (
                    SELECT FROM pg_trigger g JOIN pg_proc f ON f.oid = g.tgfoid
                    WHERE g.tgrelid = to_regclass(t) AND g.tgname = 'append_only'
                      AND g.tgenabled = 'A' AND g.tgtype = 58 AND g.tgqual IS NULL
                      AND g.tgattr = ''
                      AND f.prosrc ~ '^\\s*BEGIN\\s+RAISE EXCEPTION\\y')) AS unguarded
""")


def totals(tx: Transaction) -> Totals:
    """Count the log, and look whether Postgres still refuses changes to it."""
    found = tx.execute(_TOTALS).mappings().one()
    return Totals(**{**found, "unguarded": tuple(found["unguarded"])})
