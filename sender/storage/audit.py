"""Everything an audit compares with the provider's log, read as it stands in the tables.

For a finished run of moderate size (tens of thousands of messages): all of it is held in memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from sender.domain.consent import ALL_SENDERS, ConsentEvent, ReasonClass, Suppression
from sender.domain.message import State
from sender.storage import campaigns, consent, id_range
from sender.storage.campaigns import CampaignRow, LeftOut
from sender.storage.database import Transaction
from sender.storage.id_range import WITHIN


@dataclass(frozen=True, kw_only=True)
class AuditedMessage:
    """A message as it stands."""

    id: UUID
    #: E.164 digits without the plus.
    recipient: int
    state: State
    reason: str
    sid: str | None
    provider_code: int | None
    guarded_at: datetime | None
    changed_at: datetime


@dataclass(frozen=True, kw_only=True)
class StoredText:
    """A text a person sent us, as we keep it."""

    sid: str
    recipient: int | None
    keyword: str


@dataclass(frozen=True, kw_only=True)
class OpenedIncident:
    """A 21610 as we recorded it."""

    message_id: UUID
    door: str
    cause: str
    #: STOP received minus request begun, in milliseconds, where that is the cause.
    raced_by_ms: float | None


@dataclass(frozen=True, kw_only=True)
class AuditedTables:
    """One campaign with all the consent of its tenant."""

    campaign: CampaignRow
    messages: tuple[AuditedMessage, ...]
    left_out: tuple[LeftOut, ...]
    texts: tuple[StoredText, ...]
    #: The whole consent log, oldest first, with the provider times known by now.
    events: tuple[ConsentEvent, ...]
    #: Enforcements asked for, by event id; ``None``: not enforced yet.
    enforced: Mapping[int, datetime | None]
    suppressions: tuple[Suppression, ...]
    incidents: tuple[OpenedIncident, ...]
    #: The suppression scopes that cover the campaign's sender.
    scopes: frozenset[int]


_MESSAGES = text("""
    SELECT id, recipient, state, reason, sid, provider_code, guarded_at, changed_at
    FROM message WHERE id BETWEEN :first AND :last AND campaign_id = :id ORDER BY id
""")
_TEXTS = text("SELECT sid, recipient, keyword FROM inbound WHERE tenant_id = :tenant_id")
_ENFORCED = text("SELECT event_id, enforced_at FROM enforcement WHERE tenant_id = :tenant_id")
_SUPPRESSIONS = text("""
    SELECT recipient, tenant_id, scope, reason, event_id, since FROM suppression
    WHERE tenant_id = :tenant_id
""")
_INCIDENTS = text("""
    SELECT message_id, door, cause,
           CAST(detail ->> 'raced_by_ms' AS double precision) AS raced_by_ms
    FROM incident WHERE tenant_id = :tenant_id ORDER BY id
""")
_SCOPES = text("""
    SELECT ss.scope FROM sender_scope ss JOIN campaign c ON c.sender_id = ss.sender_id
    WHERE c.id = :id
