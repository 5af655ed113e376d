"""Holds: named reasons why a sender, campaign, tenant or everything may not send now."""

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import text

from sender.storage.database import Transaction


class Level(StrEnum):
    """What a hold stops."""

    #: Everything: the kill switch.
    ALL = "all"
    TENANT = "tenant"
    SENDER = "sender"
    CAMPAIGN = "campaign"


@dataclass(frozen=True, kw_only=True)
class Hold:
    """A hold in force."""

    level: Level
    #: The tenant's, sender's or campaign's id; 0 for ``ALL``.
    subject: int
    reason: str
    detail: str


#: SQL that is true for a campaign ``c`` that a hold or the kill switch stops.
HELD = """
    EXISTS (
        SELECT FROM hold h WHERE h.released_at IS NULL
          AND (h.level = 'all' OR (h.level, h.subject) IN (
              ('tenant', c.tenant_id), ('sender', c.sender_id), ('campaign', c.id))))
"""

#: The same for a statement over many campaigns: the holds are read once, not once a campaign.
HELD_AMONG_MANY = """
    (EXISTS (SELECT FROM hold h WHERE h.released_at IS NULL AND h.level = 'all')
     OR c.tenant_id IN (
         SELECT h.subject FROM hold h WHERE h.released_at IS NULL AND h.level = 'tenant')
     OR c.sender_id IN (
         SELECT h.subject FROM hold h WHERE h.released_at IS NULL AND h.level = 'sender')
     OR c.id IN (
         SELECT h.subject FROM hold h WHERE h.released_at IS NULL AND h.level = 'campaign'))
"""

_PLACE = text("""
    INSERT INTO hold (level, subject, reason, detail) VALUES (:level, :subject, :reason, :detail)
    ON CONFLICT (level, subject, reason) WHERE released_at IS NULL DO NOTHING
""")
_RELEASE = text("""
    UPDATE hold SET released_at = now(), released_by = :author
    WHERE level = :level AND subject = :subject AND released_at IS NULL
""")
_ON_CAMPAIGN = text("""
    SELECT h.level, h.subject, h.reason, h.detail
    FROM campaign c JOIN hold h ON h.released_at IS NULL
     AND (h.level = 'all' OR (h.level, h.subject) IN (
          ('tenant', c.tenant_id), ('sender', c.sender_id), ('campaign', c.id)))
    WHERE c.id = :campaign_id ORDER BY h.held_at
""")


def place(tx: Transaction, hold: Hold) -> None:
    """Put a hold in force; the guard sees it at the next window."""
    tx.execute(_PLACE, {**vars(hold), "level": hold.level.value})


def release(tx: Transaction, level: Level, subject: int, *, author: str) -> int:
    """Lift every hold on one subject; how many there were."""
    values = {"level": level.value, "subject": subject, "author": author}
    return tx.execute(_RELEASE, values).rowcount


def on_campaign(tx: Transaction, campaign_id: int) -> list[Hold]:
    """The holds that stop a campaign now."""
    rows = tx.execute(_ON_CAMPAIGN, {"campaign_id": campaign_id}).mappings()
    return [Hold(**{**row, "level": Level(row["level"])}) for row in rows]
