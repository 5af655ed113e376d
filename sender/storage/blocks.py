"""How many of a campaign's requests met a 21610, of all its answers and of the latest ones."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from sender.domain.campaign import MessageIds
from sender.storage.database import Transaction

#: The reason of the hold on a campaign whose latest answers are 21610s.
JUMPED = "provider_blocks"
#: A campaign's whole rate is judged anew when its 21610s have grown by this much: its rows are
#: counted a few dozen times in all, not at every sweep.
GROWN = 1.1


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A campaign with enough 21610s to be judged."""

    campaign_id: int
    tenant_id: int
    name: str
    created_at: datetime
    recipients: int
    blocks: int
    #: Whether its whole rate is to be judged now.
    has_grown: bool
    #: Whether it runs, and is not held for this already.
    may_be_held: bool
    #: When a person last released it from a hold for this: what was sent before, they knew of.
    released_at: datetime | None


#: Campaigns that run, or ended within the hour: 21610s in callbacks come after the end.
_WATCHED = text(f"""
    SELECT c.id AS campaign_id, c.tenant_id, c.name, c.created_at, c.recipients, i.blocks,
           i.blocks >= c.blocks_judged * CAST(:grown AS double precision)
           AND i.blocks > c.blocks_judged AS has_grown,
           c.state = 'RUNNING' AND NOT EXISTS (
               SELECT FROM hold h WHERE h.level = 'campaign' AND h.subject = c.id
                 AND h.reason = '{JUMPED}' AND h.released_at IS NULL) AS may_be_held,
           (SELECT max(h.released_at) FROM hold h WHERE h.level = 'campaign'
              AND h.subject = c.id AND h.reason = '{JUMPED}') AS released_at
    FROM campaign c CROSS JOIN LATERAL (
        SELECT count(*) AS blocks FROM incident WHERE campaign_id = c.id) AS i
    WHERE c.id IN (SELECT id FROM campaign WHERE state = 'RUNNING'
                   UNION ALL
                   SELECT id FROM campaign WHERE completed_at > now() - interval '1 hour')
      AND i.blocks >= :least
    ORDER BY c.id
""")  # noqa: S608  # built from a constant
_ANSWERS = text("""
    SELECT count(*) FROM (
        SELECT FROM message m
        WHERE m.id BETWEEN :first AND :last AND m.campaign_id = :campaign_id
          AND m.guarded_at IS NOT NULL AND m.state NOT IN ('pending', 'sending')
        LIMIT :enough) AS found
""")
_NTH_LATEST = text("""
    SELECT m.guarded_at FROM incident i JOIN message m ON m.id = i.message_id
    WHERE i.campaign_id = :campaign_id
      AND (CAST(:released_at AS timestamptz) IS NULL OR i.began_at > :released_at)
    ORDER BY i.began_at DESC OFFSET :others LIMIT 1
""")
#: What was guarded since then lies in slices that are worked on, or were done since.
_LATEST_ANSWERS = text("""
    WITH recent AS (
        SELECT first_id, last_id FROM slice
        WHERE campaign_id = :campaign_id
          AND (done_at >= :since OR done_at IS NULL AND started_at IS NOT NULL)
    )
    SELECT count(*) FROM (
        SELECT FROM recent r JOIN message m ON m.id BETWEEN r.first_id AND r.last_id
        WHERE m.campaign_id = :campaign_id AND m.guarded_at >= :since
          AND m.state NOT IN ('pending', 'sending')
        LIMIT :enough) AS found
""")
_JUDGED = text("UPDATE campaign SET blocks_judged = :blocks WHERE id = :campaign_id")


def watched(tx: Transaction, *, least: int) -> list[Watched]:
    """Campaigns with at least so many 21610s that run, or ended within the hour."""
    rows = tx.execute(_WATCHED, {"least": least, "grown": GROWN}).mappings()
    return [Watched(**row) for row in rows]


def answers(tx: Transaction, one: Watched, *, enough: int) -> int:
    """How many of its requests have an outcome; counting ends at ``enough``."""
    ids = MessageIds(created_at=one.created_at, campaign_id=one.campaign_id)
    first, last = ids.span(1, one.recipients)
    values = {"first": first, "last": last, "campaign_id": one.campaign_id, "enough": enough}
    return int(tx.execute(_ANSWERS, values).scalar_one())


def answers_around_latest(tx: Transaction, one: Watched, *, blocks: int, enough: int) -> int | None:
    """Among how many of the latest answers its latest ``blocks`` 21610s are, at most ``enough``.

    ``None`` where there are fewer 21610s since its last release.
    """
    wanted = {"campaign_id": one.campaign_id, "released_at": one.released_at, "others": blocks - 1}
    since = tx.execute(_NTH_LATEST, wanted).scalar_one_or_none()
    if since is None:
        return None
    values = {"campaign_id": one.campaign_id, "since": since, "enough": enough}
    return int(tx.execute(_LATEST_ANSWERS, values).scalar_one())


def judged(tx: Transaction, one: Watched) -> None:
    """Have its whole rate left alone until its 21610s have grown."""
    tx.execute(_JUDGED, {"campaign_id": one.campaign_id, "blocks": one.blocks})
