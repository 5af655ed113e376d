"""What the consumer's bell rings for."""

import asyncio

from sender.bell import Bell, Ring
from sender.storage.database import AsyncDatabase
from tests.bench import ANNA, ENFORCEMENT, Bench


async def _rings(ring: Ring) -> bool:
    """Whether a duty would begin now."""
    begun = asyncio.Event()

    async def duty() -> None:
        begun.set()

    answer = asyncio.create_task(ring.answer(duty))
    for _ in range(5):
        await asyncio.sleep(0)
    answer.cancel()
    await asyncio.wait({answer})
    return begun.is_set()


async def test_an_opt_out(bench: Bench, loop_db: AsyncDatabase) -> None:
    """Until it is enforced, at every question; not for what is enforced, and not for scrubs."""
    campaign, bell = bench.campaign(ANNA), Bell(db=loop_db)
    bench.guard_all(campaign)
    bench.opt_out(ANNA)
    for _ in range(2):
        await bell.ask()
        assert await _rings(bell.opt_outs)
    assert await ENFORCEMENT.finish_stored(loop_db) == 1
    await bell.ask()
    assert await _rings(bell.opt_outs)
    bench.put(campaign, "sent")
    assert await ENFORCEMENT.finish_stored(loop_db) == 0
    await bell.ask()
    assert not await _rings(bell.opt_outs)
    assert not await _rings(bell.scrubs)


async def test_a_scrub(bench: Bench, loop_db: AsyncDatabase) -> None:
    """One that is due, of a campaign that has started; not while it rests."""
    campaign, bell = bench.campaign(ANNA), Bell(db=loop_db)
    bench.execute(
        "UPDATE campaign_scrub SET outcome = 'waiting', next_at = now() WHERE campaign_id = :id",
        id=campaign,
    )
    await bell.ask()
    assert await _rings(bell.scrubs)
    assert not await _rings(bell.opt_outs)
    bench.execute("UPDATE campaign_scrub SET next_at = now() + interval '1 hour'")
    await bell.ask()
    assert not await _rings(bell.scrubs)
