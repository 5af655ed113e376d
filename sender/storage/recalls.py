"""The work list of texts to take back: the provider took them and may not have passed them on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import text

from sender.storage import id_range
from sender.storage.database import Transaction
from sender.storage.enforcement import IN_SCOPE, STILL_SUPPRESSED
from sender.storage.id_range import WITHIN

#: What the provider keeps, it keeps no longer.
LONGEST_KEPT = timedelta(hours=24)

#: SQL that is true for a row ``m`` that the provider may still keep: accepted, or perhaps, and no
#: callback has told that it left. It keeps nothing of ours for longer than 24 hours: a queue 10
#: hours at most, and what it puts off for the night goes in the morning.
_KEPT = """
    (m.state IN ('sending', 'sent', 'in_doubt') AND m.guarded_at > now() - interval '24 hours'
     AND NOT EXISTS (SELECT FROM receipt r
                     WHERE r.message_id = m.id AND NOT r.status = ANY (CAST(:kept AS text[]))))
"""


@dataclass(frozen=True, kw_only=True)
class Recall:
    """A message to cancel at the provider."""

    message_id: UUID
    tenant_id: int
    sid: str


#: Canceled campaigns whose messages are not on the list yet, once nothing of theirs is pending:
#: from then on none of their rows can come to be sent that is not being sent by now.
_CANCELED = text("""
    SELECT c.id FROM campaign c
    WHERE c.recall_due AND NOT EXISTS (
        SELECT FROM slice s JOIN message m
          ON m.id BETWEEN s.first_id AND s.last_id AND m.campaign_id = s.campaign_id
        WHERE s.campaign_id = c.id AND s.done_at IS NULL AND m.state = 'pending')
    ORDER BY c.id
""")
_REQUEST = text("UPDATE campaign SET recall_due = true WHERE id = :id")
_SLICES = text("SELECT id FROM slice WHERE campaign_id = :id ORDER BY id")
_ENLIST = text(f"""
    INSERT INTO recall (message_id)
    SELECT m.id FROM slice s JOIN message m
      ON m.id BETWEEN s.first_id AND s.last_id AND m.campaign_id = s.campaign_id
    WHERE s.id = ANY (CAST(:ids AS bigint[])) AND {_KEPT}
    ON CONFLICT DO NOTHING
""")  # noqa: S608  # built from constants only
_ENLISTED = text("UPDATE campaign SET recall_due = false WHERE id = :id")

#: Only once an opt-out is enforced: then nothing more of that person's can come to be sent.
_ENLIST_OPT_OUTS = text(f"""
    WITH due AS (
        SELECT event_id FROM enforcement
        WHERE recall_due AND enforced_at IS NOT NULL
        ORDER BY event_id LIMIT :limit FOR UPDATE SKIP LOCKED
    ),
    enlisted AS (
        INSERT INTO recall (message_id)
        SELECT DISTINCT m.id
        FROM due JOIN enforcement e ON e.event_id = due.event_id
        JOIN message m ON m.recipient = e.recipient
        JOIN campaign c ON c.id = m.campaign_id
        WHERE {WITHIN} AND {IN_SCOPE} AND {STILL_SUPPRESSED} AND {_KEPT}
        ON CONFLICT DO NOTHING
    )
    UPDATE enforcement e SET recall_due = false FROM due WHERE e.event_id = due.event_id
