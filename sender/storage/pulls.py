"""Which senders' inbound messages are to be read in Twilio's log, and how far each was read."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text

from sender.domain.intake import Blind
from sender.domain.phone import SenderKind
from sender.storage.database import Transaction

#: Who pulls does it alone ("pull" in ASCII).
_PULL_LOCK = 0x70756C6C


@dataclass(frozen=True, kw_only=True)
class DueSender:
    """A sender whose inbound messages are to be read now."""

    id: int
    tenant_id: int
    address: str
    kind: str
    #: Up to when they were; ``None``: never.
    watermark: datetime | None
    #: When its tenant's oldest campaign under way was created, where there is no watermark.
    campaign: datetime | None
    #: Since when STOPs to it may be missing; ``None``: none are.
    gap: datetime | None
    #: Whether an inbound message to it was ever seen; asked of short codes only.
    heard: bool
    #: Whether the service that it is in drops inbound messages.
    dropped: bool

    @property
    def is_service(self) -> bool:
        """Whether it is a pool of numbers, which are read as senders themselves."""
        return self.kind == SenderKind.MESSAGING_SERVICE


_READ = """
    SELECT s.id, s.tenant_id, s.address, s.kind, i.pulled_upto AS watermark,
           CASE WHEN i.pulled_upto IS NULL THEN (
               SELECT min(c.created_at) FROM campaign c
               WHERE c.tenant_id = s.tenant_id AND c.state NOT IN ('COMPLETED', 'CANCELED')
           ) END AS campaign,
           i.gap_since AS gap,
           s.kind <> 'short_code'
               OR EXISTS (SELECT FROM inbound m WHERE m.sender_id = s.id) AS heard,
           i.dropped_by IS NOT NULL AS dropped
    FROM sender s JOIN tenant t ON t.id = s.tenant_id
    LEFT JOIN intake_sender i ON i.sender_id = s.id
    WHERE t.account_sid IS NOT NULL AND s.kind <> 'alphanumeric'
"""
_DUE = text(f"""{_READ}
      AND coalesce(i.next_pull, '-infinity') <= clock_timestamp()
    ORDER BY i.next_pull NULLS FIRST, s.id LIMIT :limit
""")  # built from a constant
_BEHIND = text(f"""{_READ}
      AND s.id IN (SELECT ss.sender_id FROM sender_scope ss WHERE ss.scope = :sender_id)
    ORDER BY s.kind <> 'messaging_service', s.id
""")  # noqa: S608  # built from a constant


_TAKE_TURN = text("""
    SELECT pg_try_advisory_lock(:key), set_config('idle_session_timeout', :limit, false)
""")
#: A round takes less, but for logs of hundreds of pages.
TURN = timedelta(minutes=10)


def take_turn(tx: Transaction, at_most: timedelta = TURN) -> bool:
    """Be the one who pulls until the session ends; ``False``: another one is.

    Postgres ends a session that stands still for longer than ``at_most``: a frozen process would
    keep its turn for ever. Two who pull at the same time apply everything once all the same.
    """
    limit = str(int(at_most.total_seconds() * 1000))  # in milliseconds
    return bool(tx.execute(_TAKE_TURN, {"key": _PULL_LOCK, "limit": limit}).scalar_one())


def now(tx: Transaction) -> datetime:
    """Postgres's clock, by which watermarks are."""
    found: datetime = tx.execute(text("SELECT clock_timestamp()")).scalar_one()
    return found


def behind(tx: Transaction, sender_id: int) -> list[DueSender]:
    """A sender, and the numbers that are or were in it if it is a service; it comes first."""
    return [DueSender(**row) for row in tx.execute(_BEHIND, {"sender_id": sender_id}).mappings()]


def due(tx: Transaction, *, limit: int) -> list[DueSender]:
    """Senders to be read now, those who wait longest first."""
    return [DueSender(**row) for row in tx.execute(_DUE, {"limit": limit}).mappings()]


