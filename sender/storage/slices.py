"""Slices: which part of a campaign is offered, leased, and done.

A slice's lease only spares workers from treading on each other; what keeps a message from being
sent twice is the guard on its row. So a slice may be offered again as soon as its owner is gone.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text

from sender.storage.database import Transaction
from sender.storage.holds import HELD
from sender.storage.workers import OWNER_LIVES

#: An offer that nobody took for this long got lost on the way: Celery over Redis loses messages.
OFFER_EXPIRES = timedelta(seconds=15)
#: Segments a second that one slice feeds, so that a sender has no more slices in play than its
#: pace needs: a process's 64 requests in flight make this much when an answer takes 2.5 s, which
#: is ten times what Twilio takes. A slow sender therefore costs one thread and not the fleet.
FED_BY_A_SLICE = 25.0
#: How soon a slice is looked at again whose last rows are all under way.
UNDER_WAY = timedelta(seconds=1)

#: SQL that is true while a running campaign ``c`` of sender ``f`` may send: what refuses a window
#: of it as a whole refuses the slice already, or its runs would come to nothing again and again.
_MAY_GO = f"""
    (c.deadline_at > now() AND (f.rests_until IS NULL OR f.rests_until <= now()) AND NOT {HELD})
"""


@dataclass(frozen=True, kw_only=True)
class SliceWork:
    """A leased slice and all that its worker must know about the campaign."""

    slice_id: int
    campaign_id: int
    tenant_id: int
    sender_id: int
    #: The From number or Messaging Service SID.
    sender: str
    segments_per_second: float
    #: Whether a daily cap holds for the sender or its tenant.
    capped: bool
    #: (tenant, scope) pairs in which a suppression covers this sender.
    scopes: tuple[tuple[int, int], ...]
    #: The body template as typed.
    body: str
    validity: timedelta
    first_id: UUID
    last_id: UUID


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Who waits for a run to end."""

    #: Another campaign of its sender: that has what slices the sender's pace needs in play.
    same_sender: bool = False
    #: Campaigns of others: no worker has a thread left for them.
    other_senders: bool = False

    @property
    def any(self) -> bool:
        """Whether anybody does."""
        return self.same_sender or self.other_senders


_FLEET = {"expires": OFFER_EXPIRES, "fed_by_a_slice": FED_BY_A_SLICE}
_KICK_LOCK = 0x6B69636B  # "kick" in ASCII

#: SQL to put after ``WITH``: ``room`` has what the fleet can take in all and beside what is in play
#: (leased, or offered and not lost yet); ``queue`` has the next slices of each campaign that could
#: be worked on and are not, with their ``turn`` in their campaign and their ``place`` in their
#: sender, of which its pace needs ``places``. No more are looked at than the fleet could take: a
#: campaign of millions has thousands.
_QUEUE = f"""
    running AS (
        SELECT c.id, c.sender_id, f.rests_until,
               ceil(f.segments_per_second / :fed_by_a_slice) AS places,
               {_MAY_GO} AS may_go
        FROM campaign c JOIN sender f ON f.id = c.sender_id WHERE c.state = 'RUNNING'
    ),
    in_play AS (
        SELECT s.id, s.campaign_id, c.sender_id
        FROM slice s JOIN running c ON c.id = s.campaign_id
        WHERE s.done_at IS NULL AND (
            s.leased_until > now() AND {OWNER_LIVES.format(owner="s.owner")}
            -- An offer from before the sender's rest was refused during it, or will be.
            OR s.owner IS NULL AND c.may_go
               AND s.offered_at > greatest(now() - :expires, c.rests_until))
    ),
    room AS (
        SELECT coalesce(sum(w.slices), 0) AS total,
               coalesce(sum(w.slices), 0) - (SELECT count(*) FROM in_play) AS left
        FROM worker w WHERE {OWNER_LIVES.format(owner="w.id")}
    ),
    turns AS (
        SELECT next.id, c.id AS campaign_id, c.sender_id, c.places,
               (SELECT count(*) FROM in_play p WHERE p.campaign_id = c.id)
                   + row_number() OVER (PARTITION BY c.id ORDER BY next.id) AS turn,
               -- By chance among campaigns whose turn it is alike, or the oldest would always be
               -- first.
               random() AS chance
        FROM running c CROSS JOIN LATERAL (
            SELECT s.id FROM slice s
            WHERE s.campaign_id = c.id AND s.done_at IS NULL
              AND (s.due_at IS NULL OR s.due_at <= now()) AND s.id NOT IN (SELECT id FROM in_play)
            ORDER BY s.id LIMIT greatest(1, (SELECT room.total FROM room))
        ) AS next
        WHERE c.may_go
    ),
    queue AS (
        SELECT t.*, (SELECT count(*) FROM in_play p WHERE p.sender_id = t.sender_id)
                    + row_number() OVER (PARTITION BY t.sender_id ORDER BY turn, chance) AS place
        FROM turns t
    )
"""  # noqa: S608  # built from constants only

_OFFER = text(f"""
    WITH {_QUEUE},
    offered AS (
        SELECT id FROM queue WHERE place <= places ORDER BY turn, chance
        LIMIT greatest(0, (SELECT room.left FROM room))
    )
    UPDATE slice s SET offered_at = now(), owner = NULL, leased_until = NULL
    FROM offered WHERE s.id = offered.id
    RETURNING s.id
""")  # noqa: S608  # built from constants only

