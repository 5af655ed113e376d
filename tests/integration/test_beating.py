"""The webhook app's signs of life, beside its requests."""

import asyncio
from datetime import timedelta

from sender.domain.intake import IntakeMode, Rhythm, Source
from sender.heartbeat import Heartbeat
from sender.storage import intake, pulls
from sender.storage.database import AsyncDatabase
from tests.bench import Bench, soon
from workers.beating import beating

QUICK = Rhythm(mode=IntakeMode.BOTH, silence=timedelta(seconds=3), pull_every=timedelta(minutes=1))
BEATEN_AT = "SELECT beaten_at FROM intake_source WHERE source = 'webhook'"


async def test_they_come_while_it_runs(bench: Bench, loop_db: AsyncDatabase) -> None:
    """One after the other, as long as the block runs."""
    bench.db.run(intake.demand, QUICK.sources)
    first = bench.value(BEATEN_AT)
    async with beating(Heartbeat(db=loop_db, source=Source.WEBHOOK, rhythm=QUICK)):
        await soon(lambda: bench.value(BEATEN_AT) > first)
        second = bench.value(BEATEN_AT)
        await soon(lambda: bench.value(BEATEN_AT) > second)


async def test_an_app_that_ends_as_it_starts_gives_none(
    bench: Bench, loop_db: AsyncDatabase
) -> None:
    """Its port is taken, say, and it is started again and again: no STOP reaches it."""
    bench.db.run(intake.demand, QUICK.sources)
    first = bench.value(BEATEN_AT)
    patient = Rhythm(mode=QUICK.mode, silence=timedelta(hours=1), pull_every=QUICK.pull_every)
    async with beating(Heartbeat(db=loop_db, source=Source.WEBHOOK, rhythm=patient)):
        for _ in range(10):
            await loop_db.run(pulls.now)
    assert bench.value(BEATEN_AT) == first


async def test_where_nobody_waits_for_them_none_is_given(
    bench: Bench, loop_db: AsyncDatabase
) -> None:
    """Pulls alone: the app is there for status callbacks."""
    alone = Rhythm(mode=IntakeMode.PULL, silence=QUICK.silence, pull_every=QUICK.pull_every)
    others = asyncio.all_tasks()
    async with beating(Heartbeat(db=loop_db, source=Source.WEBHOOK, rhythm=alone)):
        assert asyncio.all_tasks() == others
