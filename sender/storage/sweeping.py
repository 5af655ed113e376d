"""What nobody works on any more gets a state that says so; campaigns are completed.

Rows are reached through their slices, a few slices in a transaction: the index scan costs what is
open, never what is stored, and no STOP waits long for the locks of a large clean-up.
"""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import text

from sender.domain import slicing
from sender.storage import database
from sender.storage.database import Transaction
from sender.storage.workers import OWNER_LIVES

#: Slices worked on in one transaction: 10,000 rows at most, a fraction of a second.
SLICES_AT_A_TIME = 10_000 // slicing.LARGEST

_SWEEP_LOCK = 0x73776570  # "swep" in ASCII

_STARTED = text("""
    SELECT id FROM slice WHERE done_at IS NULL AND started_at IS NOT NULL ORDER BY id
""")

#: Rows left in ``sending`` by an owner who is gone, or past their lease.
_ABANDON = text(f"""
    WITH stale AS (
        SELECT row.id, row.owner_lives
        FROM slice s CROSS JOIN LATERAL (
            SELECT m.id, {OWNER_LIVES.format(owner="m.owner")} AS owner_lives
            FROM message m
            WHERE m.id BETWEEN s.first_id AND s.last_id AND m.campaign_id = s.campaign_id
              AND m.state = 'sending'
              AND (m.lease_until < now() OR NOT {OWNER_LIVES.format(owner="m.owner")})
            ORDER BY m.id FOR UPDATE OF m
        ) AS row
        WHERE s.id = ANY (CAST(:ids AS bigint[]))
    )
    UPDATE message m
    SET state = 'in_doubt', changed_at = clock_timestamp(), lease_until = NULL,
        reason = CASE WHEN stale.owner_lives THEN 'lease_ran_out' ELSE 'worker_lost' END
    FROM stale WHERE m.id = stale.id AND m.state = 'sending'
""")  # noqa: S608  # built from constants only

_OVER = text("""
    SELECT s.id FROM slice s JOIN campaign c ON c.id = s.campaign_id
    WHERE s.done_at IS NULL
      AND (c.state = 'CANCELED' OR c.state IN ('RUNNING', 'PAUSED') AND c.deadline_at <= now())
      AND (CAST(:campaign_id AS bigint) IS NULL OR c.id = :campaign_id)
      -- In a restored database pending does not mean unsent: "expired" could be a lie.
      AND NOT EXISTS (SELECT FROM hold h WHERE h.reason = 'database_older'
                                           AND h.released_at IS NULL)
    ORDER BY s.id
""")

#: Pending rows that will never be sent: too late, or of a campaign that was canceled.
_GIVE_UP = text("""
    WITH late AS (
        SELECT row.id,
               CASE c.state WHEN 'CANCELED' THEN 'canceled' ELSE 'expired' END AS state,
               CASE WHEN c.state = 'CANCELED' THEN 'campaign_canceled'
                    WHEN row.reason = 'review' THEN 'review'
                    ELSE 'campaign_deadline' END AS reason
        FROM slice s JOIN campaign c ON c.id = s.campaign_id
        CROSS JOIN LATERAL (
            SELECT m.id, m.reason FROM message m
            WHERE m.id BETWEEN s.first_id AND s.last_id AND m.campaign_id = s.campaign_id
              AND m.state = 'pending'
            ORDER BY m.id FOR UPDATE OF m
        ) AS row
        WHERE s.id = ANY (CAST(:ids AS bigint[]))
    )
    UPDATE message m
    SET state = late.state, reason = late.reason, changed_at = clock_timestamp()
    FROM late WHERE m.id = late.id AND m.state = 'pending'
""")

_FINISH = text("""
    UPDATE slice s SET done_at = now(), owner = NULL, leased_until = NULL
    WHERE s.id = ANY (CAST(:ids AS bigint[])) AND s.done_at IS NULL
      AND NOT EXISTS (
        SELECT FROM message m
        WHERE m.id BETWEEN s.first_id AND s.last_id AND m.campaign_id = s.campaign_id
          AND m.state IN ('pending', 'sending'))
""")

_COMPLETE = text("""
    UPDATE campaign c SET state = 'COMPLETED', completed_at = clock_timestamp(), why = '',
                          author = ''
    WHERE (c.state = 'RUNNING' OR c.state = 'PAUSED' AND c.deadline_at <= now())
      AND NOT EXISTS (SELECT FROM slice s WHERE s.campaign_id = c.id AND s.done_at IS NULL)
""")


@dataclass(frozen=True, kw_only=True)
class Swept:
    """What one sweep changed."""

    in_doubt: int
    #: Expired, or canceled after they were put back.
    given_up: int
    completed: int


#: How long a sweeper's turn lasts at most. One that is frozen keeps its connection, and with it the
#: turn, for good: nobody else could sweep. One that needs longer loses nothing but the turn.
TURN = timedelta(seconds=30)


def take_turn(tx: Transaction, *, lasting: timedelta = TURN) -> bool:
    """Whether the caller may sweep: one at a time, for as long as ``tx`` is open.

    Postgres ends the session when nothing was done on it for ``lasting``.
    """
    return database.take_turn(tx, _SWEEP_LOCK, lasting=lasting)


def started(tx: Transaction) -> list[int]:
    """Every slice that was begun and is not done: where abandoned rows can be."""
    return [row.id for row in tx.execute(_STARTED)]


def abandon(tx: Transaction, ids: list[int]) -> int:
    """Put in doubt what a lost worker left ``sending`` in these slices; how many rows."""
    return tx.execute(_ABANDON, {"ids": ids}).rowcount


def over(tx: Transaction, campaign_id: int | None = None) -> list[int]:
    """Open slices of campaigns that are canceled or past their deadline (or of one of them)."""
    return [row.id for row in tx.execute(_OVER, {"campaign_id": campaign_id})]


def give_up(tx: Transaction, ids: list[int]) -> int:
    """Expire or cancel what is pending in these slices, and finish them; how many rows."""
    rows = tx.execute(_GIVE_UP, {"ids": ids}).rowcount
    tx.execute(_FINISH, {"ids": ids})
    return rows


def complete(tx: Transaction) -> int:
    """Complete the campaigns in which nothing is open any more; how many."""
    return tx.execute(_COMPLETE).rowcount
