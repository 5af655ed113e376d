"""One demo from start to end: everything is started, a campaign runs, the account is made."""

import csv
import os
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from sender.api import Campaign, Client
from sender.audience import Audience, Recipient, admit, read_csv, write_rejects
from sender.local.audience_file import COUNTRY_COLUMN, AudiencePlan, demo_audience
from sender.local.demo.account import Account, Asked, settle_accounts
from sender.local.demo.conducting import Conductor, Stage, lose_from_redis, set_the_stage
from sender.local.demo.ending import wait_for_the_end
from sender.local.demo.provider import NUMBER, Provider
from sender.local.demo.provider_log import ProviderLog
from sender.local.demo.scenario import plan
from sender.local.demo.view import NoView, View
from sender.local.ports import LOOPBACK
from sender.local.processes import Supervisor
from sender.local.servers import LocalServers
from sender.local.stack import Plan, Ports, Programs, Stack
from sender.parts import Parts
from sender.runtime import Runtime
from sender.storage import audit
from sender.storage.database import Database

BODY = "Hi {first_name}, 20 % off until Sunday. Reply STOP to opt out."
#: Far above what one machine can send: the demo shows the system's speed, not a throttle's.
SEGMENTS_PER_SECOND = 5_000.0
#: A run of this size must put every kind of STOP to the test this often.
TESTING_SIZE, STOPS_PER_STATE = 2_000, 20
#: What a slow machine with one core needs, and a fixed part for the worker that is killed.
_SLOWEST = timedelta(seconds=1) / 20
_AT_LEAST = timedelta(seconds=90)
#: What a person may have set for their own system, and must not reach the demo's.
_NOT_OURS = ("CELERY_BROKER_URL", "SENDER_INTAKE", "TWILIO_API_KEY", "TWILIO_API_SECRET")


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """What a demo is to be."""

    recipients: int = 2_000
    #: Of the audience, the scenario and the provider's chances.
    seed: int = 7
    #: Kill one worker with SIGKILL in the middle and start another.
    kill_worker: bool = False
    #: Whether the provider refuses whom it knows as opted out, or nothing but us stands in the way.
    provider_block: bool = True
    #: Whether Flower runs too, which shows and does nothing.
    flower: bool = True
    #: Whether all is waited for that still comes once the campaign is over. A leak or a second text
    #: is seen without it, but not every row is explained.
    to_the_end: bool = True
    #: Afterwards leave everything running until Ctrl-C.
    keep_running: bool = False
    #: Where to write the rows of the audience that became no message.
    rejects_file: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Substitutes:
    """What a test puts in the place of ours, to show that the account notices."""

    programs: Programs = field(default_factory=Programs)
    #: For the Python API, which creates the campaign.
    parts: Parts = field(default_factory=Parts)
    #: Called with the database's URL after its migration.
    prepare: Callable[[str], None] | None = None


def run_demo(
    options: DemoOptions,
    *,
    view: View | None = None,
    substitutes: Substitutes | None = None,
    report: Callable[[Account], None] | None = None,
) -> Account:
    """Run a demo in a temporary folder; its processes and files are gone when this returns.

    Args:
        options: what it is to be.
        view: who watches; nobody by default.
        substitutes: for tests that show what a missing safeguard does.
        report: is given the account while everything still runs.

    Raises:
        LocalServersMissing: the extra `local` is not installed.
        ProcessFailed: a process did not start, or ended by itself.
        WaitedTooLong: the campaign did not end in a time that is long for its size.
    """
    demo = _Demo(options=options, view=view or NoView(), substitutes=substitutes or Substitutes())
    with tempfile.TemporaryDirectory(prefix="sender-demo-") as folder, ExitStack() as exits:
        exits.callback(demo.view.close)
        demo.start(Path(folder), exits)
        account = demo.play()
        demo.view.close()
        if report:
            report(account)
        if options.keep_running:
            demo.keep_running()
    return account


