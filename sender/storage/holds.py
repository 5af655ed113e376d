"""Holds: named reasons why a sender, campaign, tenant or everything may not send now."""

from dataclasses import dataclass
from datetime import datetime
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


#: The reason of the hold on everything while the database is older than what is known of it. Only
#: the end of a recovery lifts it.
DATABASE_OLDER = "database_older"
#: The reason of the hold on a tenant that a recovery went on without, because its log at Twilio
#: could not be read: STOPs may be missing. Only a recovery that has read it lifts it.
NOT_RECOVERED = "not_recovered"
#: Reasons of holds that only a recovery lifts.
OF_RECOVERY = (DATABASE_OLDER, NOT_RECOVERED)
#: The reason of the hold on a sender while STOPs to it, or to another of its tenant's, may be
#: missing.
INTAKE_GAP = "intake_gap"
#: The reason of the hold on a campaign that waits for its scrub.
SCRUB = "scrub"
#: The same once that has taken too long. The scrub is tried on, and lifts it, or a person does.
SCRUB_FAILED = "scrub_failed"
#: Reasons of holds that are lifted by their name only, not along with others.
BY_NAME = (INTAKE_GAP, SCRUB)


@dataclass(frozen=True, kw_only=True)
class Hold:
    """A hold in force."""

    level: Level
    #: The tenant's, sender's or campaign's id; 0 for ``ALL``.
    subject: int
    reason: str
    detail: str
    #: Who placed it; empty: the program itself.
    author: str = ""
    #: Placed through the operator's door: only there it is lifted.
    by_operator: bool = False

    @property
    def key(self) -> tuple[Level, int, str]:
        """What is in force once at most."""
        return self.level, self.subject, self.reason


@dataclass(frozen=True, kw_only=True)
class HoldRecord:
    """A hold as it is kept: in force, or lifted."""

    id: int
    level: Level
    #: The tenant's, sender's or campaign's id; 0 for ``ALL``.
    subject: int
    #: The tenant's name, the sender's address or the campaign's name.
    name: str
    reason: str
    detail: str
    #: Who placed it; empty: the program itself.
    author: str
    #: Placed through the operator's door: only there it is lifted.
    by_operator: bool
    held_at: datetime
    #: ``None`` while it is in force.
    released_at: datetime | None
    released_by: str | None
    release_reason: str


#: SQL that is true while STOPs may not come in: whatever must live for that gave no sign of life.
#: Not correlated: Postgres reads its two rows once a statement.
SILENT = "EXISTS (SELECT FROM intake_source i WHERE i.good_until < clock_timestamp())"

#: SQL that is true for a campaign ``c`` that a hold, the kill switch or a silent intake stops.
HELD = f"""
    ({SILENT} OR EXISTS (
        SELECT FROM hold h WHERE h.released_at IS NULL
          AND (h.level = 'all' OR (h.level, h.subject) IN (
              ('tenant', c.tenant_id), ('sender', c.sender_id), ('campaign', c.id)))))
"""

#: The same for a statement over many campaigns: the holds are read once, not once a campaign.
HELD_AMONG_MANY = f"""
    ({SILENT}
     OR EXISTS (SELECT FROM hold h WHERE h.released_at IS NULL AND h.level = 'all')
     OR c.tenant_id IN (
         SELECT h.subject FROM hold h WHERE h.released_at IS NULL AND h.level = 'tenant')
     OR c.sender_id IN (
         SELECT h.subject FROM hold h WHERE h.released_at IS NULL AND h.level = 'sender')
     OR c.id IN (
         SELECT h.subject FROM hold h WHERE h.released_at IS NULL AND h.level = 'campaign'))
"""  # noqa: S608  # built from a constant

