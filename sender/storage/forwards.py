"""Texts to be posted to their tenants: where to, the outbox, and how far it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import text

from sender.storage.database import Transaction


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a tenant's texts are posted."""

    url: str
    #: What signs them, encrypted.
    secret: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Forward:
    """A text to post now."""

    #: Its MessageSid.
    sid: str
    tenant_id: int
    #: The tenant's name.
    tenant: str
    target: Target
    #: E.164 digits; ``None`` where From was no number.
    recipient: int | None
    #: The sender that was texted; ``None`` where it is none of ours.
    sender: str | None
    #: How it was read: ``NONE``, ``REVIEW`` or ``FREE_TEXT``.
    keyword: str
    body: str
    received_at: datetime
    #: Whether its words are gone, by retention or on request.
    erased: bool
    tries: int
    is_last_try: bool


@dataclass(frozen=True, kw_only=True)
class Forwarded:
    """How far a tenant's outbox is."""

    url: str
    waiting: int
    #: When the oldest of those came.
    oldest: datetime | None
    delivered: int
    given_up: int
    #: Failures since the address last took one, until when it is left alone, and the last reason.
    failures: int
    rests_until: datetime | None
    error: str


_REQUEST = text("""
    INSERT INTO forward (sid, tenant_id)
    SELECT i.sid, i.tenant_id FROM inbound i JOIN forward_target t ON t.tenant_id = i.tenant_id
    WHERE i.sid = :sid ON CONFLICT DO NOTHING
""")
_TARGET = text("SELECT url, secret FROM forward_target WHERE tenant_id = :tenant_id")
_SET_TARGET = text("""
    INSERT INTO forward_target (tenant_id, url, secret) VALUES (:tenant_id, :url, :secret)
    ON CONFLICT (tenant_id) DO UPDATE
    SET url = excluded.url, secret = excluded.secret, failures = 0, rests_until = NULL,
        changed_at = clock_timestamp()
""")
_DROP_TARGET = text("DELETE FROM forward_target WHERE tenant_id = :tenant_id")
_DROP_WAITING = text("""
    DELETE FROM forward WHERE tenant_id = :tenant_id AND next_try IS NOT NULL
""")
_PROGRESS = text("""
    SELECT t.url, t.failures, t.rests_until,
           (SELECT count(*) FROM forward f
            WHERE f.tenant_id = t.tenant_id AND f.next_try IS NOT NULL) AS waiting,
           (SELECT min(created_at) FROM forward f
            WHERE f.tenant_id = t.tenant_id AND f.next_try IS NOT NULL) AS oldest,
           (SELECT count(*) FROM forward f
            WHERE f.tenant_id = t.tenant_id AND f.delivered_at IS NOT NULL) AS delivered,
           (SELECT count(*) FROM forward f
            WHERE f.tenant_id = t.tenant_id AND f.next_try IS NULL
              AND f.delivered_at IS NULL) AS given_up,
           coalesce((SELECT f.error FROM forward f
                     WHERE f.tenant_id = t.tenant_id AND f.error <> ''
                     ORDER BY f.created_at DESC LIMIT 1), '') AS error
    FROM forward_target t WHERE t.tenant_id = :tenant_id
""")
#: Put off before they are posted, each time for twice as long, the last time for good: who fails on
#: one keeps nobody from the others. A few of each tenant's, and of none whose address rests; whose
#: are due longest come first.
_CLAIM = text("""
    WITH due AS (
        SELECT one.sid
        FROM forward_target t CROSS JOIN LATERAL (
            SELECT f.sid, f.next_try FROM forward f
            WHERE f.tenant_id = t.tenant_id AND f.next_try <= now()
            ORDER BY f.next_try LIMIT :each FOR UPDATE SKIP LOCKED
        ) AS one
        WHERE (t.rests_until IS NULL OR t.rests_until <= now())
          AND NOT t.tenant_id = ANY (CAST(:besides AS integer[]))
        ORDER BY one.next_try LIMIT :limit
    ),
    claimed AS (
        UPDATE forward f
        SET tries = f.tries + 1,
            next_try = CASE WHEN f.created_at > now() - CAST(:patience AS interval)
                THEN now() + least(interval '1 hour', interval '10 s' * 2 ^ least(f.tries, 9)) END
        FROM due WHERE f.sid = due.sid
        RETURNING f.sid, f.tenant_id, f.tries, f.next_try
    )
    SELECT i.sid, i.tenant_id, n.name AS tenant, t.url, t.secret, i.recipient, s.address AS sender,
           i.keyword, i.body, i.received_at, i.erased_at IS NOT NULL AS erased, c.tries,
           c.next_try IS NULL AS is_last_try
    FROM claimed c JOIN inbound i ON i.sid = c.sid JOIN tenant n ON n.id = c.tenant_id
    JOIN forward_target t ON t.tenant_id = c.tenant_id LEFT JOIN sender s ON s.id = i.sender_id
    ORDER BY i.received_at
""")
_DELIVERED = text("""
    WITH done AS (
        UPDATE forward SET delivered_at = clock_timestamp(), next_try = NULL, error = ''
        WHERE sid = ANY (CAST(:sids AS text[])) RETURNING tenant_id
    )
    UPDATE forward_target t SET failures = 0, rests_until = NULL
    FROM done WHERE t.tenant_id = done.tenant_id AND t.failures > 0
""")
#: An address that takes nothing is left alone for longer and longer; the texts wait.
_FAILED = text("""
    WITH failed AS (
        UPDATE forward f SET error = told.error
        FROM unnest(CAST(:sids AS text[]), CAST(:errors AS text[])) AS told (sid, error)
        WHERE f.sid = told.sid AND f.delivered_at IS NULL
        RETURNING f.tenant_id
    )
    UPDATE forward_target t
    SET failures = t.failures + 1,
        rests_until = now() + least(interval '5 minutes', interval '1 s' * 2 ^ least(t.failures, 9))
    FROM failed WHERE t.tenant_id = failed.tenant_id
""")
_LEAVE_OUT = text("""
    UPDATE forward SET next_try = NULL, error = :why WHERE sid = ANY (CAST(:sids AS text[]))
""")


