"""Slices: which part of a campaign is offered, leased, and done.

A slice's lease only spares workers from treading on each other; what keeps a message from being
sent twice is the guard on its row. So a slice may be offered again as soon as its owner is gone.
"""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import text

from sender.storage import offers
from sender.storage.database import Transaction, take_turn
from sender.storage.id_range import WITHIN
from sender.storage.workers import OWNER_LIVES

#: How soon a slice is looked at again whose last rows are all under way.
UNDER_WAY = timedelta(seconds=1)


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

    @property
    def span(self) -> tuple[UUID, UUID]:
        """The lowest and highest id in it."""
        return self.first_id, self.last_id


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Who waits for a run to end, and what else may end it."""

    #: Another campaign of its sender: that has what slices the sender's pace needs in play.
    same_sender: bool = False
    #: Campaigns of others: more than workers have threads left for.
    other_senders: bool = False
    #: A transactional slice, for which a bulk one makes way at once.
    transactional: bool = False
    #: Whether a daily cap holds for its sender or its tenant by now.
    capped: bool = False

    @property
    def any(self) -> bool:
        """Whether anybody has a right to a turn as long as this one's."""
        return self.same_sender or self.other_senders


#: A kick takes milliseconds.
LONGEST_KICK = timedelta(seconds=10)

_KICK_LOCK = 0x6B69636B  # "kick" in ASCII

_OFFER, _OTHERS_WAIT = text(offers.OFFER), text(offers.OTHERS_WAIT)

_LEASE = text(f"""
    UPDATE slice s
    SET owner = :owner, leased_until = now() + :lease, started_at = coalesce(s.started_at, now())
    FROM campaign c, sender f
    WHERE s.id = :slice_id AND s.done_at IS NULL AND c.id = s.campaign_id AND f.id = c.sender_id
      AND c.state = 'RUNNING' AND {offers.MAY_GO} AND (s.due_at IS NULL OR s.due_at <= now())
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

_CLOSE = text(f"""
    WITH rest AS (
        SELECT count(*) FILTER (WHERE m.state IN ('pending', 'sending')) AS open,
               min(coalesce(m.next_at, now())) FILTER (WHERE m.state = 'pending') AS next_at
        FROM slice s JOIN message m
          ON m.id BETWEEN s.first_id AND s.last_id AND m.campaign_id = s.campaign_id
        WHERE s.id = :slice_id AND {WITHIN}
    )
    UPDATE slice s
    SET owner = NULL, leased_until = NULL, offered_at = NULL,
        done_at = CASE WHEN rest.open = 0 THEN now() END,
        due_at = greatest(coalesce(rest.next_at, now() + :under_way), now() + :rest)
    FROM rest WHERE s.id = :slice_id AND s.owner = :owner
    RETURNING s.done_at IS NOT NULL AS done
""")  # noqa: S608  # built from a constant

_BULK_HAS_ROOM = text(offers.BULK_HAS_ROOM)
_TAKE_BACK = text("UPDATE slice SET offered_at = NULL WHERE id = :slice_id AND owner IS NULL")


class SliceTable:
    """The statements on ``slice``."""

    def offer(self, tx: Transaction) -> dict[int, bool]:
        """Mark as offered what the fleet has room for, fairly among campaigns.

        Of each sender no more than its pace needs; of one that rests or is held, nothing. One
        caller at a time; a second one gets nothing, and need not.

        Returns:
            The slices to publish as hints: by its id, whether each is transactional.
        """
        if not take_turn(tx, _KICK_LOCK, lasting=LONGEST_KICK):
            return {}
        return {row.id: row.transactional for row in tx.execute(_OFFER, offers.FLEET)}

    def may_exceed(self, tx: Transaction, slice_id: int) -> bool:
        """Whether a process with its share of bulk slices may take this one beside them.

        It may while others have fewer, so that the reserved threads stay free in the fleet. Else
        the hint is an old one; its slice is offered again when there is room.
        """
        if tx.execute(_BULK_HAS_ROOM).scalar_one():
            return True
        tx.execute(_TAKE_BACK, {"slice_id": slice_id})
        return False

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

    def close(
        self,
        tx: Transaction,
        slice_id: int,
        *,
        span: tuple[UUID, UUID],
        owner: int,
        rest: timedelta,
    ) -> bool:
        """Give a slice back: done when nothing in it is open, else due again after ``rest``.

        Args:
            tx: a transaction, which this is one statement of.
            slice_id: which.
            span: its own; see `SliceWork.span`.
            owner: who leased it; another's lease stays.
            rest: at least so long.

        Returns:
            Whether it is done.
        """
        values = {
            "slice_id": slice_id,
            "lowest": span[0],
            "highest": span[1],
            "owner": owner,
            "rest": rest,
            "under_way": UNDER_WAY,
        }
        return bool(tx.execute(_CLOSE, values).scalar_one_or_none())

    def others_wait(self, tx: Transaction, *, campaign_id: int, sender_id: int) -> Waiting:
        """Who could work if a run over this campaign ended now. Costs milliseconds."""
        values = {**offers.FLEET, "campaign_id": campaign_id, "sender_id": sender_id}
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
    WHERE state = 'SCHEDULED' AND start_at <= now()
""")


def start_scheduled(tx: Transaction) -> int:
    """Start the campaigns whose time has come, by Postgres's clock; how many.

    One clock for the fleet: a host whose own is wrong must start nothing an hour early.
    """
    return tx.execute(_START_DUE).rowcount
