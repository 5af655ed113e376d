"""Signs of life of the intake, and the gaps that their absence leaves.

A *silent* source stops everything by itself: the guard reads it (`holds.SILENT`). What it leaves
behind is a *gap*: STOPs may be missing, so each sender is held until the log was read past its
end. The sign of life that ends a silence opens the gap in the same transaction, so that there is
no moment between the two in which anything goes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text

from sender.domain.intake import Source
from sender.storage import alerts
from sender.storage.alerts import AlertKind
from sender.storage.database import Transaction
from sender.storage.holds import INTAKE_GAP, SILENT

#: Whoever opens or ends gaps does it alone ("gaps" in ASCII).
_GAPS_LOCK = 0x67617073


@dataclass(frozen=True, kw_only=True)
class Gap:
    """STOPs may be missing since then."""

    since: datetime
    #: What was silent, or could not be asked.
    cause: str
    #: How many senders are held because of it.
    senders: int


_LOCK = text("SELECT pg_advisory_xact_lock(:key)")
_SILENCE = text("""
    SELECT string_agg(source, ', ' ORDER BY source) AS cause, min(beaten_at) AS since
    FROM intake_source WHERE good_until < clock_timestamp()
""")
#: A gap that is open already stays as it is. Where the log of one tenant cannot be read, whom a
#: person has let go since stays free of it, until it could be read again.
_OPEN = text("""
    INSERT INTO intake_sender AS i (sender_id, gap_since, gap_noticed_at, gap_cause)
    SELECT s.id, :since, clock_timestamp(), :cause FROM sender s
    WHERE (CAST(:tenant_id AS integer) IS NULL OR s.tenant_id = :tenant_id AND NOT EXISTS (
            SELECT FROM hold h
            WHERE h.level = 'sender' AND h.subject = s.id AND h.reason = :reason
              AND h.released_at > coalesce(CAST(:read_at AS timestamptz), '-infinity')
              AND h.released_by <> 'the puller'))
      AND NOT EXISTS (
        SELECT FROM intake_sender g WHERE g.sender_id = s.id AND g.gap_since IS NOT NULL)
    ON CONFLICT (sender_id) DO UPDATE
    SET gap_since = excluded.gap_since, gap_noticed_at = excluded.gap_noticed_at,
        gap_cause = excluded.gap_cause, next_pull = least(i.next_pull, clock_timestamp())
    WHERE i.gap_since IS NULL
    RETURNING i.sender_id
""")
#: On whoever has a gap, also where its hold was lifted while the silence goes on. The holds are
#: read once, not once a sender.
_HOLD = text("""
    INSERT INTO hold (level, subject, reason, detail)
    SELECT 'sender', s.id, :reason,
           'STOPs may be missing since ' || to_char(i.gap_since AT TIME ZONE 'UTC',
               'YYYY-MM-DD HH24:MI:SS') || ' UTC (' || i.gap_cause || ')'
           || CASE WHEN i.blind <> '' OR s.kind = 'alphanumeric'
                   THEN '; blind: `sender intake release`, or `allow`' ELSE '' END
    FROM intake_sender i JOIN sender s ON s.id = i.sender_id
    WHERE i.gap_since IS NOT NULL
      AND (CAST(:tenant_id AS integer) IS NULL OR s.tenant_id = :tenant_id)
      AND s.id NOT IN (
        SELECT h.subject FROM hold h
        WHERE h.level = 'sender' AND h.reason = :reason AND h.released_at IS NULL)
    ORDER BY s.id
    ON CONFLICT (level, subject, reason) WHERE released_at IS NULL DO NOTHING
""")
_BEAT = text("""
    UPDATE intake_source
    SET beaten_at = clock_timestamp(), good_until = clock_timestamp() + :good_for
    WHERE source = :source AND good_until >= clock_timestamp()
""")
_RESUME = text("""
    UPDATE intake_source
    SET beaten_at = clock_timestamp(), good_until = clock_timestamp() + :good_for,
        resumed_at = clock_timestamp()
    WHERE source = :source
""")
_PULL_SOON = text("""
    UPDATE intake_sender SET next_pull = clock_timestamp() + :after
    WHERE next_pull > clock_timestamp() + :after AND (NOT :gaps_only OR gap_since IS NOT NULL)
