"""Scrubs: which campaigns wait for theirs, what became of it, and how far blocks were read.

A campaign waits by a hold on itself, which the guard reads with all others. One that ended as it
should was nobody's decision and leaves no record among the holds: what it found stands here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.expression import bindparam

from sender.domain.scrub import Scrub, ScrubOutcome
from sender.storage import holds
from sender.storage.database import Transaction
from sender.storage.holds import OF_RECOVERY, SCRUB, Hold, Level


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A running campaign that waits for its scrub."""

    campaign_id: int
    tenant_id: int
    sender_id: int
    #: The From number or Messaging Service SID.
    sender: str
    #: How often it failed.
    tries: int
    #: Which of its scrubs: one that was asked for later is not ended by this one.
    asked_at: datetime
    #: How long it has been running without.
    waited: timedelta


_ASK = text("""
    INSERT INTO campaign_scrub (campaign_id) VALUES (:id)
    ON CONFLICT (campaign_id) DO UPDATE
    SET outcome = 'waiting', why = '', ended_at = NULL, tries = 0,
        asked_at = clock_timestamp(), next_at = clock_timestamp()
    WHERE campaign_scrub.outcome <> 'waiting'
""")
_IS_OLD = text("""
    SELECT EXISTS (
        SELECT FROM campaign_scrub
        WHERE campaign_id = :id AND outcome IN ('done', 'lifted')
          AND ended_at < clock_timestamp() - CAST(:older_than AS interval))
""")
#: It has not waited while nobody would have scrubbed it.
_RESUME = text("""
    UPDATE campaign_scrub SET asked_at = clock_timestamp(), tries = 0, next_at = clock_timestamp()
    WHERE campaign_id = :id AND outcome = 'waiting'
""")
_SKIP = text("""
    INSERT INTO campaign_scrub (campaign_id, outcome, why, ended_at)
    VALUES (:id, 'skipped', :why, clock_timestamp())
    ON CONFLICT (campaign_id) DO UPDATE
    SET outcome = excluded.outcome, why = excluded.why, ended_at = excluded.ended_at
""")
_LET_GO = text("""
    DELETE FROM hold
    WHERE level = 'campaign' AND subject = ANY (CAST(:ids AS bigint[])) AND reason = 'scrub'
      AND released_at IS NULL
""")
_LIFT_FAILED = text("""
    UPDATE hold SET released_at = clock_timestamp(), released_by = 'the scrub',
                    release_reason = :why
    WHERE level = 'campaign' AND subject = ANY (CAST(:ids AS bigint[]))
      AND reason = 'scrub_failed' AND released_at IS NULL
""")


def ask(tx: Transaction, campaign_id: int) -> None:
    """Have a (locked) campaign wait for its scrub."""
    tx.execute(_ASK, {"id": campaign_id})
    _hold(tx, campaign_id)


def _hold(tx: Transaction, campaign_id: int) -> None:
    detail = "waits until Twilio was asked for opt-outs that are not known here"
    holds.place(tx, Hold(level=Level.CAMPAIGN, subject=campaign_id, reason=SCRUB, detail=detail))


def resume(tx: Transaction, campaign_id: int, *, older_than: timedelta) -> None:
    """Have a (locked) campaign that was paused wait for a scrub again, where its last is so old.

    One that went without stays without.
    """
    tx.execute(_RESUME, {"id": campaign_id})
    if tx.execute(_IS_OLD, {"id": campaign_id, "older_than": older_than}).scalar_one():
        ask(tx, campaign_id)


#: Campaigns that a hold has stopped for as long as their scrub is old. The moment they are released
#: nobody looks: so they are scrubbed now and then while they are held.
_HELD_LONG = text("""
    UPDATE campaign_scrub k
    SET outcome = 'waiting', why = '', ended_at = NULL, tries = 0,
        asked_at = clock_timestamp(), next_at = clock_timestamp()
    FROM campaign c
    WHERE c.id = k.campaign_id AND c.state = 'RUNNING' AND k.outcome = 'done'
      AND k.ended_at < clock_timestamp() - CAST(:older_than AS interval)
      AND EXISTS (
          SELECT FROM hold h
          WHERE h.released_at IS NULL AND h.held_at < now() - CAST(:older_than AS interval)
            AND (h.level = 'all' OR (h.level, h.subject) IN (
                ('tenant', c.tenant_id), ('sender', c.sender_id), ('campaign', c.id))))
    RETURNING k.campaign_id
""")


