"""Carries a scenario out on a running system: before the campaign, while it runs, at its end."""

import heapq
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sender.api import Campaign
from sender.config import Settings
from sender.domain.campaign import ENDED
from sender.domain.consent import ALL_SENDERS, Direction, NewConsentEvent, ReasonClass
from sender.enforcement import Enforcement
from sender.errors import WaitedTooLong
from sender.local.demo.provider import Provider
from sender.local.demo.scenario import START_AFTER_MS, PlannedText, Scenario, behaviour
from sender.local.demo.view import Figures, View
from sender.local.stack import Stack
from sender.local.waiting import wait_until
from sender.mirroring import CURSOR
from sender.storage import audit, cursors
from sender.storage.database import Database, Transaction
from sender.storage.enforcement import EnforcementTable
from sender.storage.tenants import DEFAULT_TENANT
from sender.suppression import RedisSets, connect_sync

#: How often the campaign is looked at.
LOOK_EVERY = timedelta(milliseconds=250)
#: How far the campaign is when a worker is killed.
KILL_AT = 0.4
#: How many of the messages in the killed worker's hands get a STOP.
STOPS_AT_KILL = 5
_PATIENCE = timedelta(seconds=30)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The running system a scenario is played on."""

    stack: Stack
    settings: Settings
    provider: Provider
    db: Database
    view: View
    scenario: Scenario


def set_the_stage(stage: Stage, *, provider_block: bool) -> None:
    """Do all that comes before the campaign exists."""
    stage.provider.behave(behaviour(provider_block=provider_block))
    stage.provider.block(stage.scenario.blocked)
    stage.provider.follow(stage.scenario.rules)
    stage.db.run(_opt_out, stage.scenario.opted_out, stage.settings.doubt_horizon)
    for text in stage.scenario.texts_before:
        stage.provider.text_in(text.recipient, text.body, wait=True)
    wait_until(lambda: _are_in_force(stage), _PATIENCE, "the first opt-outs to be enforced")


def _opt_out(tx: Transaction, recipients: Sequence[int], horizon: timedelta) -> None:
    """As `client.suppression.add` does for one, in one transaction for all."""
    enforcement = Enforcement(table=EnforcementTable(), horizon=horizon)
    for recipient in recipients:
        enforcement.opt_out(tx, _imported(recipient))


def _imported(recipient: int) -> NewConsentEvent:
    return NewConsentEvent(
        tenant_id=DEFAULT_TENANT,
        recipient=recipient,
        scope=ALL_SENDERS,
        direction=Direction.OPT_OUT,
        reason=ReasonClass.IMPORT,
        source="import",
        source_id=f"demo-{recipient}",
        provider_at=datetime.now(UTC),
        author="demo",
    )


def _are_in_force(stage: Stage) -> bool:
    """Enforced, and read by the mirror, which therefore will not write them again."""
    written = stage.db.run(audit.newest_consent)
    mirrored = stage.db.run(cursors.read, CURSOR) or 0
    return mirrored > written and not stage.db.run(audit.unfinished).unenforced


def lose_from_redis(stage: Stage) -> None:
    """Take some opt-outs out of the Redis set, as if an older snapshot had been restored."""
    lost = [(DEFAULT_TENANT, ALL_SENDERS, one) for one in stage.scenario.lost_from_redis]
    redis = connect_sync(stage.settings.redis_url)
    RedisSets(redis).write(add=(), remove=lost)
    redis.close()


@dataclass
class Conductor:
    """Texts, kills and watches while a campaign runs."""

    stage: Stage
    campaign: Campaign
    kill_worker: bool
    _began: float = field(default_factory=time.monotonic)
    _planned: list[PlannedText] = field(default_factory=list)
    _answers: list[tuple[float, int, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._planned = list(self.stage.scenario.texts)

    def conduct(self, *, within: timedelta) -> None:
        """Return when the campaign has ended and everybody has texted what they had to.

        Raises:
            WaitedTooLong: it runs for longer than `within`.
            ProcessFailed: a process ended by itself.
        """
        while not (self._look() and self._is_all_said):
            if time.monotonic() - self._began > within.total_seconds():
                raise WaitedTooLong(f"The campaign did not end within {within}.")
            time.sleep(LOOK_EVERY.total_seconds())

    def _look(self) -> bool:
        """One look and what is due by it; whether the campaign has ended."""
        self.stage.stack.check()
        progress = self.campaign.progress()
        has_ended = progress.state in ENDED
        figures = self._figures(progress.states, progress.recipients)
        self._text(1.0 if has_ended else figures.share)
        if self.kill_worker and figures.share >= KILL_AT:
            self.kill_worker = False
            self._replace_a_worker()
        if has_ended:
            self.stage.view.waiting("the last people to answer")
        else:
            self.stage.view.progress(figures)
        return has_ended

    def _figures(self, states: dict[str, int], recipients: int) -> Figures:
        opt_outs = self.stage.db.run(audit.opt_out_figures)
        return Figures(
            elapsed=timedelta(seconds=time.monotonic() - self._began),
            recipients=recipients,
            states=states,
            stops=opt_outs.stops,
            stops_enforced=opt_outs.enforced,
            incidents=opt_outs.incidents,
        )

    @property
    def _is_all_said(self) -> bool:
        return not (self._planned or self._answers)

    def _text(self, share: float) -> None:
        """Send what is due: first texts by the campaign's progress, answers by the clock."""
        while self._planned and self._planned[0].at_share <= share:
            text = self._planned.pop(0)
            self.stage.provider.text_in(text.recipient, text.body)
            if text.then:
                due = time.monotonic() + START_AFTER_MS / 1000
                heapq.heappush(self._answers, (due, text.recipient, text.then))
        while self._answers and self._answers[0][0] <= time.monotonic():
            _, recipient, body = heapq.heappop(self._answers)
            self.stage.provider.text_in(recipient, body)

    def _replace_a_worker(self) -> None:
        """Kill one with SIGKILL, text STOP for some of what it had in hand, start another."""
        self.stage.stack.kill(KILLED)
        for recipient in self.stage.db.run(audit.in_hand, limit=STOPS_AT_KILL):
            self.stage.provider.text_in(recipient, "STOP")
        started = self.stage.stack.add_worker()
        self.stage.view.note(f"killed {KILLED} (SIGKILL), started {started}")


#: The worker that is killed: the stack's first.
KILLED = "worker-1"
