"""Campaigns, as they are created and steered: whole transactions, nothing of Celery."""

import hashlib
import json
import math
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sender.audience import Audience, Duplicate, Recipient, Rejected, admit
from sender.closing import close_out
from sender.domain import slicing
from sender.domain.admission import DEFAULT_PACE
from sender.domain.campaign import (
    CANCELABLE,
    ENDED,
    ENQUEUEABLE,
    PAUSABLE,
    RESUMABLE,
    CampaignState,
    MessageIds,
    Progress,
)
from sender.domain.phone import sender_kind
from sender.domain.rests import RestReason
from sender.domain.scrub import GOOD_FOR, why_skipped
from sender.domain.template import Template
from sender.domain.weight import ORDINARY, require_weight
from sender.errors import IdempotencyConflict, InvalidAudience, NotFound, WrongState
from sender.storage import campaigns, daily_caps, month_tables, recalls, scrubs, senders, slices
from sender.storage.campaigns import (
    CampaignRow,
    CampaignSummary,
    LeftOut,
    NewCampaign,
    NewMessage,
    Obstacles,
    Result,
)
from sender.storage.daily_caps import DailyCap
from sender.storage.database import Database, Transaction

#: Results are read by the page, so that an iteration holds no transaction open.
RESULTS_PAGE = 2000

#: What Twilio takes as ValidityPeriod (error 21624 outside).
SHORTEST_VALIDITY = timedelta(seconds=1)
LONGEST_VALIDITY = timedelta(hours=10)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a campaign is to be."""

    name: str
    #: A number (``+1…``), short code, alphanumeric id or Messaging Service SID (``MG…``).
    sender: str
    #: The text; ``{first_name}`` is filled from the audience's columns.
    body: str
    audience: Audience
    #: ISO country code for numbers typed without a country.
    region: str | None = None
    #: Makes creating the campaign safe to repeat.
    idempotency_key: str | None = None
    #: How long Twilio may queue a message before dropping it; short, so that a STOP is not
    #: overtaken by a text that has waited at Twilio.
    validity: timedelta = timedelta(minutes=10)
    #: How long after its start the campaign may go on; what is left then expires.
    time_limit: timedelta = timedelta(hours=24)
    #: A code, an appointment: goes first, on threads that bulk campaigns leave free.
    transactional: bool = False
    #: Its share among the tenant's campaigns when not all can be sent at once.
    weight: float = ORDINARY

    def __post_init__(self) -> None:
        if not SHORTEST_VALIDITY <= self.validity <= LONGEST_VALIDITY:
            raise ValueError(f"validity is {SHORTEST_VALIDITY} to {LONGEST_VALIDITY}")
        if self.time_limit <= timedelta():
            raise ValueError("time_limit must be above zero")
        require_weight(self.weight)

    @property
    def fingerprint(self) -> str:
        """Tells two plans under one key apart; not by the audience, which may be readable once."""
        limits = [self.validity.total_seconds(), self.time_limit.total_seconds()]
        parts = [self.name, self.sender, self.body, self.region, *limits]
        if (self.transactional, self.weight) != (False, ORDINARY):  # older plans have neither
            parts += [self.transactional, float(self.weight)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass
class _Counts:
    """What became of the audience's rows so far."""

    recipients: int = 0
    duplicates: int = 0
    rejected: int = 0


