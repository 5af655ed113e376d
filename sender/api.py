"""The Python API: create campaigns, watch and steer them, and keep the suppression list."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sender.audience import Audience
from sender.campaigns import Campaigns, Plan
from sender.config import Settings
from sender.domain.admission import CAP_ZONE
from sender.domain.campaign import Progress
from sender.domain.incident import Cause
from sender.doubting import Doubts
from sender.holding import Holds
from sender.numbers import Numbers
from sender.parts import ApiRuntime
from sender.runtime import Runtime
from sender.storage.campaigns import CampaignSummary, LeftOut, Obstacles, Result
from sender.storage.daily_caps import DailyCap
from sender.storage.reports import CampaignReport
from sender.storage.stories import Incident
from sender.storage.tenants import DEFAULT_NAME
from sender.suppression_list import SuppressionList
from sender.tracing import SHOWN, IncidentCase, RecipientTrace, Tracing

__all__ = ["Campaign", "Client", "connect"]


@dataclass(frozen=True)
class Campaign:
    """A handle on one stored campaign; it keeps nothing but the id."""

    id: int
    _campaigns: Campaigns
    _tracing: Tracing

    def enqueue(self, *, start_at: datetime | None = None, scrub: bool | None = None) -> "Campaign":
        """Offer it to the workers, now or at an aware ``start_at``; returns itself.

        Before its first message Twilio is asked for opt-outs that are not known here.

        Args:
            start_at: when it starts; without, now.
            scrub: whether Twilio is asked; ``None``: as ``SENDER_SCRUB`` says, and not for a
                transactional one.

        Raises:
            WrongState: it is paused or canceled.
        """
        self._campaigns.enqueue(self.id, start_at=start_at, scrub=scrub)
        return self

    def progress(self) -> Progress:
        """How far it is: messages by state and by reason, counted now."""
        return self._campaigns.progress(self.id)

    def obstacles(self) -> Obstacles:
        """What keeps it from sending just now: holds on it, and its sender's rest."""
        return self._campaigns.obstacles(self.id)

    def pause(self, *, why: str = "", author: str = "") -> None:
        """Begin nothing new from the next window on; what is in flight is finished.

        Why, and who did it, stand beside its state: ``progress()`` has both.
        """
        self._campaigns.pause(self.id, why=why, author=author)

    def resume(self, *, author: str = "") -> None:
        """Go on where it stood. Nobody is sent it twice."""
        self._campaigns.resume(self.id, author=author)

    def cancel(self, *, why: str = "", author: str = "") -> int:
        """End it; returns how many messages had not begun and are now ``canceled``.

        What Twilio took and has not passed on is canceled there within seconds, as far as Twilio
        lets it: what it put off for the night, say. Of a completed campaign, too.
        """
        return self._campaigns.cancel(self.id, why=why, author=author)

    def results(self, *, state: str | None = None) -> Iterator[Result]:
        """What became of each recipient, in audience order, read by the page.

        Args:
            state: only messages in this state, e.g. ``"in_doubt"``.
        """
        return self._campaigns.results(self.id, state=state)

    def report(self) -> CampaignReport:
        """What became of it: outcomes with reasons, deliveries, 21610s by cause, alerts."""
        return self._tracing.report(self.id)

    def rejects(self) -> list[LeftOut]:
        """The audience rows that became no message: line, value as typed, reason."""
        return self._campaigns.left_out(self.id)

    def wait(self, *, timeout: timedelta | None = None, every: float = 0.5) -> Progress:
        """Wait until it is completed or canceled; its last progress.

        Raises:
            TimeoutError: it is neither after ``timeout``.
        """
        return self._campaigns.wait(self.id, timeout=timeout, every=every)


