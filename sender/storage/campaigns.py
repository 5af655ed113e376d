"""Campaigns: created whole or not at all, and moved from state to state by what is asked."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb
from sqlalchemy import text

from sender.domain.campaign import CampaignState, MessageIds, Progress
from sender.storage import holds, scrubs, senders
from sender.storage.database import Transaction
from sender.storage.texts import storable


@dataclass(frozen=True, kw_only=True)
class NewCampaign:
    """A campaign before it is stored."""

    tenant_id: int
    sender_id: int
    name: str
    body: str
    idempotency_key: str | None
    #: Identifies the arguments, so that a key used for something else is noticed.
    fingerprint: str
    #: How long Twilio may queue a message.
    validity: timedelta
    #: How long after its start the campaign may go on sending.
    time_limit: timedelta
    transactional: bool
    weight: float
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class CampaignRow:
    """A stored campaign."""

    id: int
    tenant_id: int
    name: str
    state: CampaignState
    why: str
    #: Who put it into its state; empty: nobody is named.
    author: str
    fingerprint: str
    transactional: bool
    file_rows: int
    recipients: int
    duplicates: int
    rejected: int
    created_at: datetime
    started_at: datetime | None
    deadline_at: datetime | None
    completed_at: datetime | None

    @property
    def span(self) -> tuple[UUID, UUID] | None:
        """The range of its messages' ids; ``None`` for an empty campaign."""
        if not self.recipients:
            return None
        ids = MessageIds(created_at=self.created_at, campaign_id=self.id)
        return ids.span(1, self.recipients)


@dataclass(frozen=True, kw_only=True)
class CampaignSummary:
    """A campaign in a list: what it is, and where it stands."""

    id: int
    name: str
    #: The From number or Messaging Service SID.
    sender: str
    state: CampaignState
    why: str
    #: Who paused, resumed or canceled it; empty: nobody is named, or none of these.
    author: str
    recipients: int
    created_at: datetime
    #: When it is to start, for one that waits for its time.
    start_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Obstacles:
    """Why a campaign does not move, beside its own state."""

    #: On it, its sender, its tenant or everything.
    holds: tuple[holds.Hold, ...]
    sender: str
    #: The sender is not used before: its pace, its cap or the provider's trouble; ``None``: now.
    rests_until: datetime | None
    rest_reason: str


@dataclass(frozen=True, kw_only=True)
class NewMessage:
    """A recipient's row, ready to be loaded."""

    id: UUID
    recipient: int
    #: The audience line (or ordinal) it came from.
    line: int
    fields: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """An audience row that became no message."""

    line: int
    value: str
    #: ``duplicate`` or why it was rejected.
    reason: str
    #: For a duplicate: the line that came first.
    first_line: int | None


_COLUMNS = """id, tenant_id, name, state, why, author, fingerprint, transactional, file_rows,
    recipients, duplicates, rejected, created_at, started_at, deadline_at, completed_at"""

_INSERT = text("""
    INSERT INTO campaign (tenant_id, sender_id, name, body, idempotency_key, fingerprint,
                          validity, time_limit, transactional, weight, created_at)
    VALUES (:tenant_id, :sender_id, :name, :body, :idempotency_key, :fingerprint,
            :validity, :time_limit, :transactional, :weight, :created_at)
    ON CONFLICT (tenant_id, idempotency_key) DO NOTHING
    RETURNING id
""")
_BY_ID = text(f"SELECT {_COLUMNS} FROM campaign WHERE id = :id")  # noqa: S608  # constant columns
_BY_KEY = text(f"""
    SELECT {_COLUMNS} FROM campaign
    WHERE tenant_id = :tenant_id AND idempotency_key = :key
""")  # noqa: S608  # constant columns
_BY_ID_LOCKED = text(f"SELECT {_COLUMNS} FROM campaign WHERE id = :id FOR UPDATE")  # noqa: S608
_COUNT = text("""
    UPDATE campaign SET file_rows = :file_rows, recipients = :recipients,
                        duplicates = :duplicates, rejected = :rejected
    WHERE id = :id
""")


def insert(tx: Transaction, campaign: NewCampaign) -> int | None:
    """Store a campaign as DRAFT; ``None`` when its idempotency key is taken."""
    stored = tx.execute(_INSERT, vars(campaign)).scalar_one_or_none()
    return None if stored is None else int(stored)


