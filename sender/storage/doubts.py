"""Messages whose outcome nobody knows yet: the resolver's work list, and a person's verdicts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text

from sender.domain.message import VERDICT_NOT_SENT, VERDICT_SENT, State
from sender.storage.database import Transaction


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """An ``in_doubt`` message and what to look for in the provider's log."""

    message_id: UUID
    tenant_id: int
    recipient: int
    sender: str
    sender_kind: str
    #: The campaign's template and the row's fields: together the body that was sent.
    body: str
    fields: dict[str, str]
    #: When its request can have begun at the earliest; ``None`` where a restore has lost it.
    guarded_at: datetime | None
    #: When its campaign was created: nothing of it was sent before.
    created_at: datetime


#: Rows that one statement gives up or forgets: after a restore there may be millions.
AT_A_TIME = 1000

_FORGET_RESOLVED = text("""
    WITH resolved AS (
        SELECT d.message_id FROM doubt d JOIN message m ON m.id = d.message_id
        WHERE m.state NOT IN ('in_doubt', 'unknown')
        LIMIT :limit FOR UPDATE OF d SKIP LOCKED
    )
    DELETE FROM doubt d USING resolved r WHERE d.message_id = r.message_id
""")
#: Claimed before they are looked into, each time for twice as long, at most an hour: whoever
#: fails on one, or is slow, keeps nobody from the others. What a restore put in doubt was asked for
#: in bulk and may be millions: it comes last.
_CLAIM = text("""
    WITH due AS (
        SELECT d.message_id FROM doubt d JOIN message m ON m.id = d.message_id
        WHERE d.next_check <= now() AND m.state = 'in_doubt'
        ORDER BY m.reason = 'restored', d.next_check LIMIT :limit FOR UPDATE OF d SKIP LOCKED
    ),
    claimed AS (
        UPDATE doubt d
        SET checks = checks + 1,
            next_check = now() + least(interval '1 hour',
                                       interval '5 seconds' * 2 ^ least(checks, 10))
        FROM due WHERE d.message_id = due.message_id
        RETURNING d.message_id
    )
    SELECT m.id AS message_id, c.tenant_id, m.recipient, s.address AS sender, s.kind AS sender_kind,
           c.body, coalesce(m.fields, '{}') AS fields, c.created_at,
           CASE WHEN m.reason <> 'restored' THEN m.guarded_at END AS guarded_at
    FROM claimed
    JOIN message m ON m.id = claimed.message_id
    JOIN campaign c ON c.id = m.campaign_id
    JOIN sender s ON s.id = c.sender_id
""")
_GIVE_UP = text("""
    WITH old AS (
        SELECT m.id FROM doubt d JOIN message m ON m.id = d.message_id
        WHERE d.since < now() - interval '48 hours' AND m.state = 'in_doubt'
        LIMIT :limit FOR UPDATE OF m SKIP LOCKED
    )
    UPDATE message m SET state = 'unknown', changed_at = clock_timestamp()
    FROM old WHERE m.id = old.id
""")
_SID_TAKEN = text("""
    SELECT EXISTS (SELECT FROM message WHERE recipient = :recipient AND sid = :sid
                   AND id <> :message_id)
""")


def claim(tx: Transaction, *, limit: int) -> list[Doubt]:
    """Doubts to look into now, put off for everybody else."""
    return [Doubt(**row) for row in tx.execute(_CLAIM, {"limit": limit}).mappings()]


def forget_resolved(tx: Transaction) -> int:
    """Take resolved ones off the list, ``AT_A_TIME`` at most; how many."""
    return tx.execute(_FORGET_RESOLVED, {"limit": AT_A_TIME}).rowcount


def give_up_old(tx: Transaction) -> int:
    """After 48 hours without evidence a doubt becomes ``unknown``; how many did.

    ``AT_A_TIME`` at most, and not those that somebody else works on just now.
    """
    return tx.execute(_GIVE_UP, {"limit": AT_A_TIME}).rowcount


