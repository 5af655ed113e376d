"""What a restored database says of the time it has lost: rows that may have been sent since."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text

from sender.storage import holds
from sender.storage.database import Transaction
from sender.storage.holds import DATABASE_OLDER, NOT_RECOVERED, Hold, Level

#: The reason of rows in doubt that were untouched, or under way, in the restored database.
RESTORED = "restored"
#: When a row that Twilio's log did not show is asked about by itself, at the earliest, and over
#: which time such questions are spread: a restore can put millions in doubt.
ASK_AFTER = timedelta(hours=12)
ASK_OVER = timedelta(hours=24)

_RECOVERY_LOCK = 0x7265636F  # "reco" in ASCII

#: Held without it by code that knew none: then every campaign may have been sent.
_TOUCHED_UPTO = text("""
    SELECT coalesce(w.newest_campaign, (SELECT coalesce(max(id), 0) FROM campaign))
    FROM high_water w
    WHERE EXISTS (SELECT FROM hold
                  WHERE level = 'all' AND reason = :reason AND released_at IS NULL)
""")

#: Slices in which a row can be pending or sending, of campaigns that the lost time can have seen.
_TOUCHED = """
    slice s JOIN campaign c ON c.id = s.campaign_id
    WHERE s.done_at IS NULL AND c.id <= coalesce(CAST(:newest AS bigint), c.id)
"""
_SLICES = text(f"SELECT s.id FROM {_TOUCHED} ORDER BY s.id")  # noqa: S608  # a constant
_CAMPAIGNS = text(f"""
    SELECT t.id, t.name, t.state, count(*) AS messages
    FROM (SELECT c.id, c.name, c.state, s.first_id, s.last_id FROM {_TOUCHED}) t
    JOIN message m ON m.id BETWEEN t.first_id AND t.last_id AND m.campaign_id = t.id
    WHERE m.state IN ('pending', 'sending')
    GROUP BY t.id, t.name, t.state ORDER BY t.id
""")  # noqa: S608  # built from a constant

_DOUBT = text("""
    WITH touched AS (
        SELECT row.id
        FROM slice s CROSS JOIN LATERAL (
            SELECT m.id FROM message m
            WHERE m.id BETWEEN s.first_id AND s.last_id AND m.campaign_id = s.campaign_id
              AND m.state IN ('pending', 'sending')
            ORDER BY m.id FOR UPDATE OF m
        ) AS row
        WHERE s.id = ANY (CAST(:slices AS bigint[]))
    )
    UPDATE message m
    SET state = 'in_doubt', reason = :reason, changed_at = clock_timestamp(), lease_until = NULL
    FROM touched WHERE m.id = touched.id AND m.state IN ('pending', 'sending')
    RETURNING m.id
""")
_ASK_LATE = text("""
    UPDATE doubt SET next_check = now() + :after + random() * CAST(:over AS interval)
    WHERE message_id = ANY (CAST(:ids AS uuid[]))
""")

_KNOWN = text("""
    SELECT m.id, m.recipient, m.sid, m.guarded_at, f.address AS sender, c.body,
           coalesce(m.fields, '{}') AS fields
    FROM message m
    JOIN campaign c ON c.id = m.campaign_id
    JOIN sender f ON f.id = c.sender_id
    WHERE c.tenant_id = :tenant_id AND m.recipient = ANY (CAST(:recipients AS bigint[]))
      AND (m.sid = ANY (CAST(:sids AS text[]))
           OR m.sid IS NULL AND (
               m.state IN ('in_doubt', 'unknown') AND m.reason = :reason
               -- Withdrawn since the restore, by a STOP: it may have been sent before.
               OR m.state = 'suppressed' AND m.changed_at > :since))
    ORDER BY m.id
""")
_LEFT = text("""
    SELECT count(*) FROM doubt d JOIN message m ON m.id = d.message_id
    WHERE m.state = 'in_doubt' AND m.reason = :reason
""")

_LEFT_OUT = text("SELECT id, lost_since FROM tenant WHERE lost_since IS NOT NULL ORDER BY id")
_LEAVE_OUT = text("UPDATE tenant SET lost_since = least(lost_since, :since) WHERE id = :id")
_TAKEN_IN = text("""
    UPDATE tenant SET lost_since = NULL
    WHERE id = ANY (CAST(:ids AS integer[])) AND lost_since IS NOT NULL
