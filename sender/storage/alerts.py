"""What operators are to be told of by a signed webhook, and how far that has come."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.expression import bindparam

from sender.storage.database import Transaction


class AlertKind(StrEnum):
    """What is told."""

    #: More of a campaign's requests met a 21610 than may be.
    BLOCK_RATE = "block_rate"
    #: So many of the latest ones did that the campaign is held.
    BLOCK_JUMP = "block_jump"
    #: A 21610 of somebody whom our own list had: stop sending, and report it.
    LIST_LOST_DATA = "list_lost_data"
    #: STOPs may be missing: a tenant with campaigns that run waits for the end of a gap.
    INTAKE_GAP = "intake_gap"
    #: A campaign is held because Twilio could not be asked for opt-outs before it.
    SCRUB_FAILED = "scrub_failed"
    #: Nothing at the webhooks is signed as it should be: a wrong token, or forged requests.
    WEBHOOKS_REFUSED = "webhooks_refused"


@dataclass(frozen=True, kw_only=True)
class Alert:
    """An alert, and whether it was delivered."""

    id: int
    #: The tenant's name.
    tenant: str
    campaign_id: int | None
    #: The campaign's name.
    campaign: str | None
    kind: AlertKind
    detail: Mapping[str, Any]
    created_at: datetime
    tries: int
    #: ``None``: not delivered yet, or given up, or nobody is to be told.
    delivered_at: datetime | None
    #: Why the last try failed.
    error: str


_RAISE = text("""
    INSERT INTO alert (tenant_id, campaign_id, kind, detail)
    SELECT :tenant_id, :campaign_id, :kind, :detail
    WHERE NOT :once OR NOT EXISTS (
        SELECT FROM alert WHERE campaign_id = :campaign_id AND kind = :kind)
""").bindparams(bindparam("detail", type_=JSONB))
_RAISE_FOR_TENANTS = text("""
    INSERT INTO alert (tenant_id, kind, detail)
    SELECT t.id, :kind, :detail FROM tenant t
    WHERE EXISTS (
        SELECT FROM campaign c JOIN sender s ON s.id = c.sender_id
        WHERE s.tenant_id = t.id AND c.state = 'RUNNING'
          AND s.id = ANY (CAST(:sender_ids AS integer[])))
    ORDER BY t.id
""").bindparams(bindparam("detail", type_=JSONB))
_RAISE_FOR_TENANT = text("""
    INSERT INTO alert (tenant_id, kind, detail)
    SELECT :tenant_id, :kind, :detail
    WHERE NOT EXISTS (
        SELECT FROM alert
        WHERE campaign_id IS NULL AND tenant_id = :tenant_id AND kind = :kind
          AND created_at > now() - CAST(:every AS interval))
""").bindparams(bindparam("detail", type_=JSONB))
_COLUMNS = """a.id, t.name AS tenant, a.campaign_id, c.name AS campaign, a.kind, a.detail,
    a.created_at, a.tries, a.delivered_at, a.error"""
_OF_CAMPAIGN = text(f"""
    SELECT {_COLUMNS} FROM alert a JOIN tenant t ON t.id = a.tenant_id
    LEFT JOIN campaign c ON c.id = a.campaign_id
    WHERE a.campaign_id = :campaign_id ORDER BY a.id
""")  # noqa: S608  # constant columns
#: Claimed before they are posted, each time for twice as long: who fails on one, or is slow, keeps
#: nobody from the others. What is older than its last try could be was kept while nobody was to be
#: told: it is retired unsaid.
_CLAIM = text(f"""
    WITH due AS (
        SELECT id FROM alert WHERE next_try <= now() ORDER BY next_try LIMIT :limit
        FOR UPDATE SKIP LOCKED
    ),
    claimed AS (
        UPDATE alert a
        SET tries = tries + 1,
            next_try = CASE WHEN a.created_at > now() - CAST(:patience AS interval)
                THEN now() + least(interval '1 hour', interval '10 s' * 2 ^ least(a.tries, 9)) END
        FROM due WHERE a.id = due.id
        RETURNING a.*
    )
    SELECT {_COLUMNS} FROM claimed a JOIN tenant t ON t.id = a.tenant_id
    LEFT JOIN campaign c ON c.id = a.campaign_id
    WHERE a.created_at > now() - CAST(:patience AS interval) - interval '1 hour' ORDER BY a.id
""")  # noqa: S608  # constant columns
_DELIVERED = text("""
    UPDATE alert SET delivered_at = clock_timestamp(), next_try = NULL, error = '' WHERE id = :id
""")
_FAILED = text("UPDATE alert SET error = :error WHERE id = :id AND delivered_at IS NULL")


def raise_alert(  # a row's own fields
    tx: Transaction,
    kind: AlertKind,
    *,
    tenant_id: int,
    campaign_id: int,
    detail: Mapping[str, Any],
    once: bool = False,
) -> bool:
    """Store an alert about a campaign; whether it is new. ``once``: one of its kind is enough."""
    values = {"tenant_id": tenant_id, "campaign_id": campaign_id, "kind": kind.value, "once": once}
    return bool(tx.execute(_RAISE, {**values, "detail": dict(detail)}).rowcount)


def raise_for_tenants(
    tx: Transaction, kind: AlertKind, sender_ids: Sequence[int], *, detail: Mapping[str, Any]
) -> None:
    """Store one for each tenant of whom a campaign from one of these senders runs."""
    values = {"kind": kind.value, "sender_ids": list(sender_ids), "detail": dict(detail)}
    tx.execute(_RAISE_FOR_TENANTS, values)


def raise_for_tenant(
    tx: Transaction,
    kind: AlertKind,
    tenant_id: int,
    *,
    detail: Mapping[str, Any],
    every: timedelta,
) -> bool:
    """Store one about a tenant, unless there was one so lately; whether it is new."""
    values = {"tenant_id": tenant_id, "kind": kind.value, "detail": dict(detail), "every": every}
    return bool(tx.execute(_RAISE_FOR_TENANT, values).rowcount)


def of_campaign(tx: Transaction, campaign_id: int) -> list[Alert]:
    """A campaign's alerts, oldest first."""
    rows = tx.execute(_OF_CAMPAIGN, {"campaign_id": campaign_id}).mappings()
    return [Alert(**{**row, "kind": AlertKind(row["kind"])}) for row in rows]


def claim(tx: Transaction, *, limit: int, patience: timedelta) -> list[Alert]:
    """Alerts to deliver now, put off for everybody else; after ``patience`` for good."""
    rows = tx.execute(_CLAIM, {"limit": limit, "patience": patience}).mappings()
    return [Alert(**{**row, "kind": AlertKind(row["kind"])}) for row in rows]


def delivered(tx: Transaction, alert_id: int) -> None:
    """It is known where it should be."""
    tx.execute(_DELIVERED, {"id": alert_id})


def failed(tx: Transaction, alert_id: int, error: str) -> None:
    """Keep why it was not delivered."""
    tx.execute(_FAILED, {"id": alert_id, "error": error})