def get(tx: Transaction, campaign_id: int, *, lock: bool = False) -> CampaignRow | None:
    """A campaign by id, locked against other changes if asked."""
    found = tx.execute(_BY_ID_LOCKED if lock else _BY_ID, {"id": campaign_id})
    return _row(found.mappings().one_or_none())


def by_key(tx: Transaction, *, tenant_id: int, key: str) -> CampaignRow | None:
    """A campaign by its idempotency key."""
    found = tx.execute(_BY_KEY, {"tenant_id": tenant_id, "key": key})
    return _row(found.mappings().one_or_none())


def _row(row: Mapping[Any, Any] | None) -> CampaignRow | None:
    return None if row is None else CampaignRow(**{**row, "state": CampaignState(row["state"])})


_NEWEST = text("""
    SELECT c.id, c.name, s.address AS sender, c.state, c.why, c.author, c.recipients,
           c.created_at, c.start_at, c.started_at, c.completed_at
    FROM campaign c JOIN sender s ON s.id = c.sender_id
    WHERE c.tenant_id = :tenant_id ORDER BY c.id DESC LIMIT :limit
""")


def newest(tx: Transaction, *, tenant_id: int, limit: int) -> list[CampaignSummary]:
    """A tenant's campaigns, the newest first."""
    rows = tx.execute(_NEWEST, {"tenant_id": tenant_id, "limit": limit}).mappings()
    return [CampaignSummary(**{**row, "state": CampaignState(row["state"])}) for row in rows]


_REST = text("""
    SELECT s.address AS sender,
           CASE WHEN s.rests_until > now() THEN s.rests_until END AS rests_until,
           CASE WHEN s.rests_until > now() THEN s.rest_reason ELSE '' END AS rest_reason
    FROM campaign c JOIN sender s ON s.id = c.sender_id WHERE c.id = :id
""")


def obstacles(tx: Transaction, campaign_id: int) -> Obstacles:
    """What keeps a campaign from sending now: holds on it, and its sender's rest."""
    held = tuple(holds.on_campaign(tx, campaign_id))
    return Obstacles(holds=held, **tx.execute(_REST, {"id": campaign_id}).mappings().one())


def set_counts(
    tx: Transaction,
    campaign_id: int,
    *,
    recipients: int,
    duplicates: int,
    rejected: int,
) -> None:
    """Record what became of the audience's rows."""
    values = {
        "id": campaign_id,
        "file_rows": recipients + duplicates + rejected,
        "recipients": recipients,
        "duplicates": duplicates,
        "rejected": rejected,
    }
    tx.execute(_COUNT, values)


def load(tx: Transaction, campaign_id: int, rows: Iterable[NewMessage | LeftOut]) -> None:
    """COPY a campaign's rows; messages and left-out rows as they come.

    Left-out rows are kept until the end, because a connection copies into one table at a time.
    """
    left_out: list[LeftOut] = []
    cursor = _driver(tx).cursor()
    copy = "COPY message (id, campaign_id, recipient, line, fields) FROM STDIN"
    with cursor.copy(copy) as messages:
        for row in rows:
            if isinstance(row, LeftOut):
                left_out.append(row)
                continue
            fields = Jsonb({k: storable(v) for k, v in row.fields.items()}) if row.fields else None
            messages.write_row((row.id, campaign_id, row.recipient, row.line, fields))
    copy = "COPY left_out (campaign_id, line, value, reason, first_line) FROM STDIN"
    with cursor.copy(copy) as rejects:
        for out in left_out:
            value = storable(out.value)
            rejects.write_row((campaign_id, out.line, value, out.reason, out.first_line))


def _driver(tx: Transaction) -> psycopg.Connection[Any]:
    """Psycopg's own connection: SQLAlchemy has no COPY."""
    driver = tx.connection.driver_connection
    if not isinstance(driver, psycopg.Connection):
        raise TypeError("loading needs a synchronous psycopg connection")
    return driver


_LEFT_OUT = text("""
    SELECT line, value, reason, first_line FROM left_out WHERE campaign_id = :id ORDER BY line
""")


def left_out(tx: Transaction, campaign_id: int) -> list[LeftOut]:
    """The audience rows that became no message, by line."""
    return [LeftOut(**row) for row in tx.execute(_LEFT_OUT, {"id": campaign_id}).mappings()]