#: Up to when the log must be read for a gap of the sender ``i``'s tenant to end.
_END = """
    greatest(
        (SELECT max(g.gap_noticed_at)
         FROM intake_sender g JOIN sender s ON s.id = g.sender_id
         WHERE g.gap_since IS NOT NULL
           AND s.tenant_id = (SELECT tenant_id FROM sender WHERE id = i.sender_id)),
        (SELECT max(resumed_at) FROM intake_source))
"""
#: After a gap it is asked again as soon as an answer can reach past its end. Where one did, and the
#: gap goes on for something else, there is no haste.
_PULLED = text(f"""
    INSERT INTO intake_sender AS i (sender_id, pulled_upto, pulled_at, blind, next_pull)
    VALUES (:sender_id, :upto, clock_timestamp(), :blind, clock_timestamp() + :every)
    ON CONFLICT (sender_id) DO UPDATE
    SET pulled_upto = greatest(i.pulled_upto, excluded.pulled_upto),
        pulled_at = excluded.pulled_at, blind = excluded.blind, failures = 0, failure = '',
        next_pull = CASE
            WHEN i.gap_since IS NULL OR excluded.blind <> '' OR excluded.pulled_upto >= {_END}
            THEN excluded.next_pull
            ELSE least(excluded.next_pull, greatest(
                clock_timestamp() + interval '1 second', :settles + {_END})) END
""")  # noqa: S608  # built from a constant
_FAILED = text("""
    INSERT INTO intake_sender AS i (sender_id, failures, failure, next_pull)
    VALUES (:sender_id, 1, :why, clock_timestamp() + interval '1 second')
    ON CONFLICT (sender_id) DO UPDATE
    SET failures = i.failures + 1, failure = excluded.failure,
        next_pull = clock_timestamp()
            + least(interval '1 minute', interval '1 second' * 2 ^ least(i.failures, 6))
""")


def pulled(
    tx: Transaction,
    sender_id: int,
    *,
    upto: datetime,
    blind: Blind | None,
    every: timedelta,
    settles: timedelta,
) -> None:
    """Move a sender's watermark, once all that was read is applied and committed.

    Args:
        tx: the transaction.
        sender_id: whose.
        upto: everything that Twilio received before was read.
        blind: why nothing can be read; it then says nothing.
        every: until it is read again.
        settles: how long Twilio's log needs; after a gap it is read again that long after its end.
    """
    values = {"sender_id": sender_id, "upto": upto, "blind": blind.value if blind else ""}
    tx.execute(_PULLED, {**values, "every": every, "settles": settles})


#: For `intake.hold_failing` it counts as one that cannot be read.
_UNFINISHED = text("""
    INSERT INTO intake_sender AS i (sender_id, failures, failure, next_pull)
    VALUES (:sender_id, 1, :why, clock_timestamp())
    ON CONFLICT (sender_id) DO UPDATE
    SET failures = greatest(i.failures, 1), failure = excluded.failure,
        next_pull = excluded.next_pull
""")
#: What `sender intake show` says meanwhile.
LONG_LOG = "its log is long, and not read to its end yet"


def unfinished(tx: Transaction, sender_id: int) -> None:
    """Have a sender of whose log a part is left read on, after the others that are due."""
    tx.execute(_UNFINISHED, {"sender_id": sender_id, "why": LONG_LOG})


_DROPPED = text("""
    INSERT INTO intake_sender AS i (sender_id, dropped_by)
    SELECT unnest(CAST(:numbers AS integer[])), :service_id
    ON CONFLICT (sender_id) DO UPDATE SET dropped_by = excluded.dropped_by
    WHERE i.dropped_by IS DISTINCT FROM excluded.dropped_by
""")
_NOT_DROPPED = text("""
    UPDATE intake_sender SET dropped_by = NULL
    WHERE dropped_by = :service_id AND sender_id <> ALL (CAST(:numbers AS integer[]))
""")


def drops(tx: Transaction, service_id: int, numbers: Sequence[int]) -> None:
    """Note the numbers of which a service drops the inbound messages: these, and no others."""
    values = {"service_id": service_id, "numbers": list(numbers)}
    tx.execute(_NOT_DROPPED, values)
    if numbers:
        tx.execute(_DROPPED, values)


def failed(tx: Transaction, sender_ids: Sequence[int], why: str) -> None:
    """Read these again later, each time twice as late, at most a minute."""
    for sender_id in sender_ids:
        tx.execute(_FAILED, {"sender_id": sender_id, "why": why})