""")  # noqa: S608  # built from constants only

#: Looks at the head of the line only, which may be a million long. What nobody can ask for yet (it
#: is being sent, or in doubt) steps back where it would keep others from being looked at.
_FORGET_DECIDED = text(f"""
    WITH head AS (
        SELECT r.message_id FROM recall r WHERE r.next_try <= now()
        ORDER BY r.next_try LIMIT :limit FOR UPDATE SKIP LOCKED
    ),
    judged AS (
        SELECT head.message_id, coalesce({_KEPT}, false) AS kept,
               m.state = 'sent' AND m.sid IS NOT NULL AS is_known
        FROM head LEFT JOIN message m ON m.id = head.message_id
    ),
    decided AS (
        DELETE FROM recall r USING judged j WHERE r.message_id = j.message_id AND NOT j.kept
        RETURNING r.message_id
    ),
    put_off AS (
        UPDATE recall r SET next_try = now() + interval '5 seconds'
        FROM judged j
        WHERE r.message_id = j.message_id AND j.kept AND NOT j.is_known
          AND (SELECT count(*) FROM head) = :limit
        RETURNING r.message_id
    )
    SELECT (SELECT count(*) FROM decided) + (SELECT count(*) FROM put_off)
""")  # noqa: S608  # built from constants only
#: Claimed before it is tried, each time for twice as long, at most an hour.
_CLAIM = text("""
    WITH due AS (
        SELECT r.message_id FROM recall r JOIN message m ON m.id = r.message_id
        WHERE r.next_try <= now() AND m.state = 'sent' AND m.sid IS NOT NULL
        ORDER BY r.next_try LIMIT :limit FOR UPDATE OF r SKIP LOCKED
    ),
    claimed AS (
        UPDATE recall r
        SET tries = tries + 1,
            next_try = now() + least(interval '1 hour',
                                     interval '5 seconds' * 2 ^ least(tries, 10))
        FROM due WHERE r.message_id = due.message_id
        RETURNING r.message_id
    )
    SELECT m.id AS message_id, c.tenant_id, m.sid
    FROM claimed JOIN message m ON m.id = claimed.message_id
    JOIN campaign c ON c.id = m.campaign_id
""")
_FORGET = text("DELETE FROM recall WHERE message_id = ANY (CAST(:ids AS uuid[]))")


def request(tx: Transaction, campaign_id: int) -> None:
    """Have what the provider still keeps of a campaign put on the list."""
    tx.execute(_REQUEST, {"id": campaign_id})


def canceled(tx: Transaction) -> list[int]:
    """Canceled campaigns whose messages are not on the list yet."""
    return [row.id for row in tx.execute(_CANCELED)]


def slices_of(tx: Transaction, campaign_id: int) -> list[int]:
    """All slices of a campaign, done or not."""
    return [row.id for row in tx.execute(_SLICES, {"id": campaign_id})]


def enlist(tx: Transaction, slice_ids: list[int], *, kept: Iterable[str]) -> None:
    """Put on the list what the provider may still keep of these slices.

    ``kept`` is here and below the provider's words for a message that has not left it.
    """
    tx.execute(_ENLIST, {"ids": slice_ids, "kept": list(kept)})


def enlisted(tx: Transaction, campaign_id: int) -> None:
    """Note that a canceled campaign's messages are on the list."""
    tx.execute(_ENLISTED, {"id": campaign_id})


def enlist_opt_outs(tx: Transaction, *, kept: Iterable[str], limit: int) -> int:
    """The same for the people of up to ``limit`` enforced opt-outs; how many those were."""
    among = id_range.of_open(tx, ended=LONGEST_KEPT)
    return tx.execute(_ENLIST_OPT_OUTS, {"kept": list(kept), "limit": limit, **among}).rowcount


def forget_decided(tx: Transaction, *, kept: Iterable[str], limit: int) -> int:
    """Take off the list what left the provider, ended, or is too old to be there still.

    Of the first ``limit`` that are due, which are those that would be claimed next.

    Returns:
        How many made way for those behind them.
    """
    values = {"kept": list(kept), "limit": limit}
    return int(tx.execute(_FORGET_DECIDED, values).scalar_one())


def claim(tx: Transaction, *, limit: int) -> list[Recall]:
    """Messages to cancel now, put off for everybody else."""
    return [Recall(**row) for row in tx.execute(_CLAIM, {"limit": limit}).mappings()]


def forget(tx: Transaction, ids: Sequence[UUID]) -> None:
    """Take messages off the list."""
    tx.execute(_FORGET, {"ids": list(ids)})