def sid_belongs_elsewhere(tx: Transaction, doubt: Doubt, sid: str) -> bool:
    """Whether another message of ours to that person already has this SID."""
    values = {"recipient": doubt.recipient, "sid": sid, "message_id": doubt.message_id}
    return bool(tx.execute(_SID_TAKEN, values).scalar_one())


@dataclass(frozen=True, kw_only=True)
class OpenDoubt:
    """A message whose outcome nobody knows, and how far the search for it is."""

    message_id: UUID
    campaign_id: int
    campaign: str
    #: E.164 digits without the plus.
    recipient: int
    #: ``in_doubt``, or ``unknown`` after 48 hours.
    state: str
    #: Why it is in doubt.
    reason: str
    #: When it came to be, and how long ago that is.
    since: datetime
    age: timedelta
    #: How often it was looked for in the provider's log.
    checks: int
    #: ``None`` for an unknown one: it is not looked for any more.
    next_check: datetime | None
    looked_at: datetime | None
    #: What the last look found.
    found: str


@dataclass(frozen=True, kw_only=True)
class Told:
    """A status callback as it was recorded."""

    sid: str
    status: str
    code: int
    received_at: datetime


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a person found out about a doubt."""

    sent: bool
    author: str
    evidence: str
    given_at: datetime
    #: Why it was in doubt.
    reason: str


@dataclass(frozen=True, kw_only=True)
class DoubtCase:
    """Everything known about one message that is, or was, in doubt."""

    message_id: UUID
    campaign_id: int
    campaign: str
    #: What to look for at the provider: from whom, to whom (digits), which text, about when.
    sender: str
    recipient: int
    #: The campaign's template and the row's fields: together the body that was sent.
    body: str
    fields: dict[str, str]
    #: When the guard let it pass; a request began within 2 s of that, if ever.
    guarded_at: datetime | None
    worker: str | None
    line: int
    state: str
    reason: str
    changed_at: datetime
    sid: str | None
    provider_status: str | None
    provider_code: int | None
    #: The search; ``None`` where it never was in doubt, or is no more.
    since: datetime | None
    checks: int | None
    next_check: datetime | None
    looked_at: datetime | None
    found: str | None
    receipts: tuple[Told, ...] = ()
    decision: Decision | None = None


@dataclass(frozen=True, kw_only=True)
class Doubted:
    """A locked message, as far as a person's verdict depends on it."""

    message_id: UUID
    state: State
    #: Since when it is in that state.
    age: timedelta