@dataclass(frozen=True, kw_only=True)
class Campaigns:
    """Creates and steers one tenant's campaigns."""

    db: Database
    tenant_id: int
    #: How an audience becomes recipients, duplicates and rejects.
    admit: Any = admit
    #: Whether campaigns are scrubbed first unless said otherwise; a consumer must run for that.
    scrubs: bool = False

    def create(self, plan: Plan) -> int:
        """Store a campaign with all its messages, in one transaction; its id.

        With an idempotency key, repeating it after a lost answer returns the same campaign.

        Raises:
            TemplateError: the body is wrong, or uses a column the audience lacks.
            InvalidAudience: the audience cannot be read, or has no recipient at all.
            IdempotencyConflict: the key belongs to a campaign made from another plan.
            ConfigurationError: the sender belongs to another tenant.
        """
        template = Template.parse(plan.body)
        template.require(plan.audience.fields)
        # By itself, so that a new sender is not locked while a large audience is loaded.
        sender = self.db.run(self.ensure_sender, plan.sender)
        with self.db.transaction() as tx:  # not repeated: an audience may be readable only once
            return self._create(tx, plan, template, sender.id)

    def _create(self, tx: Transaction, plan: Plan, template: Template, sender_id: int) -> int:
        created_at = datetime.now(UTC)
        campaign_id = campaigns.insert(tx, self._new(plan, sender_id, created_at))
        if campaign_id is None:
            return self._same(tx, plan)
        counts = _Counts()
        ids = MessageIds(created_at=created_at, campaign_id=campaign_id)
        campaigns.load(tx, campaign_id, self._rows(plan, template, ids, counts))
        if not counts.recipients:
            raise InvalidAudience(
                f"no row of the audience can be texted ({counts.rejected} rejected): "
                "look at the rejects, or name the column and region"
            )
        campaigns.set_counts(tx, campaign_id, **vars(counts))
        spans = [ids.span(first, last) for first, last in slicing.cut(counts.recipients)]
        slices.insert(tx, campaign_id, spans)
        month_tables.note_growth(tx, spans[0][0].hex, counts.recipients)
        return campaign_id

    def _new(self, plan: Plan, sender_id: int, created_at: datetime) -> NewCampaign:
        return NewCampaign(
            tenant_id=self.tenant_id,
            sender_id=sender_id,
            name=plan.name,
            body=plan.body,
            idempotency_key=plan.idempotency_key,
            fingerprint=plan.fingerprint,
            validity=plan.validity,
            time_limit=plan.time_limit,
            transactional=plan.transactional,
            weight=plan.weight,
            created_at=created_at,
        )

    def _same(self, tx: Transaction, plan: Plan) -> int:
        key = plan.idempotency_key or ""
        found = campaigns.by_key(tx, tenant_id=self.tenant_id, key=key)
        if found is None or found.fingerprint != plan.fingerprint:
            raise IdempotencyConflict(f"key {key!r} was used for a campaign with other arguments")
        return found.id

    def _rows(
        self, plan: Plan, template: Template, ids: MessageIds, counts: _Counts
    ) -> Iterator[NewMessage | LeftOut]:
        for row in self.admit(plan.audience, region=plan.region):
            match row:
                case Recipient():
                    counts.recipients += 1
                    yield NewMessage(
                        id=ids.of(counts.recipients, secrets.randbits(30)),
                        recipient=row.number.digits,
                        line=row.line,
                        fields={name: row.fields[name] for name in template.fields},
                    )
                case Duplicate():
                    counts.duplicates += 1
                    yield _left_out(row, "duplicate", row.first_line)
                case Rejected():
                    counts.rejected += 1
                    yield _left_out(row, row.reason, None)

    def ensure_sender(self, tx: Transaction, address: str) -> senders.SenderRow:
        """The sender, entered at its kind's default pace (segments a second) if it is new."""
        kind = sender_kind(address)
        return senders.ensure(
            tx,
            tenant_id=self.tenant_id,
            address=address,
            kind=kind.value,
            segments_per_second=DEFAULT_PACE[kind],
        )

    def set_pace(self, address: str, segments_per_second: float) -> None:
        """Set a sender's pace; enters the sender if it is new."""
        if not (segments_per_second > 0 and math.isfinite(segments_per_second)):
            raise ValueError("a pace is a finite number above 0; to stop a sender, hold it")
        with self.db.transaction() as tx:
            row = self.ensure_sender(tx, address)
            senders.set_pace(tx, row.id, segments_per_second)

    def set_daily_cap(self, address: str | None, segments: int | None, *, zone: str) -> None:
        """Cap what a sender, or the whole tenant, sends a day; ``None`` segments: no cap.

        Enters the sender if it is new. Senders that rest because of the cap are woken.
        """
        if segments is not None and segments < 0:
            raise ValueError("a daily cap is a number of segments, from 0 on; None for no cap")
        with self.db.transaction() as tx:
            sender_id = None if address is None else self.ensure_sender(tx, address).id
            level = daily_caps.TENANT if sender_id is None else daily_caps.SENDER
            subject = self.tenant_id if sender_id is None else sender_id
            if segments is None:
                daily_caps.remove(tx, level, subject)
            else:
                daily_caps.put(tx, level, subject, segments=segments, zone=zone)
            capped = RestReason.DAILY_CAP
            senders.wake(tx, tenant_id=self.tenant_id, sender_id=sender_id, why=capped)

    def daily_caps(self) -> list[DailyCap]:
        """The tenant's daily caps as they stand, that of all its senders first."""
        return self.db.run(daily_caps.of_tenant, self.tenant_id)

    def enqueue(
        self, campaign_id: int, *, start_at: datetime | None = None, scrub: bool | None = None
    ) -> None:
        """Offer the campaign to the workers, now or at an aware ``start_at``.

        It is held until its scrub has ended. Again while it is SCHEDULED sets the new time; again
        after that changes nothing.

        Args:
            campaign_id: which.
            start_at: when it starts.
            scrub: whether it has one; ``None``: as the settings say, transactional ones have none.
        """
        if start_at is not None and start_at.tzinfo is None:
            raise ValueError("start_at needs a time zone, e.g. datetime(…, tzinfo=UTC)")
        with self.db.transaction() as tx:
            row = self._locked(tx, campaign_id)
            if row.state in {CampaignState.RUNNING, CampaignState.COMPLETED}:
                return
            _require(row, ENQUEUEABLE, "enqueue")
            why = why_skipped(is_on=self.scrubs, transactional=row.transactional, wanted=scrub)
            if why:
                scrubs.skip(tx, campaign_id, why)
            else:
                scrubs.ask(tx, campaign_id)
            if start_at is not None and start_at > datetime.now(UTC):
                campaigns.move(tx, campaign_id, CampaignState.SCHEDULED, start_at=start_at)
            else:
                campaigns.move(tx, campaign_id, CampaignState.RUNNING)

    def pause(self, campaign_id: int, *, why: str = "", author: str = "") -> None:
        """Begin nothing new; what is in flight is finished."""
        with self.db.transaction() as tx:
            row = self._locked(tx, campaign_id)
            if row.state is not CampaignState.PAUSED:
                _require(row, PAUSABLE, "pause")
                campaigns.move(tx, campaign_id, CampaignState.PAUSED, why=why, author=author)

    def resume(self, campaign_id: int, *, author: str = "") -> None:
        """Go on where it stood; nobody is sent it twice.

        After a long pause it is held until it has been scrubbed again.
        """
        with self.db.transaction() as tx:
            row = self._locked(tx, campaign_id)
            if row.state is not CampaignState.RUNNING:
                _require(row, RESUMABLE, "resume")
                campaigns.move(tx, campaign_id, CampaignState.RUNNING, author=author)
                scrubs.resume(tx, campaign_id, older_than=GOOD_FOR)
                slices.wake(tx, campaign_id)

    def cancel(self, campaign_id: int, *, why: str = "", author: str = "") -> int:
        """End the campaign; what has not begun is canceled. How many messages that were.

        Whatever the provider still keeps of it is taken back by `sender.recalling`: of a COMPLETED
        one, too, which stays what it is.
        """
        with self.db.transaction() as tx:
            row = self._locked(tx, campaign_id)
            if row.state is CampaignState.CANCELED:
                return 0
            if row.started_at is not None:
                recalls.request(tx, campaign_id)
            if row.state is CampaignState.COMPLETED:
                return 0
            _require(row, CANCELABLE, "cancel")
            campaigns.move(tx, campaign_id, CampaignState.CANCELED, why=why, author=author)
        # After that commit no guard begins anything new; what is left is pending, or comes back.
        return close_out(self.db, campaign_id)

    def newest(self, *, limit: int) -> list[CampaignSummary]:
        """The tenant's campaigns, the newest first."""
        return self.db.run(campaigns.newest, tenant_id=self.tenant_id, limit=limit)

    def obstacles(self, campaign_id: int) -> Obstacles:
        """What keeps it from sending just now, beside its own state."""
        with self.db.transaction() as tx:
            self._found(tx, campaign_id)
            return campaigns.obstacles(tx, campaign_id)

    def progress(self, campaign_id: int) -> Progress:
        """How far it is: messages by state and reason, counted now."""
        with self.db.transaction() as tx:
            return campaigns.progress(tx, self._found(tx, campaign_id))

    def wait(self, campaign_id: int, *, timeout: timedelta | None, every: float) -> Progress:
        """Wait until it has ended; its last progress."""
        give_up_at = math.inf if timeout is None else time.monotonic() + timeout.total_seconds()
        while (state := self._state(campaign_id)) not in ENDED:
            if state is CampaignState.DRAFT:
                raise WrongState(f"campaign {campaign_id} was not enqueued: it would never end")
            if time.monotonic() > give_up_at:
                raise TimeoutError(f"campaign {campaign_id} is {state} after {timeout}")
            time.sleep(every)
        return self.progress(campaign_id)

    def _state(self, campaign_id: int) -> CampaignState:
        with self.db.transaction() as tx:
            return self._found(tx, campaign_id).state

    def results(self, campaign_id: int, *, state: str | None = None) -> Iterator[Result]:
        """What became of each recipient, in audience order; streamed by the page."""
        after = None
        while True:
            with self.db.transaction() as tx:
                row = self._found(tx, campaign_id)
                self._require_kept(tx, row)
                page = list(
                    campaigns.results(tx, row, after=after, state=state, limit=RESULTS_PAGE)
                )
            yield from page
            if len(page) < RESULTS_PAGE:
                return
            after = page[-1].message_id

    def left_out(self, campaign_id: int) -> list[LeftOut]:
        """The audience rows that became no message, by line, each with its reason."""
        with self.db.transaction() as tx:
            self._require_kept(tx, self._found(tx, campaign_id))
            return campaigns.left_out(tx, campaign_id)

    def _found(self, tx: Transaction, campaign_id: int, *, lock: bool = False) -> CampaignRow:
        row = campaigns.get(tx, campaign_id, lock=lock)
        if row is None or row.tenant_id != self.tenant_id:
            raise NotFound(f"there is no campaign {campaign_id}")
        return row

    def _require_kept(self, tx: Transaction, row: CampaignRow) -> None:
        if campaigns.is_deleted(tx, row.id):
            raise NotFound(
                f"the messages of campaign {row.id} were deleted; its counts are in its report"
            )

    def _locked(self, tx: Transaction, campaign_id: int) -> CampaignRow:
        return self._found(tx, campaign_id, lock=True)


def _left_out(row: Duplicate | Rejected, reason: str, first_line: int | None) -> LeftOut:
    return LeftOut(line=row.line, value=row.value, reason=reason, first_line=first_line)


def _require(row: CampaignRow, allowed: frozenset[CampaignState], verb: str) -> None:
    if row.state not in allowed:
        names = ", ".join(sorted(allowed))
        raise WrongState(f"campaign {row.id} is {row.state}; {verb} needs {names}")