""")


def read(tx: Transaction, campaign_id: int) -> AuditedTables:
    """Read all tables that tell what became of a campaign.

    Raises:
        LookupError: there is no such campaign.
    """
    campaign = campaigns.get(tx, campaign_id)
    if campaign is None:
        raise LookupError(f"there is no campaign {campaign_id}")
    tenant = {"tenant_id": campaign.tenant_id}
    enforced = tx.execute(_ENFORCED, tenant)
    return AuditedTables(
        campaign=campaign,
        messages=_messages(tx, campaign),
        left_out=tuple(campaigns.left_out(tx, campaign_id)),
        texts=tuple(StoredText(**row) for row in tx.execute(_TEXTS, tenant).mappings()),
        events=tuple(consent.whole_log(tx, tenant_id=campaign.tenant_id)),
        enforced={row.event_id: row.enforced_at for row in enforced},
        suppressions=_suppressions(tx, campaign.tenant_id),
        incidents=tuple(OpenedIncident(**row) for row in tx.execute(_INCIDENTS, tenant).mappings()),
        scopes=frozenset(row.scope for row in tx.execute(_SCOPES, {"id": campaign_id}))
        | {ALL_SENDERS},
    )


def _messages(tx: Transaction, campaign: CampaignRow) -> tuple[AuditedMessage, ...]:
    if campaign.span is None:
        return ()
    first, last = campaign.span
    rows = tx.execute(_MESSAGES, {"id": campaign.id, "first": first, "last": last}).mappings()
    return tuple(AuditedMessage(**{**row, "state": State(row["state"])}) for row in rows)


def _suppressions(tx: Transaction, tenant_id: int) -> tuple[Suppression, ...]:
    rows = tx.execute(_SUPPRESSIONS, {"tenant_id": tenant_id}).mappings()
    return tuple(Suppression(**{**row, "reason": ReasonClass(row["reason"])}) for row in rows)


@dataclass(frozen=True, kw_only=True)
class OptOutFigures:
    """How the opt-outs stand at this moment."""

    #: STOPs that people texted.
    stops: int
    #: Of those, enforced.
    enforced: int
    #: 21610s so far.
    incidents: int


_FIGURES = text("""
    SELECT (SELECT count(*) FROM inbound WHERE keyword = 'STOP') AS stops,
           (SELECT count(*) FROM enforcement n JOIN consent_event e ON e.id = n.event_id
            WHERE e.source = 'inbound' AND n.enforced_at IS NOT NULL) AS enforced,
           (SELECT count(*) FROM incident) AS incidents
""")


def opt_out_figures(tx: Transaction) -> OptOutFigures:
    """Count the opt-outs, for people who watch."""
    return OptOutFigures(**tx.execute(_FIGURES).mappings().one())


@dataclass(frozen=True, kw_only=True)
class Unfinished:
    """What the processes still have to do when a campaign is over; figures of one moment."""

    #: Opt-outs stored and not enforced.
    unenforced: int
    #: STOPs and STARTs whose provider time is not known.
    undated: int
    #: Messages in doubt that Twilio was not asked about yet.
    unasked_doubts: int

    @property
    def is_nothing(self) -> bool:
        """Whether all of it is done."""
        return not (self.unenforced or self.undated or self.unasked_doubts)


_UNFINISHED = text("""
    SELECT (SELECT count(*) FROM enforcement WHERE enforced_at IS NULL) AS unenforced,
           (SELECT count(*) FROM inbound
            WHERE provider_at IS NULL
              AND keyword IN ('STOP', 'START', 'FREE_TEXT', 'REVIEW')) AS undated,
           (SELECT count(*) FROM doubt d JOIN message m ON m.id = d.message_id
            WHERE m.state = 'in_doubt' AND d.checks = 0) AS unasked_doubts
""")


def unfinished(tx: Transaction) -> Unfinished:
    """Count what is still to be done."""
    return Unfinished(**tx.execute(_UNFINISHED).mappings().one())


_NEWEST_CONSENT = text("""
    SELECT coalesce(max(CAST(CAST(written_by AS text) AS bigint)), 0) FROM consent_event
""")


def newest_consent(tx: Transaction) -> int:
    """The latest transaction that wrote to the consent log; 0 for an empty log."""
    return int(tx.execute(_NEWEST_CONSENT).scalar_one())


_SENDING = text(f"""
    SELECT m.recipient FROM message m
    WHERE {WITHIN} AND m.state = 'sending' ORDER BY m.id LIMIT :limit
""")  # noqa: S608  # built from a constant


def in_hand(tx: Transaction, *, limit: int) -> list[int]:
    """Some recipients whose request may be under way."""
    among = id_range.of_open(tx)
    return [row.recipient for row in tx.execute(_SENDING, {"limit": limit, **among})]