def ask_of_held(tx: Transaction, *, older_than: timedelta) -> int:
    """Have campaigns scrubbed again that are held for so long, and were before that; how many."""
    ids = [row.campaign_id for row in tx.execute(_HELD_LONG, {"older_than": older_than})]
    for campaign_id in sorted(ids):
        _hold(tx, campaign_id)
    return len(ids)


def skip(tx: Transaction, campaign_id: int, why: str) -> None:
    """Have a (locked) campaign go without one; why stands beside it."""
    tx.execute(_SKIP, {"id": campaign_id, "why": why})
    _lift(tx, [campaign_id], why)


def _lift(tx: Transaction, campaign_ids: Sequence[int], why: str) -> None:
    ids = {"ids": list(campaign_ids)}
    tx.execute(_LET_GO, ids)
    tx.execute(_LIFT_FAILED, {**ids, "why": why})


#: Those that a person let go, or that have ended: nobody waits any more.
_LIFTED = text("""
    UPDATE campaign_scrub k
    SET ended_at = clock_timestamp(), outcome = 'lifted', why = coalesce(
        (SELECT h.released_by || ': ' || h.release_reason FROM hold h
         WHERE h.level = 'campaign' AND h.subject = k.campaign_id
           AND h.reason IN ('scrub', 'scrub_failed') AND h.released_at IS NOT NULL
         ORDER BY h.released_at DESC LIMIT 1), '')
    WHERE k.outcome = 'waiting' AND NOT EXISTS (
        SELECT FROM hold h WHERE h.level = 'campaign' AND h.subject = k.campaign_id
          AND h.reason IN ('scrub', 'scrub_failed') AND h.released_at IS NULL)
""")
_DROP = text("""
    UPDATE campaign_scrub k SET ended_at = clock_timestamp(), outcome = 'dropped'
    FROM campaign c
    WHERE c.id = k.campaign_id AND k.outcome = 'waiting' AND c.completed_at IS NOT NULL
    RETURNING c.id
""")
#: Claimed by being put off: whoever claims them and dies leaves them to the next. While a database
#: is to be recovered, the recovery reads the log first: what is pending there may have been sent.
_CLAIM = text("""
    UPDATE campaign_scrub k SET next_at = clock_timestamp() + :lease
    FROM campaign c JOIN sender f ON f.id = c.sender_id
    WHERE c.id = k.campaign_id AND k.campaign_id IN (
        SELECT w.campaign_id FROM campaign_scrub w JOIN campaign r ON r.id = w.campaign_id
        WHERE w.outcome = 'waiting' AND w.next_at <= clock_timestamp() AND r.state = 'RUNNING'
          AND r.sender_id <> ALL (CAST(:busy AS integer[]))
          AND NOT EXISTS (
              SELECT FROM hold h WHERE h.released_at IS NULL
                AND h.reason = ANY (CAST(:of_recovery AS text[]))
                AND (h.level = 'all' OR h.level = 'tenant' AND h.subject = r.tenant_id))
        ORDER BY w.next_at LIMIT :limit FOR UPDATE OF w SKIP LOCKED)
    RETURNING k.campaign_id, c.tenant_id, c.sender_id, f.address AS sender, k.tries,
              k.asked_at, clock_timestamp() - greatest(c.started_at, k.asked_at) AS waited
""")
#: SQL that is true where `claim` may find anything; mostly not. It is asked ten times a second: a
#: campaign that is scheduled for next week costs no more than this.
ARE_DUE = """
    EXISTS (
        SELECT FROM campaign_scrub k JOIN campaign c ON c.id = k.campaign_id
        WHERE k.outcome = 'waiting'
          AND (c.state = 'RUNNING' AND k.next_at <= clock_timestamp()
               OR c.completed_at IS NOT NULL))
"""


def claim(
    tx: Transaction, *, lease: timedelta, limit: int, busy: Sequence[int] = ()
) -> list[Waiting]:
    """Take the scrubs that are due, but for these senders', for so long."""
    tx.execute(_LIFTED)
    _lift(tx, [row.id for row in tx.execute(_DROP)], "the campaign has ended")
    values = {"lease": lease, "limit": limit, "busy": list(busy)}
    rows = tx.execute(_CLAIM, {**values, "of_recovery": list(OF_RECOVERY)}).mappings()
    return [Waiting(**row) for row in rows]


_GIVE_BACK = text("""
    UPDATE campaign_scrub k SET next_at = clock_timestamp()
    FROM unnest(CAST(:ids AS bigint[]), CAST(:asked AS timestamptz[])) AS w (id, asked_at)
    WHERE k.campaign_id = w.id AND k.asked_at = w.asked_at AND k.outcome = 'waiting'
""")