@dataclass(frozen=True)
class Client:
    """Everything a program needs; made by ``connect``. Safe to share between threads."""

    _runtime: ApiRuntime

    def create_campaign(  # noqa: PLR0913  # keywords of a public call
        self,
        *,
        name: str,
        sender: str,
        body: str,
        audience: Audience,
        region: str | None = None,
        idempotency_key: str | None = None,
        validity: timedelta = Plan.validity,
        time_limit: timedelta = Plan.time_limit,
        transactional: bool = Plan.transactional,
        weight: float = Plan.weight,
    ) -> Campaign:
        """Store a campaign with all its messages, in one transaction. Nothing is sent yet.

        Args:
            name: for people.
            sender: a number (``+1…``), short code or Messaging Service SID (``MG…``). A new one
                is entered at its kind's default pace.
            body: the text; ``{first_name}`` is filled from the audience's column of that name.
            audience: from ``read_csv``, ``from_iterable`` or ``from_select``.
            region: ISO country code (``"US"``) of numbers typed without a country.
            idempotency_key: makes this call safe to repeat: the same key and arguments return
                the same campaign.
            validity: how long Twilio may queue a message, 1 s to 10 h. Keep it short: a STOP
                cannot reach a text that waits at Twilio.
            time_limit: from its start; what is pending after it expires.
            transactional: for a code or an appointment: goes before bulk campaigns, on threads
                that these leave free.
            weight: its share among the tenant's campaigns when not all can be sent at once,
                0.001 to 1000.

        Raises:
            TemplateError: the body is wrong or names a column the audience does not have.
            InvalidAudience: nothing in the audience can be texted, or it cannot be read.
            IdempotencyConflict: the key was used with other arguments.
        """
        plan = Plan(
            name=name,
            sender=sender,
            body=body,
            audience=audience,
            region=region,
            idempotency_key=idempotency_key,
            validity=validity,
            time_limit=time_limit,
            transactional=transactional,
            weight=weight,
        )
        return self.campaign(self._runtime.campaigns.create(plan))

    def campaign(self, campaign_id: int) -> Campaign:
        """The handle on a campaign by id; whether it exists shows when it is used."""
        return Campaign(campaign_id, self._runtime.campaigns, self._runtime.tracing)

    def campaigns(self, *, limit: int = 20) -> list[CampaignSummary]:
        """The newest campaigns, the newest first."""
        return self._runtime.campaigns.newest(limit=limit)

    def set_pace(self, sender: str, segments_per_second: float) -> None:
        """How many segments a second a sender may send; enters the sender if it is new."""
        self._runtime.campaigns.set_pace(sender, segments_per_second)

    def set_daily_cap(
        self, sender: str | None, segments: int | None, *, zone: str = CAP_ZONE
    ) -> None:
        """Send no more than so many segments a day, however many campaigns and workers there are.

        At the cap a sender rests until midnight: ``campaign.progress().rests`` says so. What was
        sent before there was a cap is not counted; a first cap is noticed within a few seconds, a
        change at the next window. A message of more segments than a whole day's cap fails
        (``over_daily_cap``), unless the cap is 0.

        Args:
            sender: whose cap; entered if it is new. ``None``: all of the tenant's senders together.
            segments: a day; 0 sends nothing, ``None`` takes the cap away.
            zone: where the day ends at midnight, as in the IANA database.

        Raises:
            ConfigurationError: there is no such zone, or the sender is another tenant's.
            ValueError: a number of segments below 0.
        """
        self._runtime.campaigns.set_daily_cap(sender, segments, zone=zone)

    def daily_caps(self) -> list[DailyCap]:
        """The daily caps as they stand: that of all senders together first, then each sender's."""
        return self._runtime.campaigns.daily_caps()

    def release(self, sender: str, *, author: str) -> int:
        """Lift the holds on a sender, once what caused them is put right; how many there were.

        A sender is held when Twilio refuses it as a whole (wrong credentials, unregistered
        number …): ``campaign.progress().holds`` names the code. ``holds.release`` does the same
        with a reason on record, and for campaigns and the tenant. What the operator holds stays.
        """
        return self.holds.release(sender=sender, author=author, reason="put right")

    @property
    def holds(self) -> Holds:
        """What stops the tenant, its senders or its campaigns: look, place, release."""
        return self._runtime.holds

    @property
    def doubts(self) -> Doubts:
        """Messages whose outcome nobody knows: look, and record what a person found out."""
        return self._runtime.doubts

    @property
    def suppression(self) -> SuppressionList:
        """The tenant's suppression list: ask, add, lift, import, export, review, verify."""
        return self._runtime.suppression

    def trace(self, number: str) -> RecipientTrace:
        """Everything about a recipient across campaigns, in time order: why sent, why not.

        Args:
            number: with its country, ``+14155550123``.

        Raises:
            InvalidRecipient: it is no telephone number, or has no country.
        """
        return self._runtime.tracing.trace(number)

    def incidents(
        self,
        *,
        campaign: int | None = None,
        cause: Cause | None = None,
        since: datetime | None = None,
        limit: int = SHOWN,
    ) -> list[Incident]:
        """The 21610s that got past the suppression list, newest first.

        Args:
            campaign: only this one's.
            cause: only those put down to this, e.g. ``Cause.WEBHOOK_MISSED``.
            since: an aware time: only those whose request began later.
            limit: so many at most.
        """
        return self._runtime.tracing.incidents(
            campaign=campaign, cause=cause, since=since, limit=limit
        )

    def incident(self, incident_id: int) -> IncidentCase:
        """One 21610 with its evidence in time order, and how its cause was decided.

        Raises:
            NotFound: there is no such incident.
        """
        return self._runtime.tracing.incident(incident_id)

    @property
    def numbers(self) -> Numbers:
        """The tenant's numbers that failures speak against, and that campaigns skip for a while."""
        return self._runtime.numbers

    def for_tenant(self, tenant: str) -> "Client":
        """The same for another tenant, over this client's connections, which it needs no more of.

        For a service that works for many: each `connect` opens a pool of its own, and a database
        has few hundred connections.

        Raises:
            NotFound: there is no such tenant.
        """
        return Client(self._runtime.of_tenant(tenant))

    def close(self) -> None:
        """Close the connections, of all clients that share them."""
        self._runtime.db.close()


def connect(settings: Settings | None = None, *, tenant: str = DEFAULT_NAME) -> Client:
    """A client for the database in ``DATABASE_URL`` (and the other settings), or ``settings``.

    Args:
        settings: instead of the environment's.
        tenant: whose campaigns, senders and list it sees and changes; no other's.

    Raises:
        ConfigurationError: a setting is missing or wrong.
        NotFound: there is no such tenant.
    """
    runtime = Runtime(settings=settings or Settings.from_environment())
    return Client(runtime.api(tenant))