""")
_EXPECT = text("""
    INSERT INTO intake_source (source, good_until) VALUES (:source, clock_timestamp() + :good_for)
    ON CONFLICT DO NOTHING
""")
_LAST_PULL = text("SELECT beaten_at FROM intake_source WHERE source = :source")
_NO_OTHERS = text("DELETE FROM intake_source WHERE NOT source = ANY (CAST(:wanted AS text[]))")


def lock_gaps(tx: Transaction) -> None:
    """Have nobody else open or end gaps, nor enter a sender, until the transaction ends."""
    tx.execute(_LOCK, {"key": _GAPS_LOCK})


def demand(tx: Transaction, sources: Mapping[Source, timedelta]) -> Gap | None:
    """Have these sources live, and no others, from now on; each process says so as it starts.

    One that nobody demanded before has as long as a sign of life is good for to give its first.
    What another's silence has left behind stays a gap; it is returned if nobody noticed it yet.
    Nor is forgotten what nobody will pull any more.
    """
    lock_gaps(tx)
    gap = _notice(tx)
    if sources.keys() == {Source.WEBHOOK}:
        gap = _unread(tx) or gap
    for source, good_for in sources.items():
        tx.execute(_EXPECT, {"source": source.value, "good_for": good_for})
    tx.execute(_NO_OTHERS, {"wanted": [source.value for source in sources]})
    return gap


def beat(tx: Transaction, source: Source, good_for: timedelta) -> Gap | None:
    """Give a sign of life; the gap, if that is the first after a silence and nobody noticed it."""
    values = {"source": source.value, "good_for": good_for}
    if tx.execute(_BEAT, values).rowcount:
        return None
    lock_gaps(tx)
    gap = _notice(tx)
    tx.execute(_RESUME, values)
    tx.execute(_PULL_SOON, {"after": timedelta(), "gaps_only": True})
    return gap


def notice(tx: Transaction) -> Gap | None:
    """Hold all senders while a source is silent; the gap, if it is new."""
    if not tx.execute(text(f"SELECT {SILENT}")).scalar_one():
        return None
    lock_gaps(tx)
    return _notice(tx)


def _notice(tx: Transaction) -> Gap | None:
    found = tx.execute(_SILENCE).one()
    if found.cause is None:
        return None
    return _open(tx, since=found.since, cause=f"no sign of life: {found.cause}", tenant_id=None)


def _unread(tx: Transaction) -> Gap | None:
    """Where pulls alone brought STOPs, and no one pulls from now on: those after the last pull."""
    since = tx.execute(_LAST_PULL, {"source": Source.PULL.value}).scalar_one_or_none()
    if since is None:
        return None
    return _open(tx, since=since, cause="Twilio's log is read no more", tenant_id=None)


def _open(
    tx: Transaction,
    *,
    since: datetime,
    cause: str,
    tenant_id: int | None,
    read_at: datetime | None = None,
) -> Gap | None:
    values = {"since": since, "cause": cause, "tenant_id": tenant_id, "reason": INTAKE_GAP}
    opened = [row.sender_id for row in tx.execute(_OPEN, {**values, "read_at": read_at})]
    tx.execute(_HOLD, {"reason": INTAKE_GAP, "tenant_id": tenant_id})
    if not opened:
        return None
    detail = {"since": since.isoformat(), "cause": cause}
    alerts.raise_for_tenants(tx, AlertKind.INTAKE_GAP, opened, detail=detail)
    return Gap(since=since, cause=cause, senders=len(opened))


#: Tenants of whom a sender could not be read for too long.
_FAILING = text("""
    SELECT s.tenant_id, coalesce(min(i.pulled_at), now()) AS since, min(i.pulled_at) AS read_at
    FROM intake_sender i JOIN sender s ON s.id = i.sender_id
    WHERE i.failures > 0 AND i.blind = ''
      AND (i.pulled_at IS NULL OR i.pulled_at < clock_timestamp() - CAST(:patience AS interval))
    GROUP BY s.tenant_id
