"""One demo from start to end: everything is started, a campaign runs, the account is made."""

import csv
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack
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
from sender.local.processes import Supervisor
from sender.local.servers import LocalServers
from sender.local.stack import Plan, Ports, Programs, Stack
from sender.runtime import Parts, Runtime
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
    report: Callable[[Account], None] = lambda account: None,
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
    demo = _Demo(
        options=options, view=view or NoView(), substitutes=substitutes or Substitutes()
    )
    with tempfile.TemporaryDirectory(prefix="sender-demo-") as folder, ExitStack() as exits:
        exits.callback(demo.view.close)
        demo.start(Path(folder), exits)
        account = demo.play()
        demo.view.close()
        report(account)
        if options.keep_running:
            demo.keep_running()
    return account
