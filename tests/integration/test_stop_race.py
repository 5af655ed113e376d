"""The first promise on the real thing: STOPs arrive while the pump sends to the same people."""

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta

from sender.domain.message import OutboundText
from sender.enforcement import Enforcement, EnforcementQueue
from sender.experience import AHEAD
from sender.permits import Permits
from sender.storage.enforcement import EnforcementTable
from sender.storage.messages import MessageTable, guard_statement
from tests.bench import ENFORCEMENT, HORIZON, consent_event, crowd, soon
from tests.pump_rig import Rig

PEOPLE = crowd(240)


@dataclass(frozen=True, kw_only=True)
class Race:
    """What came of it."""

    #: Whose STOP was enforced, sooner or later.
    enforced: set[int]
    #: Whom a request was begun for after that.
    late: list[int]


async def _race(rig: Rig, enforcement: Enforcement) -> Race:
    """Send to a crowd of whom, from the first request on, every third says STOP."""
    rig.bench.campaign(*PEOPLE)
    race = Race(enforced=set(), late=[])
    queue = EnforcementQueue(enforcement=enforcement, db=rig.pump.db)

    def begun(text: OutboundText) -> None:
        if text.recipient in race.enforced:
            race.late.append(text.recipient)

    async def stop(recipient: int) -> None:
        event = consent_event(recipient=recipient)
        event_id = await rig.pump.db.run(enforcement.opt_out, event)
        assert await queue.enforced(event_id, within=timedelta(seconds=20))
        race.enforced.add(recipient)

    rig.gateway.begun, rig.gateway.latency = begun, timedelta(milliseconds=50)
    slow = replace(rig, pump=replace(rig.pump, permits=Permits(8, ahead=AHEAD)))
    async with asyncio.TaskGroup() as everything:
        everything.create_task(slow.work())
        await soon(lambda: rig.gateway.sent)
        for recipient in PEOPLE[::3]:
            everything.create_task(stop(recipient))
            await asyncio.sleep(0.003)
    return race


async def test_nothing_begins_after_enforcement(rig: Rig) -> None:
    """From its enforcement on no STOP is overtaken; everybody else is texted once."""
    race = await _race(rig, ENFORCEMENT)
    assert race.late == []
    assert race.enforced == set(PEOPLE[::3])
    texted = rig.gateway.recipients
    assert len(texted) == len(set(texted))
    assert set(PEOPLE) - race.enforced <= set(texted)
    spared = race.enforced - set(texted)
    assert spared
    assert race.enforced - spared


class _HastyTable(EnforcementTable):
    """Enforces without withdrawing and without looking."""

    def withdraw(self, *_: object) -> int:
        return 0

    def still_open(self, *_: object) -> frozenset[int]:
        return frozenset()


async def test_this_race_would_show_a_leak(rig: Rig) -> None:
    """Without the guard's look and the STOP's withdrawal the same race texts people late."""
    blind = rig.with_messages(MessageTable(guard=guard_statement(suppressed="false")))
    race = await _race(blind, Enforcement(table=_HastyTable(), horizon=HORIZON))
    assert race.late