def request(tx: Transaction, sid: str) -> None:
    """Have a kept text posted, if its tenant wants that."""
    tx.execute(_REQUEST, {"sid": sid})


def target(tx: Transaction, tenant_id: int) -> Target | None:
    """Where a tenant's texts are posted; ``None`` for nowhere."""
    row = tx.execute(_TARGET, {"tenant_id": tenant_id}).one_or_none()
    return None if row is None else Target(url=row.url, secret=bytes(row.secret))


def set_target(tx: Transaction, tenant_id: int, *, url: str, secret: bytes) -> None:
    """Post a tenant's texts there, from the next one that comes or waits."""
    tx.execute(_SET_TARGET, {"tenant_id": tenant_id, "url": url, "secret": secret})


def drop_target(tx: Transaction, tenant_id: int) -> int:
    """Post none of a tenant's texts any more; how many had waited."""
    tx.execute(_DROP_TARGET, {"tenant_id": tenant_id})
    return tx.execute(_DROP_WAITING, {"tenant_id": tenant_id}).rowcount


def progress(tx: Transaction, tenant_id: int) -> Forwarded | None:
    """How far a tenant's outbox is; ``None`` if it has none."""
    row = tx.execute(_PROGRESS, {"tenant_id": tenant_id}).mappings().one_or_none()
    return None if row is None else Forwarded(**row)


def claim(
    tx: Transaction, *, each: int, limit: int, patience: timedelta, besides: Sequence[int]
) -> list[Forward]:
    """Texts to post now, put off for everybody else; after ``patience`` for good.

    ``besides``: none of these tenants'.
    """
    values = {"each": each, "limit": limit, "patience": patience, "besides": list(besides)}
    return [_forward(dict(row)) for row in tx.execute(_CLAIM, values).mappings()]


def _forward(row: dict[str, object]) -> Forward:
    target = Target(url=str(row.pop("url")), secret=bytes(row.pop("secret")))  # type: ignore[call-overload]
    return Forward(**row, target=target)  # type: ignore[arg-type]


def delivered(tx: Transaction, sids: Sequence[str]) -> None:
    """They were taken."""
    tx.execute(_DELIVERED, {"sids": list(sids)})


def failed(tx: Transaction, errors: Mapping[str, str]) -> None:
    """Keep why they were not taken, and leave their address alone for a while."""
    tx.execute(_FAILED, {"sids": list(errors), "errors": list(errors.values())})


def leave_out(tx: Transaction, sids: Sequence[str], why: str) -> None:
    """Never post them."""
    tx.execute(_LEAVE_OUT, {"sids": list(sids), "why": why})
