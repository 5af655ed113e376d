"""What became of a campaign, counted for its report."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from sender.domain.incident import Cause
from sender.domain.scrub import Scrub
from sender.storage import alerts, scrubs
from sender.storage.alerts import Alert
from sender.storage.campaigns import CampaignRow
from sender.storage.database import Transaction


@dataclass(frozen=True, kw_only=True)
class OutcomeCount:
    """Messages that ended alike."""

    state: str
    #: Why they are in that state.
    reason: str
    #: The provider's code, where it gave one.
    code: int | None
    messages: int


@dataclass(frozen=True, kw_only=True)
class CampaignReport:
    """What became of a campaign: figures of one moment, counted and not kept."""

    campaign_id: int
    name: str
    #: The From number or Messaging Service SID.
    sender: str
    state: str
    why: str
    #: Audience rows = recipients + duplicates + rejected.
    recipients: int
    duplicates: int
    rejected: int
    started_at: datetime | None
    completed_at: datetime | None
    outcomes: tuple[OutcomeCount, ...]
    #: Requests with an outcome, those that Twilio took among them, and those that were delivered.
    answers: int
    accepted: int
    delivered: int
    #: 21610s by cause.
    causes: Mapping[Cause, int]
    alerts: tuple[Alert, ...]
    #: What Twilio was asked before it; ``None``: it was not enqueued yet.
    scrub: Scrub | None

    @property
    def blocks(self) -> int:
        """How many requests met a 21610."""
        return sum(self.causes.values())

    @property
    def block_rate(self) -> float:
        """The share of 21610s among its answers."""
        return self.blocks / self.answers if self.answers else 0.0

    @property
    def delivery_rate(self) -> float:
        """The share that was delivered of what Twilio took. Some carriers never tell."""
        return self.delivered / self.accepted if self.accepted else 0.0


_OUTCOMES = text("""
    SELECT state, reason, provider_code AS code, count(*) AS messages,
           count(*) FILTER (WHERE guarded_at IS NOT NULL AND state NOT IN ('pending', 'sending'))
           AS answers,
           count(*) FILTER (WHERE sid IS NOT NULL) AS accepted
    FROM message WHERE id BETWEEN :first AND :last AND campaign_id = :id
    GROUP BY state, reason, provider_code
    UNION ALL
    SELECT state, reason, code, messages, answers, accepted FROM kept_count WHERE campaign_id = :id
    ORDER BY messages DESC, state, reason, code
""")
_CAUSES = text("""
    SELECT cause, count(*) AS incidents FROM incident WHERE campaign_id = :id
    GROUP BY cause ORDER BY incidents DESC, cause
""")
_SENDER = text(
    "SELECT s.address FROM campaign c JOIN sender s ON s.id = c.sender_id WHERE c.id = :id"
)


def report(tx: Transaction, campaign: CampaignRow) -> CampaignReport:
    """Count; reads all of the campaign's rows once."""
    about = {"id": campaign.id}
    span = campaign.span
    rows = []
    if span is not None:
        rows = list(tx.execute(_OUTCOMES, {**about, "first": span[0], "last": span[1]}))
    return CampaignReport(
        campaign_id=campaign.id,
        name=campaign.name,
        sender=tx.execute(_SENDER, about).scalar_one(),
        state=campaign.state.value,
        why=campaign.why,
        recipients=campaign.recipients,
        duplicates=campaign.duplicates,
        rejected=campaign.rejected,
        started_at=campaign.started_at,
        completed_at=campaign.completed_at,
        outcomes=tuple(
            OutcomeCount(state=r.state, reason=r.reason, code=r.code, messages=r.messages)
            for r in rows
        ),
        answers=sum(row.answers for row in rows),
        accepted=sum(row.accepted for row in rows),
        delivered=sum(row.messages for row in rows if row.state == "delivered"),
        causes={Cause(row.cause): row.incidents for row in tx.execute(_CAUSES, about)},
        alerts=tuple(alerts.of_campaign(tx, campaign.id)),
        scrub=scrubs.of_campaign(tx, campaign.id),
    )