""")
_LET_GO = text("""
    UPDATE hold SET released_at = now(), released_by = :author
    WHERE level = 'tenant' AND subject = ANY (CAST(:ids AS bigint[])) AND reason = :reason
      AND released_at IS NULL
""")


@dataclass(frozen=True, kw_only=True)
class TouchedCampaign:
    """A campaign with rows that may have been sent in the lost time."""

    id: int
    name: str
    state: str
    messages: int


@dataclass(frozen=True, kw_only=True)
class KnownMessage:
    """A row that a record of the provider's log may belong to."""

    id: UUID
    recipient: int
    #: ``None`` if nobody knows yet whether it was sent.
    sid: str | None
    guarded_at: datetime | None
    #: The From number or Messaging Service SID.
    sender: str
    #: The campaign's template and the row's fields: together the body.
    body: str
    fields: Mapping[str, str]


def take_turn(tx: Transaction) -> bool:
    """Whether the caller may recover: one at a time, for as long as its session is open."""
    lock = text("SELECT pg_try_advisory_lock(:key)")
    return bool(tx.execute(lock, {"key": _RECOVERY_LOCK}).scalar_one())


def newest_touched(tx: Transaction) -> int | None:
    """The newest campaign that the lost time can have seen: those after it were created since.

    By id, for no two clocks agree. ``None``: nothing is held because the database is older.
    """
    found: int | None = tx.execute(_TOUCHED_UPTO, {"reason": DATABASE_OLDER}).scalar_one_or_none()
    return found


def campaigns(tx: Transaction, *, newest: int | None) -> list[TouchedCampaign]:
    """The campaigns up to the newest (``None``: all) in which rows are pending or sending.

    Reads all those rows.
    """
    rows = tx.execute(_CAMPAIGNS, {"newest": newest})
    return [TouchedCampaign(**row) for row in rows.mappings()]


def touched_slices(tx: Transaction, *, newest: int) -> list[int]:
    """The slices in which such rows can be."""
    return [row.id for row in tx.execute(_SLICES, {"newest": newest})]


def put_in_doubt(tx: Transaction, slices: Sequence[int]) -> int:
    """Put in doubt what is pending or sending in these slices; how many rows."""
    found = tx.execute(_DOUBT, {"slices": list(slices), "reason": RESTORED})
    ids = [row.id for row in found]
    tx.execute(_ASK_LATE, {"ids": ids, "after": ASK_AFTER, "over": ASK_OVER})
    return len(ids)


def known_messages(
    tx: Transaction,
    tenant_id: int,
    *,
    recipients: Sequence[int],
    sids: Sequence[str],
    since: datetime,
) -> list[KnownMessage]:
    """Rows to these people that have one of these SIDs, or were untouched in the restored database.

    Those are in doubt by now, or were withdrawn.
    """
    values = {
        "tenant_id": tenant_id,
        "recipients": list(recipients),
        "sids": list(sids),
        "since": since,
        "reason": RESTORED,
    }
    rows = tx.execute(_KNOWN, values).mappings()
    return [KnownMessage(**row) for row in rows]


def left_out(tx: Transaction) -> dict[int, datetime]:
    """The tenants that recoveries went on without, and since when they lack all, by id."""
    return {row.id: row.lost_since for row in tx.execute(_LEFT_OUT)}


def leave_out(tx: Transaction, tenant_id: int, *, since: datetime, why: str) -> None:
    """Go on without a tenant, and hold it until its log since then was read."""
    tx.execute(_LEAVE_OUT, {"id": tenant_id, "since": since})
    hold = Hold(level=Level.TENANT, subject=tenant_id, reason=NOT_RECOVERED, detail=why)
    holds.place(tx, hold)


def let_go(tx: Transaction, tenant_ids: Sequence[int], *, author: str) -> None:
    """Lift the holds on tenants that were left out, and whose log was read since."""
    values = {"ids": list(tenant_ids), "reason": NOT_RECOVERED, "author": author}
    tx.execute(_TAKEN_IN, values)
    tx.execute(_LET_GO, values)


def left_in_doubt(tx: Transaction) -> int:
    """How many rows the restore put in doubt and nothing has settled yet."""
    return int(tx.execute(_LEFT, {"reason": RESTORED}).scalar_one())