_MOVE = text("""
    UPDATE campaign
    SET state = :state, why = :why, author = :author,
        start_at = coalesce(:start_at, start_at),
        started_at = CASE WHEN :state = 'RUNNING' THEN coalesce(started_at, now())
                          ELSE started_at END,
        deadline_at = CASE WHEN :state = 'RUNNING' THEN coalesce(deadline_at, now() + time_limit)
                           ELSE deadline_at END,
        completed_at = CASE WHEN :state = 'CANCELED' THEN now() ELSE completed_at END
    WHERE id = :id
""")


def move(
    tx: Transaction,
    campaign_id: int,
    state: CampaignState,
    *,
    why: str = "",
    author: str = "",
    start_at: datetime | None = None,
) -> None:
    """Put a (locked) campaign into a state; why, and who did it."""
    values = {"id": campaign_id, "state": state.value, "why": why, "author": author}
    tx.execute(_MOVE, {**values, "start_at": start_at})


_MAY_SEND = text(f"""
    SELECT c.state = 'RUNNING' AND c.deadline_at > now() AND NOT {holds.HELD}
    FROM campaign c WHERE c.id = :id
""")  # noqa: S608  # built from a constant


def may_send(tx: Transaction, campaign_id: int) -> bool:
    """Whether the campaign as a whole may send now: running, in time, not held."""
    return bool(tx.execute(_MAY_SEND, {"id": campaign_id}).scalar_one())


_COUNTS = text("""
    SELECT state, reason, count(*) AS rows FROM message
    WHERE id BETWEEN :first AND :last AND campaign_id = :id GROUP BY state, reason
    UNION ALL
    SELECT state, reason, CAST(sum(messages) AS bigint) FROM kept_count
    WHERE campaign_id = :id GROUP BY state, reason
""")


def progress(tx: Transaction, campaign: CampaignRow) -> Progress:
    """The campaign's figures of this moment, counted, not kept."""
    reasons = _reasons(tx, campaign)
    states: dict[str, int] = {}
    for (state, _), rows in reasons.items():
        states[state] = states.get(state, 0) + rows
    return Progress(
        campaign_id=campaign.id,
        state=campaign.state,
        why=campaign.why,
        author=campaign.author,
        file_rows=campaign.file_rows,
        recipients=campaign.recipients,
        duplicates=campaign.duplicates,
        rejected=campaign.rejected,
        states=states,
        reasons=reasons,
        holds=tuple(hold.reason for hold in holds.on_campaign(tx, campaign.id)),
        rests=senders.resting(tx, campaign.id),
        scrub=scrubs.of_campaign(tx, campaign.id),
        started_at=campaign.started_at,
        completed_at=campaign.completed_at,
    )


_IS_DELETED = text("SELECT EXISTS (SELECT FROM kept_count WHERE campaign_id = :id)")


def is_deleted(tx: Transaction, campaign_id: int) -> bool:
    """Whether only counts are left of its messages."""
    return bool(tx.execute(_IS_DELETED, {"id": campaign_id}).scalar_one())


def _reasons(tx: Transaction, campaign: CampaignRow) -> dict[tuple[str, str], int]:
    if campaign.span is None:
        return {}
    first, last = campaign.span
    found = tx.execute(_COUNTS, {"id": campaign.id, "first": first, "last": last})
    return {(row.state, row.reason): row.rows for row in found}


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of one recipient."""

    message_id: UUID
    #: E.164 digits without the plus.
    recipient: int
    #: The audience line (or ordinal) it came from.
    line: int
    state: str
    #: Why it is in that state.
    reason: str
    sid: str | None
    #: The provider's own words, beside ours.
    provider_status: str | None
    provider_code: int | None
    changed_at: datetime


_RESULTS = text("""
    SELECT id AS message_id, recipient, line, state, reason, sid, provider_status,
           provider_code, changed_at
    FROM message
    WHERE id > :after AND id <= :last AND campaign_id = :id
      AND (CAST(:state AS text) IS NULL OR state = :state)
    ORDER BY id LIMIT :limit
""")


def results(
    tx: Transaction, campaign: CampaignRow, *, after: UUID | None, state: str | None, limit: int
) -> Iterator[Result]:
    """A page of results in audience order, after the message ``after``."""
    if campaign.span is None:
        return
    first, last = campaign.span
    values = {
        "id": campaign.id,
        "after": after or UUID(int=first.int - 1),
        "last": last,
        "state": state,
        "limit": limit,
    }
    for row in tx.execute(_RESULTS, values).mappings():
        yield Result(**row)
