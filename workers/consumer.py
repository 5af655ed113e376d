"""``python -m workers.consumer``: the suppression consumer.

It finishes the enforcement of opt-outs that are stored but not enforced, keeps the Redis set
equal to Postgres, fetches the provider times of STOPs and STARTs, pulls from Twilio's log what
webhooks missed, scrubs before campaigns, asks the log about incidents, tells of alerts, forwards
texts, seals the consent log, and recognises a database that was restored. It may be ended and
restarted at any instant.
"""

import asyncio
import signal
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

from sender.collecting import uncollected

with uncollected():
    from sender.runtime import Runtime  # and with it nearly all that this process loads

import structlog
import uvloop

from sender import logs
from sender.bell import Bell
from sender.config import Settings
from sender.errors import SenderError
from sender.mirroring import Mirror
from sender.parts import ConsumerRuntime, Parts
from sender.storage.database import DatabaseError, told

log = structlog.get_logger(__name__)

#: Between two rounds of each duty. Some begin as soon as there is anything to do: opt-outs that are
#: stored and not enforced, campaigns that wait for their scrub.
RING_EVERY = timedelta(milliseconds=100)
MIRROR_EVERY = timedelta(milliseconds=250)
DATE_EVERY = timedelta(milliseconds=500)
#: One question to Twilio for each of a few incidents.
INVESTIGATE_EVERY = timedelta(seconds=5)
#: An alert is for people; its first delivery is soon enough.
ALERT_EVERY = timedelta(seconds=2)
#: Somebody may be waiting for an answer.
FORWARD_EVERY = timedelta(seconds=1)
#: A link a minute: `verify` asks twice for each, and a year has half a million minutes.
SEAL_EVERY = timedelta(minutes=1)
#: Months are made months ahead; soon after a start, should it have been away for as long.
MAKE_MONTHS_EVERY = timedelta(minutes=10)
#: There is something to delete once a month.
DELETE_EVERY = timedelta(hours=6)
#: STOPs are stored while no worker runs, so that the mark must rise then as well.
LOOK_EVERY = timedelta(seconds=1)
#: Between two looks for campaigns that are held for long: an hour is what a scrub is good for.
SCRUB_AGAIN_EVERY = timedelta(minutes=1)
#: Between two looks for senders whose inbound messages are to be read; each has its own rhythm.
PULL_EVERY = timedelta(seconds=1)
#: Between two looks for accounts whose whole log is to be read.
OVERHEAR_EVERY = timedelta(seconds=10)
#: Between two looks for sets that are cold, and for sets of the wrong size (a full count).
INSPECT_EVERY = timedelta(seconds=2)
COMPARE_EVERY = timedelta(minutes=1)
#: A full count takes seconds at millions of numbers: a fiftieth of the time may go there.
COMPARE_SHARE = 50
#: What nobody foresaw is not put right in a second; a STOP may wait for it all the same.
BUG_PAUSE = timedelta(seconds=5)


async def consume(runtime: Runtime) -> None:
    """Do all duties until cancelled."""
    async with runtime.consumer() as use_cases, asyncio.TaskGroup() as duties:
        for duty, pause in _duties(use_cases):
            duties.create_task(_repeat(duty, pause))


def _duties(
    use_cases: ConsumerRuntime,
) -> list[tuple[Callable[[], Awaitable[object]], timedelta]]:
    upkeep, bell = _Upkeep(use_cases.mirror), Bell(db=use_cases.db)

    async def enforce() -> None:
        await bell.opt_outs.answer(partial(use_cases.enforcement.finish_stored, use_cases.db))

    async def scrub() -> None:
        await bell.scrubs.answer(use_cases.scrubber.round)

    async def mirror() -> object:
        return await asyncio.to_thread(upkeep.round)

    async def seal() -> object:
        return await asyncio.to_thread(use_cases.sealer.seal)

    async def delete_old() -> object:
        return await asyncio.to_thread(use_cases.retention.run)

    async def look() -> object:
        return await use_cases.water.look(use_cases.db)

    heartbeat, puller = use_cases.heartbeat, use_cases.puller
    duties: list[tuple[Callable[[], Awaitable[object]], timedelta]] = [
        (look, LOOK_EVERY),
        (bell.ask, RING_EVERY),
        (enforce, timedelta()),
        (scrub, timedelta()),
        (mirror, MIRROR_EVERY),
        (use_cases.times.fetch, DATE_EVERY),
        (use_cases.investigation.investigate, INVESTIGATE_EVERY),
        (use_cases.alerting.deliver, ALERT_EVERY),
        (use_cases.forwarding.deliver, FORWARD_EVERY),
        (seal, SEAL_EVERY),
        (use_cases.months.make, MAKE_MONTHS_EVERY),
        (use_cases.scrubber.again, SCRUB_AGAIN_EVERY),
    ]
    if heartbeat.is_demanded:
        duties.append((heartbeat.beat, heartbeat.rhythm.beat_every))
    if use_cases.retention.deletes:
        duties.append((delete_old, DELETE_EVERY))
    if puller.rhythm.pulls:
        duties.append((puller.round, PULL_EVERY))
        duties.append((use_cases.overhearing.round, OVERHEAR_EVERY))
    return duties


class _Upkeep:
    """The mirror's rounds: follow every time, inspect and compare now and then."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self._inspect_at = self._compare_at = 0.0

    def round(self) -> None:
        now = time.monotonic()
        if now >= self._inspect_at:
            compare = now >= self._compare_at
            self._mirror.repair(compare_counts=compare)
            took = time.monotonic() - now
            self._inspect_at = now + INSPECT_EVERY.total_seconds()
            if compare:
                pause = max(COMPARE_EVERY.total_seconds(), COMPARE_SHARE * took)
                self._compare_at = now + took + pause
        self._mirror.follow()


async def _repeat(
    duty: Callable[[], Awaitable[object]], pause: timedelta, *, bug_pause: timedelta = BUG_PAUSE
) -> None:
    """Again and again; what cannot be reached now is tried at the next round."""
    while True:
        try:
            await duty()
        except (DatabaseError, SenderError, OSError) as exc:
            log.warning("consumer_round_failed", duty=duty.__name__, error=told(exc))
            await asyncio.sleep(1)
        except Exception as exc:  # noqa: BLE001  # a STOP may wait for another duty: they go on
            error, at = type(exc).__name__, _place(exc)
            log.error("consumer_duty_broke", duty=duty.__name__, error=error, at=at)
            await asyncio.sleep(bug_pause.total_seconds())
        await asyncio.sleep(pause.total_seconds())


def _place(exc: Exception) -> str:
    """Where it was raised: its text may quote what nobody but the database may keep."""
    frame = traceback.extract_tb(exc.__traceback__)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}"


async def _until_signal(runtime: Runtime) -> None:
    loop = asyncio.get_running_loop()
    work = asyncio.create_task(consume(runtime))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, work.cancel)
    try:
        await work
    except asyncio.CancelledError:
        log.info("consumer_stopped")


def main(
    parts: Parts | None = None, settings: Callable[[], Settings] = Settings.from_environment
) -> int:
    """Run the consumer; the exit code."""
    try:
        runtime = Runtime(settings=settings(), parts=parts or Parts())
        logs.configure(runtime.settings.log_level)
        uvloop.run(_until_signal(runtime))
    except SenderError as exc:
        print(exc, file=sys.stderr)  # noqa: T201  # a person starts this
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