@dataclass(kw_only=True)
class _Demo:
    """A demo under way."""

    options: DemoOptions
    view: View
    substitutes: Substitutes

    def start(self, folder: Path, exits: ExitStack) -> None:
        """Start all processes; `exits` ends them in reverse order."""
        self.ports, self.provider = Ports(), Provider()
        self.view.step("starting PostgreSQL, Redis and the simulator")
        outside = exits.enter_context(Supervisor(folder / "provider", os.environ))
        self.provider.start(outside, webhooks=f"http://{LOOPBACK}:{self.ports.webhooks}")
        servers = exits.enter_context(LocalServers.start(folder / "servers"))
        outside.wait_ready()
        self.view.step("starting 2 workers, beat, webhooks, consumer and Flower")
        self.plan = self._plan(folder, servers)
        self.stack = exits.enter_context(Stack(self.plan))
        if self.substitutes.prepare:
            self.substitutes.prepare(self.plan.database_url)
        self.view.step(f"reading the audience, {self.options.recipients} recipients")
        self.audience = demo_audience(
            folder, recipients=self.options.recipients, seed=self.options.seed
        )
        self.db = Database.connect(self.plan.database_url)
        exits.callback(self.db.close)
        runtime = Runtime(settings=self.plan.settings, parts=self.substitutes.parts)
        self.client = Client(runtime.api())
        exits.callback(self.client.close)

    def _plan(self, folder: Path, servers: LocalServers) -> Plan:
        return Plan(
            folder=folder,
            database_url=servers.postgres.url,
            redis_url=servers.redis.url,
            programs=self.substitutes.programs,
            ports=self.ports,
            flower=self.options.flower,
            environment={
                "TWILIO_ACCOUNT_SID": self.provider.account.sid,
                "TWILIO_AUTH_TOKEN": self.provider.account.auth_token,
                "TWILIO_API_BASE_URL": self.provider.url,
                # On loopback a dead worker's bytes arrive at once: a STOP need not wait for
                # them for the two minutes that a real network may take.
                "SENDER_DOUBT_HORIZON_SECONDS": "15",
                **dict.fromkeys(_NOT_OURS, ""),
            },
        )

    def play(self) -> Account:
        """Run the campaign and make the account."""
        stage = self._stage()
        self.view.step("setting the stage: opt-outs, STOPs before the start, faults")
        set_the_stage(stage, provider_block=self.options.provider_block)
        self.view.step("creating the campaign from the audience file")
        campaign = self._campaign()
        lose_from_redis(stage)
        campaign.enqueue()
        conductor = Conductor(stage=stage, campaign=campaign, kill_worker=self.options.kill_worker)
        conductor.conduct(within=_AT_LEAST + self.options.recipients * _SLOWEST)
        if self.options.to_the_end:
            wait_for_the_end(stage)
        self.view.step("comparing the provider's log with our tables")
        return self._account(campaign)

    def _stage(self) -> Stage:
        return Stage(
            stack=self.stack,
            settings=self.plan.settings,
            provider=self.provider,
            db=self.db,
            view=self.view,
            scenario=plan(
                self.audience.recipients,
                seed=self.options.seed,
                provider_block=self.options.provider_block,
            ),
        )

    def _campaign(self) -> Campaign:
        self.client.set_pace(NUMBER, SEGMENTS_PER_SECOND)
        return self.client.create_campaign(
            name="demo", sender=NUMBER, body=BODY, audience=self._rows(), idempotency_key="demo"
        )

    def _rows(self) -> Audience:
        return read_csv(self.audience.path, region_column=COUNTRY_COLUMN)

    def _account(self, campaign: Campaign) -> Account:
        is_testing = self.options.recipients >= TESTING_SIZE
        asked = Asked(
            file_rows=_rows_below_header(self.audience),
            stops_per_state=STOPS_PER_STATE if is_testing else 0,
        )
        if self.options.rejects_file:
            rows = admit(self._rows())
            left_out = (row for row in rows if not isinstance(row, Recipient))
            write_rejects(self.options.rejects_file, left_out)
        log = ProviderLog.from_entries(self.provider.log())
        return settle_accounts(log, self.db.run(audit.read, campaign.id), asked)

    def keep_running(self) -> None:
        """Say where everything is, and leave it there until Ctrl-C."""
        login = self.plan.flower_login
        self.view.note(f"webhooks   {self.plan.webhook_url}/twilio/inbound")
        self.view.note(f"simulator  {self.provider.url}/_simulator/stats")
        self.view.note(
            f"flower     {self.plan.flower_url}  user {login.user}  password {login.password}"
        )
        self.view.note("Ctrl-C ends everything.")
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


def _rows_below_header(audience: AudiencePlan) -> int:
    """Counted by Python's own CSV reader, so that a row ours might lose is missed."""
    with audience.path.open(encoding="utf-8-sig", newline="") as file:
        return sum(1 for _ in csv.reader(file)) - 1
