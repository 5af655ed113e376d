"""Why this 21610, why sent, why not sent: what is stored, put in order for people."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sender.domain.consent import Suppression
from sender.domain.incident import Cause
from sender.domain.story import CauseRecord, IncidentStory, MessageStory
from sender.domain.timeline import Entry, timeline
from sender.errors import NotFound
from sender.recipients import recipient_of
from sender.storage import campaigns, consent, reports, retention, stories
from sender.storage.database import Database
from sender.storage.reports import CampaignReport
from sender.storage.stories import Incident

#: Incidents shown unless asked for another number.
SHOWN = 1000


@dataclass(frozen=True, kw_only=True)
class RecipientTrace:
    """Everything about one recipient, across campaigns."""

    #: E.164 digits without the plus.
    recipient: int
    #: What suppresses them now; empty: they may be texted.
    suppressed_by: Sequence[Suppression]
    #: Every message to them, each with a sentence that says ``why``.
    messages: Sequence[MessageStory]
    incidents: Sequence[IncidentStory]
    #: All that happened, in time order.
    timeline: Sequence[Entry]
    #: Messages of campaigns created before that were deleted; ``None``: none were.
    messages_kept_since: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class IncidentCase:
    """One incident with its evidence."""

    incident: Incident
    #: Every cause it was put down to, oldest first, and what led to each.
    causes: Sequence[CauseRecord]
    #: When Twilio's log was last asked about the recipient.
    looked_at: datetime | None
    #: What bears on it, in time order: the campaign, consent, texts, and its own message.
    timeline: Sequence[Entry]


@dataclass(frozen=True, kw_only=True)
class Tracing:
    """One tenant's incidents, recipients and campaigns, explained. It only reads."""

    db: Database
    tenant_id: int

    def trace(self, number: str) -> RecipientTrace:
        """Everything about a number written with its country, in time order.

        Raises:
            InvalidRecipient: it is no telephone number, or has no country.
        """
        who = {"tenant_id": self.tenant_id, "recipient": recipient_of(number)}
        with self.db.snapshot() as tx:
            known = stories.known(tx, **who)
            active = consent.suppressions_of(tx, **who)
            kept_since = retention.kept_since(tx)
        return RecipientTrace(
            recipient=who["recipient"],
            suppressed_by=active,
            messages=known.messages,
            incidents=known.incidents,
            timeline=timeline(known),
            messages_kept_since=kept_since,
        )

    def incidents(
        self,
        *,
        campaign: int | None = None,
        cause: Cause | None = None,
        since: datetime | None = None,
        limit: int = SHOWN,
    ) -> list[Incident]:
        """The 21610s that got past the list, newest first; ``since`` is aware."""
        return self.db.run(
            stories.incidents,
            tenant_id=self.tenant_id,
            campaign_id=campaign,
            cause=cause,
            since=since,
            limit=limit,
        )

    def incident(self, incident_id: int) -> IncidentCase:
        """One 21610 with its evidence in time order, and how its cause was decided.

        Raises:
            NotFound: there is no such incident.
        """
        with self.db.snapshot() as tx:
            found = stories.incident(tx, incident_id, tenant_id=self.tenant_id)
            if found is None:
                raise NotFound(f"there is no incident {incident_id}")
            known = stories.known(tx, tenant_id=self.tenant_id, recipient=found.recipient)
        (story,) = [one for one in known.incidents if one.id == incident_id]
        return IncidentCase(
            incident=found,
            causes=story.causes,
            looked_at=story.looked_at,
            timeline=[one for one in timeline(known) if _bears_on(one, found.message_id)],
        )

    def report(self, campaign_id: int) -> CampaignReport:
        """What became of a campaign: outcomes, deliveries, 21610s by cause, alerts.

        Raises:
            NotFound: there is no such campaign.
        """
        with self.db.snapshot() as tx:
            row = campaigns.get(tx, campaign_id)
            if row is None or row.tenant_id != self.tenant_id:
                raise NotFound(f"there is no campaign {campaign_id}")
            return reports.report(tx, row)


def _bears_on(entry: Entry, message_id: UUID) -> bool:
    """What other campaigns did does not."""
    return entry.message_id in {None, message_id}