""")


def hold_failing(tx: Transaction, patience: timedelta) -> list[Gap]:
    """Hold tenants whose log could not be read for so long, where only that brings STOPs.

    But for senders that a person has released since it was last read.
    """
    failing = tx.execute(_FAILING, {"patience": patience}).all()
    if not failing:
        return []
    lock_gaps(tx)
    gaps = [
        _open(
            tx,
            since=one.since,
            cause="Twilio's log cannot be read",
            tenant_id=one.tenant_id,
            read_at=one.read_at,
        )
        for one in failing
    ]
    return [gap for gap in gaps if gap is not None]


_COVER_NEW = text("""
    INSERT INTO intake_sender (sender_id, gap_since, gap_noticed_at, gap_cause)
    SELECT :sender_id, i.gap_since, i.gap_noticed_at, i.gap_cause
    FROM intake_sender i JOIN sender s ON s.id = i.sender_id
    WHERE s.tenant_id = :tenant_id AND i.gap_since IS NOT NULL
    ORDER BY i.gap_since LIMIT 1
    ON CONFLICT DO NOTHING
""")


def cover_new(tx: Transaction, *, sender_id: int, tenant_id: int) -> None:
    """Hold a new sender like its tenant's others: a STOP to one of them counts for it, too.

    Whoever opens a gap meanwhile waits, and then sees it.
    """
    lock_gaps(tx)
    if tx.execute(_COVER_NEW, {"sender_id": sender_id, "tenant_id": tenant_id}).rowcount:
        tx.execute(_HOLD, {"reason": INTAKE_GAP, "tenant_id": tenant_id})


def pull_soon(tx: Transaction, after: timedelta) -> None:
    """Have every sender read so much later at the latest."""
    tx.execute(_PULL_SOON, {"after": after, "gaps_only": False})


#: A gap ends for all of a tenant's senders at once: a STOP to one counts for all. A blind one has
#: nothing that could be read; its own gap ends with the others' if somebody allowed that.
_CLOSE = text(f"""
    WITH needed AS (
        SELECT s.tenant_id, greatest(
                   max(i.gap_noticed_at), (SELECT max(resumed_at) FROM intake_source)) AS upto
        FROM intake_sender i JOIN sender s ON s.id = i.sender_id
        WHERE i.gap_since IS NOT NULL GROUP BY s.tenant_id
    ),
    caught_up AS (
        SELECT n.tenant_id FROM needed n
        WHERE NOT {SILENT} AND NOT EXISTS (
            SELECT FROM sender s LEFT JOIN intake_sender i ON i.sender_id = s.id
            WHERE s.tenant_id = n.tenant_id AND s.kind <> 'alphanumeric'
              AND coalesce(i.blind, '') = ''
              AND (i.pulled_upto IS NULL OR i.pulled_upto < n.upto))
    )
    UPDATE intake_sender i SET gap_since = NULL, gap_noticed_at = NULL, gap_cause = ''
    FROM sender s
    WHERE s.id = i.sender_id AND s.tenant_id IN (SELECT tenant_id FROM caught_up)
      AND i.gap_since IS NOT NULL
      AND (i.blind = '' AND s.kind <> 'alphanumeric' OR i.allowed_at IS NOT NULL)
    RETURNING i.sender_id
""")  # noqa: S608  # built from a constant
#: By their ids, and not in one statement with the above: Postgres takes the holds for few, and
#: would read all that were closed once for each of them.
_LIFT = text("""
    UPDATE hold SET released_at = clock_timestamp(), released_by = 'the puller',
                    release_reason = 'Twilio''s log was read past the gap'
    WHERE level = 'sender' AND reason = :reason AND released_at IS NULL
      AND subject = ANY (CAST(:ids AS bigint[]))
""")
_HAS_GAPS = text("SELECT EXISTS (SELECT FROM intake_sender WHERE gap_since IS NOT NULL)")


def close_gaps(tx: Transaction) -> int:
    """End the gaps that were read past, and lift their holds; how many."""
    if not tx.execute(_HAS_GAPS).scalar_one():
        return 0
    lock_gaps(tx)
    closed = [row.sender_id for row in tx.execute(_CLOSE)]
    return tx.execute(_LIFT, {"reason": INTAKE_GAP, "ids": closed}).rowcount if closed else 0


_HELD = text("SELECT count(*) FROM intake_sender WHERE gap_since IS NOT NULL")


def senders_in_gap(tx: Transaction) -> int:
    """How many senders wait for the end of a gap."""
    return int(tx.execute(_HELD).scalar_one())