_PLACE = text("""
    INSERT INTO hold (level, subject, reason, detail, author, by_operator)
    VALUES (:level, :subject, :reason, :detail, :author, :by_operator)
    ON CONFLICT (level, subject, reason) WHERE released_at IS NULL DO NOTHING
""")
_TAKE_OVER = text("""
    UPDATE hold SET by_operator = true
    WHERE level = :level AND subject = :subject AND reason = :reason AND released_at IS NULL
      AND NOT by_operator
""")
_PLACE_ON_EVIDENCE = text("""
    INSERT INTO hold (level, subject, reason, detail)
    SELECT :level, :subject, :reason, :detail
    WHERE NOT EXISTS (
        SELECT FROM hold h
        WHERE h.level = :level AND h.subject = :subject AND h.reason = :reason
          AND h.released_at >= coalesce(CAST(:evidence_of AS timestamptz), '-infinity'))
    ON CONFLICT (level, subject, reason) WHERE released_at IS NULL DO NOTHING
""")
_RELEASE = text("""
    UPDATE hold SET released_at = now(), released_by = :author, release_reason = :why
    WHERE level = :level AND subject = :subject AND released_at IS NULL
      AND reason <> ALL (CAST(:kept AS text[])) AND (:by_operator OR NOT by_operator)
      AND (CAST(:only AS text) IS NULL AND reason <> ALL (CAST(:by_name AS text[]))
           OR reason = :only)
""")
_ON_CAMPAIGN = text("""
    SELECT h.level, h.subject, h.reason, h.detail, h.author, h.by_operator
    FROM campaign c JOIN hold h ON h.released_at IS NULL
     AND (h.level = 'all' OR (h.level, h.subject) IN (
          ('tenant', c.tenant_id), ('sender', c.sender_id), ('campaign', c.id)))
    WHERE c.id = :campaign_id ORDER BY h.held_at
""")


_RECORDS = text("""
    SELECT h.id, h.level, h.subject, h.reason, h.detail, h.author, h.by_operator, h.held_at,
           h.released_at, h.released_by, h.release_reason,
           coalesce(t.name, s.address, c.name, '') AS name
    FROM hold h
    LEFT JOIN tenant t ON h.level = 'tenant' AND t.id = h.subject
    LEFT JOIN sender s ON h.level = 'sender' AND s.id = h.subject
    LEFT JOIN campaign c ON h.level = 'campaign' AND c.id = h.subject
    WHERE (:lifted OR h.released_at IS NULL)
      AND (CAST(:tenant_id AS integer) IS NULL OR h.level = 'all'
           OR coalesce(t.id, s.tenant_id, c.tenant_id) = :tenant_id)
    ORDER BY h.id DESC LIMIT :limit
""")


def place(tx: Transaction, hold: Hold) -> bool:
    """Put a hold in force; the guard sees it at the next window.

    Returns:
        Whether it is new: one on the same subject for the same reason stays as it is, but that
        the operator takes it over, so that the tenant who placed it does not lift it.
    """
    values = {**vars(hold), "level": hold.level.value}
    is_new = bool(tx.execute(_PLACE, values).rowcount)
    if hold.by_operator and not is_new:
        tx.execute(_TAKE_OVER, values)
    return is_new


def place_on_evidence(tx: Transaction, hold: Hold, *, evidence_of: datetime | None) -> None:
    """The same, unless it was released since: whoever did so knew of what is older than that.

    Args:
        tx: where several are placed, in the order of ``Hold.key`` and after all else: whoever
            places the same one at the same time waits for its end.
        hold: what to place.
        evidence_of: when the message that shows the need was guarded; ``None``, which is
            unknown, counts as before every release.
    """
    values = {**vars(hold), "level": hold.level.value, "evidence_of": evidence_of}
    tx.execute(_PLACE_ON_EVIDENCE, values)


def release(  # noqa: PLR0913  # what, who, why: each by its name
    tx: Transaction,
    level: Level,
    subject: int,
    *,
    author: str,
    by_operator: bool = False,
    why: str = "",
    only: str | None = None,
) -> int:
    """Lift every hold on one subject, or only that of one reason; how many there were.

    Those of recoveries are not among them, and the operator's only where the operator lifts. Nor
    is, unless it is named, one because of a gap of the intake or for a scrub: it stands for STOPs
    that whoever lifts the others has not thought of.
    """
    values = {"level": level.value, "subject": subject, "author": author, "why": why, "only": only}
    kept = {"kept": list(OF_RECOVERY), "by_name": list(BY_NAME), "by_operator": by_operator}
    return tx.execute(_RELEASE, values | kept).rowcount


def records(
    tx: Transaction, *, tenant_id: int | None, lifted: bool, limit: int
) -> list[HoldRecord]:
    """The holds that stop a tenant (``None``: anybody), newest first, lifted ones if asked."""
    values = {"tenant_id": tenant_id, "lifted": lifted, "limit": limit}
    rows = tx.execute(_RECORDS, values).mappings()
    return [HoldRecord(**{**row, "level": Level(row["level"])}) for row in rows]


def on_campaign(tx: Transaction, campaign_id: int) -> list[Hold]:
    """The holds that stop a campaign now."""
    rows = tx.execute(_ON_CAMPAIGN, {"campaign_id": campaign_id}).mappings()
    return [Hold(**{**row, "level": Level(row["level"])}) for row in rows]