_LEASE = text(f"""
    UPDATE slice s
    SET owner = :owner, leased_until = now() + :lease, started_at = coalesce(s.started_at, now())
    FROM campaign c, sender f
    WHERE s.id = :slice_id AND s.done_at IS NULL AND c.id = s.campaign_id AND f.id = c.sender_id
      AND c.state = 'RUNNING' AND {_MAY_GO} AND (s.due_at IS NULL OR s.due_at <= now())
      AND (s.owner IS NULL OR s.leased_until < now()
           OR NOT {OWNER_LIVES.format(owner="s.owner")})
    RETURNING s.id AS slice_id, c.id AS campaign_id, c.tenant_id, c.sender_id,
              f.address AS sender, f.segments_per_second, c.body, c.validity,
              EXISTS (SELECT FROM daily_cap d WHERE (d.level, d.subject) IN (
                  ('tenant', c.tenant_id), ('sender', c.sender_id))) AS capped,
              s.first_id, s.last_id,
              (SELECT array_agg(ss.scope ORDER BY ss.scope) FROM sender_scope ss
               WHERE ss.sender_id = c.sender_id) AS sender_scopes
""")  # noqa: S608  # built from constants only

_CLOSE = text("""
    WITH rest AS (
        SELECT count(*) FILTER (WHERE m.state IN ('pending', 'sending')) AS open,
               min(coalesce(m.next_at, now())) FILTER (WHERE m.state = 'pending') AS next_at
        FROM slice s JOIN message m
          ON m.id BETWEEN s.first_id AND s.last_id AND m.campaign_id = s.campaign_id
        WHERE s.id = :slice_id
    )
    UPDATE slice s
    SET owner = NULL, leased_until = NULL, offered_at = NULL,
        done_at = CASE WHEN rest.open = 0 THEN now() END,
        due_at = greatest(coalesce(rest.next_at, now() + :under_way), now() + :rest)
    FROM rest WHERE s.id = :slice_id AND s.owner = :owner
    RETURNING s.done_at IS NOT NULL AS done
""")

_OTHERS_WAIT = text(f"""
    WITH {_QUEUE}
    SELECT coalesce(bool_or(sender_id = :sender_id), false) AS same_sender,
           coalesce(bool_or(sender_id <> :sender_id AND place <= places), false)
               AND (SELECT room.left <= 0 FROM room) AS other_senders
    FROM queue WHERE campaign_id <> :campaign_id
""")  # noqa: S608  # built from constants only


class SliceTable:
    """The statements on ``slice``."""

    def offer(self, tx: Transaction) -> list[int]:
        """Mark as offered what the fleet has room for, fairly among campaigns.

        Of each sender no more than its pace needs; of one that rests or is held, nothing. One
        caller at a time; a second one gets nothing, and need not.

        Returns:
            The ids of the slices to publish as hints.
        """
        lock = text("SELECT pg_try_advisory_xact_lock(:key)")
        if not tx.execute(lock, {"key": _KICK_LOCK}).scalar_one():
            return []
        return [row.id for row in tx.execute(_OFFER, _FLEET)]

    def lease(
        self, tx: Transaction, slice_id: int, *, owner: int, lease: timedelta
    ) -> SliceWork | None:
        """Take a slice; ``None`` when it is done, another worker's, or may not be sent now.

        A duplicated or late hint therefore does nothing.
        """
        values = {"slice_id": slice_id, "owner": owner, "lease": lease}
        row = tx.execute(_LEASE, values).mappings().one_or_none()
        if row is None:
            return None
        facts = dict(row)
        own_scopes = facts.pop("sender_scopes") or []
        scopes = [(0, 0), (row["tenant_id"], 0), *((row["tenant_id"], s) for s in own_scopes)]
        return SliceWork(**facts, scopes=tuple(scopes))

    def close(self, tx: Transaction, slice_id: int, *, owner: int, rest: timedelta) -> bool:
        """Give a slice back: done when nothing in it is open, else due again after ``rest``.

        Returns:
            Whether it is done.
        """
        values = {"slice_id": slice_id, "owner": owner, "rest": rest, "under_way": UNDER_WAY}
        return bool(tx.execute(_CLOSE, values).scalar_one_or_none())

    def others_wait(self, tx: Transaction, *, campaign_id: int, sender_id: int) -> Waiting:
        """Who could work if a run over this campaign ended now. Costs milliseconds."""
        values = {**_FLEET, "campaign_id": campaign_id, "sender_id": sender_id}
        return Waiting(**tx.execute(_OTHERS_WAIT, values).mappings().one())


_INSERT = text("""
    INSERT INTO slice (campaign_id, first_id, last_id)
    SELECT :campaign_id, * FROM unnest(CAST(:firsts AS uuid[]), CAST(:lasts AS uuid[]))
""")


def insert(tx: Transaction, campaign_id: int, spans: list[tuple[UUID, UUID]]) -> None:
    """Cut a campaign into slices at the given id ranges."""
    firsts, lasts = [span[0] for span in spans], [span[1] for span in spans]
    tx.execute(_INSERT, {"campaign_id": campaign_id, "firsts": firsts, "lasts": lasts})


def wake(tx: Transaction, campaign_id: int) -> None:
    """Make a campaign's resting slices due at once, when it is resumed."""
    due = text("UPDATE slice SET due_at = NULL WHERE campaign_id = :id AND done_at IS NULL")
    tx.execute(due, {"id": campaign_id})


_START_DUE = text("""
    UPDATE campaign
    SET state = 'RUNNING', started_at = now(), deadline_at = now() + time_limit
    WHERE state = 'SCHEDULED' AND start_at <= :now
""")


def start_scheduled(tx: Transaction, now: datetime) -> int:
    """Start the campaigns whose time has come; how many."""
    return tx.execute(_START_DUE, {"now": now}).rowcount
