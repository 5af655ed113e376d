"""`sender up`: every process on this machine until Ctrl-C."""

import os
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from sender import logs
from sender.config import GivenServers
from sender.local.servers import LocalPostgres, LocalRedis
from sender.local.stack import Plan, Ports, Stack

#: How often processes that ended, and workers that do nothing, are looked for.
CHECK_SECONDS = 1.0


def run_until_interrupted(
    folder: Path, *, workers: int, ports: Ports, say: Callable[[str], None]
) -> None:
    """Start what is not given by URL, then all processes; restart those that end or do nothing.

    Raises:
        ConfigurationError: a Twilio setting is missing; it is named.
        LocalServersMissing: a server is neither given nor installed.
    """
    folder = folder.resolve()
    ended = _on_signals()
    given = GivenServers.from_environment()
    with ExitStack() as stack:
        plan = Plan(
            folder=folder,
            database_url=given.database_url or _postgres(folder, stack),
            redis_url=given.redis_url or _redis(folder, stack),
            environment=dict(os.environ),
            workers=workers,
            ports=ports,
            restart=True,
        )
        plan.settings.require_twilio()
        logs.configure(plan.settings.log_level)
        running = stack.enter_context(Stack(plan))
        say(f"webhooks  {plan.webhook_url}/twilio/inbound")
        login = plan.flower_login
        say(f"flower    {plan.flower_url}  user {login.user}  password {login.password}")
        say(f"database  {plan.database_url}")
        say(f"redis     {plan.redis_url}")
        say(f"logs      {running.log('webhooks').parent}")
        say("Ctrl-C ends everything; what is not finished goes on at the next start.")
        while not ended.wait(CHECK_SECONDS):
            running.check()
            running.tend()


def _on_signals() -> threading.Event:
    """An event that SIGINT and SIGTERM set."""
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # a handler's signature
        ended.set()

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)
    return ended


def _postgres(folder: Path, running: ExitStack) -> str:
    return running.enter_context(LocalPostgres.start(folder / "postgres")).url


def _redis(folder: Path, running: ExitStack) -> str:
    return running.enter_context(LocalRedis.start(folder / "redis")).url