_NOTE = text("""
    UPDATE doubt SET looked_at = clock_timestamp(), found = :found WHERE message_id = :message_id
""")
_OPEN = text("""
    SELECT d.message_id, c.id AS campaign_id, c.name AS campaign, m.recipient, m.state, m.reason,
           d.since, now() - d.since AS age, d.checks,
           CASE m.state WHEN 'in_doubt' THEN d.next_check END AS next_check, d.looked_at, d.found
    FROM doubt d JOIN message m ON m.id = d.message_id JOIN campaign c ON c.id = m.campaign_id
    WHERE m.state IN ('in_doubt', 'unknown') AND c.tenant_id = :tenant_id
      AND (CAST(:campaign_id AS bigint) IS NULL OR c.id = :campaign_id)
      AND d.since <= now() - CAST(:older_than AS interval)
    ORDER BY d.since, d.message_id
""")
_CASE = text("""
    SELECT m.id AS message_id, c.id AS campaign_id, c.name AS campaign, s.address AS sender,
           m.recipient, c.body, coalesce(m.fields, '{}') AS fields, m.guarded_at,
           w.name AS worker, m.line, m.state, m.reason, m.changed_at, m.sid, m.provider_status,
           m.provider_code, d.since, d.checks,
           CASE m.state WHEN 'in_doubt' THEN d.next_check END AS next_check, d.looked_at, d.found
    FROM message m JOIN campaign c ON c.id = m.campaign_id JOIN sender s ON s.id = c.sender_id
    LEFT JOIN worker w ON w.id = m.owner LEFT JOIN doubt d ON d.message_id = m.id
    WHERE m.id = :message_id AND c.tenant_id = :tenant_id
""")
_TOLD = text("""
    SELECT sid, status, code, received_at FROM receipt
    WHERE message_id = :message_id ORDER BY received_at
""")
_DECISION = text("""
    SELECT sent, author, evidence, given_at, reason FROM verdict WHERE message_id = :message_id
""")
_LOCK = text("""
    SELECT m.id AS message_id, m.state, clock_timestamp() - m.changed_at AS age
    FROM message m JOIN campaign c ON c.id = m.campaign_id
    WHERE m.id = ANY (CAST(:ids AS uuid[])) AND c.tenant_id = :tenant_id
    ORDER BY m.id FOR UPDATE OF m
""")
_DECIDE = text("""
    WITH doubted AS (
        INSERT INTO verdict (message_id, sent, author, evidence, reason, doubted_at)
        SELECT m.id, :sent, :author, :evidence, m.reason, m.changed_at FROM message m
        WHERE m.id = ANY (CAST(:ids AS uuid[])) AND m.state IN ('in_doubt', 'unknown')
        RETURNING message_id
    )
    UPDATE message m
    SET state = :state, reason = :reason, lease_until = NULL, changed_at = clock_timestamp()
    FROM doubted WHERE m.id = doubted.message_id
""")
_UNKNOWN = text("""
    SELECT m.campaign_id, count(*) AS messages
    FROM doubt d JOIN message m ON m.id = d.message_id
    WHERE m.state = 'unknown' GROUP BY m.campaign_id ORDER BY m.campaign_id
""")


def note(tx: Transaction, message_id: UUID, found: str) -> None:
    """Keep what the last look into a doubt found."""
    tx.execute(_NOTE, {"message_id": message_id, "found": found})


def every_open(
    tx: Transaction, *, tenant_id: int, campaign_id: int | None, older_than: timedelta
) -> list[OpenDoubt]:
    """A tenant's messages in doubt and unknown (or one campaign's), the oldest first."""
    values = {"tenant_id": tenant_id, "campaign_id": campaign_id, "older_than": older_than}
    return [OpenDoubt(**row) for row in tx.execute(_OPEN, values).mappings()]


def case(tx: Transaction, message_id: UUID, *, tenant_id: int) -> DoubtCase | None:
    """Everything known about a tenant's message; ``None`` if there is none."""
    values = {"message_id": message_id, "tenant_id": tenant_id}
    row = tx.execute(_CASE, values).mappings().one_or_none()
    if row is None:
        return None
    told = tuple(Told(**one) for one in tx.execute(_TOLD, values).mappings())
    verdict = tx.execute(_DECISION, values).mappings().one_or_none()
    decision = None if verdict is None else Decision(**verdict)
    return DoubtCase(**row, receipts=told, decision=decision)


def lock(tx: Transaction, ids: Sequence[UUID], *, tenant_id: int) -> list[Doubted]:
    """Those of a tenant's messages that exist, locked until the transaction ends."""
    rows = tx.execute(_LOCK, {"ids": list(ids), "tenant_id": tenant_id}).mappings()
    return [Doubted(**{**row, "state": State(row["state"])}) for row in rows]


def decide(tx: Transaction, ids: Sequence[UUID], *, sent: bool, author: str, evidence: str) -> int:
    """Record a person's verdict on (locked) doubts and settle them by it; how many."""
    state, reason = (State.SENT, VERDICT_SENT) if sent else (State.FAILED, VERDICT_NOT_SENT)
    values = {
        "ids": list(ids),
        "sent": sent,
        "author": author,
        "evidence": evidence,
        "state": state.value,
        "reason": reason,
    }
    return tx.execute(_DECIDE, values).rowcount


def unknown(tx: Transaction) -> dict[int, int]:
    """How many messages of each campaign are unknown."""
    return {row.campaign_id: row.messages for row in tx.execute(_UNKNOWN)}