def give_back(tx: Transaction, waiting: Sequence[Waiting]) -> None:
    """Have these taken by whoever comes next: their consumer ends."""
    tx.execute(_GIVE_BACK, _keys(waiting))


def _keys(waiting: Sequence[Waiting]) -> dict[str, Any]:
    return {
        "ids": [one.campaign_id for one in waiting],
        "asked": [one.asked_at for one in waiting],
    }


_END = text("""
    UPDATE campaign_scrub k
    SET outcome = 'done', why = '', unseen = :unseen, ended_at = clock_timestamp(),
        drift = (SELECT jsonb_object_agg(
                     d.key,
                     CAST(d.value AS bigint) + coalesce(CAST(k.drift ->> d.key AS bigint), 0))
                 FROM jsonb_each_text(CAST(:drift AS jsonb)) d)
    FROM unnest(CAST(:ids AS bigint[]), CAST(:asked AS timestamptz[])) AS w (id, asked_at)
    WHERE k.campaign_id = w.id AND k.asked_at = w.asked_at AND k.outcome = 'waiting'
    RETURNING k.campaign_id
""").bindparams(bindparam("drift", type_=JSONB))
_PUT_OFF = text("""
    UPDATE campaign_scrub
    SET tries = tries + 1, why = :why, next_at = clock_timestamp() + :rest
    WHERE campaign_id = :id AND outcome = 'waiting' AND asked_at = :asked_at
""")
_EXPLAIN = text("""
    UPDATE hold SET detail = :detail
    WHERE level = 'campaign' AND subject = :id AND reason IN ('scrub', 'scrub_failed')
      AND released_at IS NULL
""")
_GIVE_UP = text("""
    UPDATE hold SET reason = 'scrub_failed'
    WHERE level = 'campaign' AND subject = :id AND reason = 'scrub' AND released_at IS NULL
""")


def end(
    tx: Transaction, waiting: Sequence[Waiting], *, drift: Mapping[str, int], unseen: str
) -> None:
    """Let these go: what Twilio told is in force. Of several scrubs of one, the drift adds up."""
    values = {**_keys(waiting), "drift": dict(drift), "unseen": unseen}
    ended = [row.campaign_id for row in tx.execute(_END, values)]
    _lift(tx, ended, "Twilio was asked")


def put_off(
    tx: Transaction, waiting: Waiting, *, why: str, rest: timedelta, gives_up: bool
) -> bool:
    """Try it again later; the hold says why it waits.

    Returns:
        Whether the campaign is from now on held as one whose scrub has failed.
    """
    about = {"id": waiting.campaign_id}
    values = {**about, "asked_at": waiting.asked_at, "why": why, "rest": rest}
    if not tx.execute(_PUT_OFF, values).rowcount:
        return False
    hint = "; it is tried on, or lift this hold to go without" if gives_up else ""
    tx.execute(_EXPLAIN, {**about, "detail": f"{why}{hint}"})
    return gives_up and bool(tx.execute(_GIVE_UP, about).rowcount)


_OF_CAMPAIGN = text("""
    SELECT outcome, why, drift, unseen, asked_at, ended_at FROM campaign_scrub
    WHERE campaign_id = :id
""")


def of_campaign(tx: Transaction, campaign_id: int) -> Scrub | None:
    """A campaign's scrub; ``None`` where it was not enqueued yet, or before there were any."""
    row = tx.execute(_OF_CAMPAIGN, {"id": campaign_id}).mappings().one_or_none()
    return None if row is None else Scrub(**{**row, "outcome": ScrubOutcome(row["outcome"])})


_OWNER = text("""
    SELECT m.id, m.guarded_at, m.state FROM message m JOIN campaign c ON c.id = m.campaign_id
    WHERE m.recipient = :recipient AND m.sid = :sid AND c.tenant_id = :tenant_id
""")


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The message of ours that a record of the provider's log is about."""

    id: UUID
    guarded_at: datetime | None
    state: str


def owner(tx: Transaction, *, tenant_id: int, recipient: int, sid: str) -> Owner | None:
    """Whose record this is; ``None``: another system's, or one of a lost database's."""
    values: dict[str, Any] = {"tenant_id": tenant_id, "recipient": recipient, "sid": sid}
    row = tx.execute(_OWNER, values).mappings().one_or_none()
    return None if row is None else Owner(**row)
