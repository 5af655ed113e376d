"""The STOP waits: stored, withdrawn, looked for, and only then enforced."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from sqlalchemy.exc import OperationalError

from sender.campaigns import Campaigns
from sender.domain.consent import PLATFORM
from sender.enforcement import Enforcement, EnforcementQueue
from sender.storage.database import AsyncDatabase, Transaction
from sender.storage.enforcement import EnforcementTable
from tests.bench import (
    ANNA,
    BERT,
    ENFORCEMENT,
    HORIZON,
    NOBODY,
    OTHER_SENDER,
    OTHER_TENANT,
    SENDER,
    SERVICE,
    TENANT,
    Bench,
    crowd,
    soon,
)

PATIENCE = timedelta(seconds=20)
NO_PATIENCE = timedelta(milliseconds=1)


def _enforced_at(bench: Bench, event: int) -> datetime | None:
    found: datetime | None = bench.value(
        "SELECT enforced_at FROM enforcement WHERE event_id = :id", id=event
    )
    return found


class TestSteps:
    """Withdraw, then look."""

    def test_stored_withdrawn_enforced(self, bench: Bench) -> None:
        """With nothing under way one round withdraws what is pending and enforces."""
        campaigns = [bench.campaign(ANNA, BERT), bench.campaign(ANNA, sender=OTHER_SENDER)]
        event = bench.opt_out(ANNA)
        assert _enforced_at(bench, event) is None
        assert bench.enforced(event)
        assert _enforced_at(bench, event) is not None
        for campaign in campaigns:
            row = bench.row(campaign, ANNA)
            assert (row.state, row.reason) == ("suppressed", "stop")
        assert bench.row(campaigns[0], BERT).state == "pending"

    def test_what_is_sending_is_waited_for(self, bench: Bench) -> None:
        """A row under way holds the STOP up until it is settled."""
        campaign = bench.campaign(ANNA)
        bench.guard_all(campaign)
        event = bench.opt_out(ANNA)
        assert not bench.enforced(event)
        bench.put(campaign, "sent")
        assert bench.enforced(event)

    def test_what_comes_back_is_withdrawn(self, bench: Bench) -> None:
        """A row that was throttled meanwhile is suppressed, not sent again."""
        campaign = bench.campaign(ANNA)
        licence = bench.guard_all(campaign)[ANNA]
        event = bench.opt_out(ANNA)
        assert not bench.enforced(event)
        mine = {licence.message_id: licence.gen}
        bench.db.run(bench.messages.put_back, mine, owner=NOBODY, reason="test")
        assert bench.enforced(event)
        assert bench.row(campaign).state == "suppressed"

    @pytest.mark.parametrize(("age", "enforced"), [(119, False), (121, True)])
    def test_only_a_fresh_doubt_is_waited_for(
        self, bench: Bench, age: int, *, enforced: bool
    ) -> None:
        """A lost worker's request may be on the network for the horizon, and no longer."""
        campaign = bench.campaign(ANNA)
        bench.put(campaign, "in_doubt")
        bench.execute("UPDATE message SET changed_at = now() - :age", age=timedelta(seconds=age))
        assert bench.enforced(bench.opt_out(ANNA)) is enforced

    @pytest.mark.parametrize("state", ["sent", "delivered", "failed", "unknown", "expired"])
    def test_what_is_over_is_not_waited_for(self, bench: Bench, state: str) -> None:
        """A settled message holds up no STOP."""
        campaign = bench.campaign(ANNA)
        bench.put(campaign, state)
        assert bench.enforced(bench.opt_out(ANNA))
        assert bench.row(campaign).state == state

    def test_what_has_not_started_stays(self, bench: Bench) -> None:
        """Rows of a draft stay for the guard to refuse, so that a START in between counts."""
        campaign = bench.campaign(ANNA, run=False)
        assert bench.enforced(bench.opt_out(ANNA))
        assert bench.row(campaign).state == "pending"
        Campaigns(db=bench.db, tenant_id=TENANT).enqueue(campaign)
        assert not bench.guard_all(campaign)

    def test_a_scheduled_campaign_stays_too(self, bench: Bench) -> None:
        """Rows of a scheduled campaign stay as well."""
        campaign = bench.campaign(ANNA, run=False)
        bench.execute("UPDATE campaign SET state = 'SCHEDULED'")
        assert bench.enforced(bench.opt_out(ANNA))
        assert bench.row(campaign).state == "pending"

    @pytest.mark.parametrize("state", ["PAUSED", "CANCELED"])
    def test_a_stopped_campaign_is_withdrawn_from(self, bench: Bench, state: str) -> None:
        """A campaign that has started is withdrawn from whatever stopped it."""
        campaign = bench.campaign(ANNA)
        bench.execute("UPDATE campaign SET state = :state", state=state)
        assert bench.enforced(bench.opt_out(ANNA))
        assert bench.row(campaign).state == "suppressed"

    def test_enforced_once(self, bench: Bench) -> None:
        """The time of enforcement is set once and stays."""
        event = bench.opt_out(ANNA)
        bench.enforced(event)
        first = _enforced_at(bench, event)
        assert bench.enforced(event)
        assert _enforced_at(bench, event) == first

    def test_a_lifted_stop_withdraws_nothing_more(self, bench: Bench) -> None:
        """After a later START the rows that are still pending may go."""
        campaign = bench.campaign(ANNA)
        event = bench.opt_out(ANNA)
        bench.execute("DELETE FROM suppression")
        assert bench.enforced(event)
        assert bench.row(campaign).state == "pending"


class TestScopes:
    """Which rows an opt-out covers."""

    def test_one_sender(self, bench: Bench) -> None:
        """A STOP for one sender neither withdraws from another's campaigns nor waits for them."""
        ours, other = bench.campaign(ANNA), bench.campaign(ANNA, sender=OTHER_SENDER)
        bench.guard_all(other)
        assert bench.enforced(bench.opt_out(ANNA, scope=bench.sender_id(SENDER)))
        assert bench.row(ours).state == "suppressed"
        assert bench.row(other).state == "sending"

    def test_a_service(self, bench: Bench) -> None:
        """A STOP to a service is waited for by what its numbers send."""
        service, number = bench.sender_id(SERVICE), bench.sender_id(SENDER)
        bench.execute("INSERT INTO sender_scope VALUES (:n, :s)", n=number, s=service)
        bench.guard_all(bench.campaign(ANNA))
        assert not bench.enforced(bench.opt_out(ANNA, scope=service))

    def test_another_tenant(self, bench: Bench) -> None:
        """A STOP to one tenant leaves another tenant's messages alone."""
        bench.second_tenant()
        theirs = bench.campaign(ANNA, sender=OTHER_SENDER, tenant_id=OTHER_TENANT)
        bench.guard_all(theirs)
        assert bench.enforced(bench.opt_out(ANNA))
        assert bench.row(theirs).state == "sending"

    def test_the_platform(self, bench: Bench) -> None:
        """A platform-wide opt-out withdraws from, and waits for, every tenant's campaigns."""
        bench.second_tenant()
        ours = bench.campaign(ANNA)
        theirs = bench.campaign(ANNA, sender=OTHER_SENDER, tenant_id=OTHER_TENANT)
        bench.guard_all(theirs)
        event = bench.opt_out(ANNA, tenant_id=PLATFORM)
        assert not bench.enforced(event)
        assert bench.row(ours).state == "suppressed"
        bench.put(theirs, "sent")
        assert bench.enforced(event)


@dataclass
class _CountingTable(EnforcementTable):
    """Counts its rounds."""

    rounds: list[tuple[int, ...]] = field(default_factory=list)

    def withdraw(self, tx: Transaction, ids: Sequence[int]) -> int:
        self.rounds.append(tuple(ids))
        return super().withdraw(tx, ids)


@dataclass
class _BrokenTable(EnforcementTable):
    """Its database breaks as often as told."""

    failures: int

    def mark_enforced(self, tx: Transaction, ids: Sequence[int], *, horizon: timedelta) -> None:
        if self.failures:
            self.failures -= 1
            raise OperationalError("look", {}, Exception("the server went away"))
        super().mark_enforced(tx, ids, horizon=horizon)


def _queue(db: AsyncDatabase, table: EnforcementTable | None = None) -> EnforcementQueue:
    enforcement = Enforcement(table=table or EnforcementTable(), horizon=HORIZON)
    return EnforcementQueue(enforcement=enforcement, db=db)


class TestQueue:
    """The webhook app's waiting opt-outs."""

    async def test_one_round_serves_all(self, bench: Bench, loop_db: AsyncDatabase) -> None:
        """Those that wait at the same time share their rounds."""
        table = _CountingTable()
        queue = _queue(loop_db, table)
        events = [bench.opt_out(who) for who in crowd(40)]
        asked = [queue.enforced(event, within=PATIENCE) for event in events]
        assert all(await asyncio.gather(*asked))
        assert len(table.rounds) <= 2
        assert max(map(len, table.rounds)) == 40

    async def test_it_waits_for_the_settlement(self, bench: Bench, loop_db: AsyncDatabase) -> None:
        """A waiting STOP is answered soon after the row under way is settled."""
        campaign = bench.campaign(ANNA)
        bench.guard_all(campaign)
        table = _CountingTable()
        queue, event = _queue(loop_db, table), bench.opt_out(ANNA)
        waiting = asyncio.create_task(queue.enforced(event, within=PATIENCE))
        await soon(lambda: len(table.rounds) > 1)
        assert not waiting.done()
        bench.put(campaign, "sent")
        assert await waiting

    async def test_out_of_patience(self, bench: Bench, loop_db: AsyncDatabase) -> None:
        """Who waits too long is told no, and whoever still waits goes on waiting."""
        campaign = bench.campaign(ANNA)
        bench.guard_all(campaign)
        queue, event = _queue(loop_db), bench.opt_out(ANNA)
        patient = asyncio.create_task(queue.enforced(event, within=PATIENCE))
        assert not await queue.enforced(event, within=NO_PATIENCE)
        bench.put(campaign, "sent")
        assert await patient

    async def test_one_held_up_holds_up_nobody(self, bench: Bench, loop_db: AsyncDatabase) -> None:
        """A STOP that must wait delays no other STOP."""
        bench.guard_all(bench.campaign(ANNA))
        queue = _queue(loop_db)
        anna, bert = bench.opt_out(ANNA), bench.opt_out(BERT)
        held_up = asyncio.create_task(queue.enforced(anna, within=PATIENCE))
        assert await queue.enforced(bert, within=PATIENCE)
        held_up.cancel()

    async def test_a_broken_database_is_waited_for(
        self, bench: Bench, loop_db: AsyncDatabase
    ) -> None:
        """A round that fails is tried again while somebody waits."""
        table = _BrokenTable(failures=3)
        assert await _queue(loop_db, table).enforced(bench.opt_out(ANNA), within=PATIENCE)
        assert table.failures == 0

    async def test_a_database_that_stays_away(self, bench: Bench, loop_db: AsyncDatabase) -> None:
        """Without Postgres the answer is no, never yes."""
        queue = _queue(loop_db, _BrokenTable(failures=10**9))
        assert not await queue.enforced(bench.opt_out(ANNA), within=timedelta(milliseconds=100))

    async def test_a_repeated_webhook_waits_too(self, bench: Bench, loop_db: AsyncDatabase) -> None:
        """The same STOP again is the same event, and waits like the first."""
        campaign = bench.campaign(ANNA)
        bench.guard_all(campaign)
        event, again = bench.stop(sid="SM1"), bench.stop(sid="SM1")
        assert event is not None
        assert again == event
        queue = _queue(loop_db)
        waiting = [asyncio.create_task(queue.enforced(event, within=PATIENCE)) for _ in "ab"]
        assert not await queue.enforced(event, within=NO_PATIENCE)
        bench.put(campaign, "sent")
        assert all(await asyncio.gather(*waiting))


class TestFinishing:
    """The consumer's part."""

    async def test_what_was_left_is_finished(self, bench: Bench, loop_db: AsyncDatabase) -> None:
        """Stored and not enforced, whoever stored it: the consumer finishes it."""
        campaign = bench.campaign(ANNA, BERT)
        bench.guard(bench.due(campaign)[:1])
        for who in (ANNA, BERT):
            bench.opt_out(who)
        assert await ENFORCEMENT.finish_stored(loop_db) == 1
        bench.execute("UPDATE message SET state = 'sent' WHERE state = 'sending'")
        assert await ENFORCEMENT.finish_stored(loop_db) == 0
        assert bench.value("SELECT count(*) FROM enforcement WHERE enforced_at IS NULL") == 0


class TestInboundStops:
    """From a text to an opt-out."""

    def test_an_unknown_sender(self, bench: Bench) -> None:
        """A STOP to a number we do not know is kept, alerted, and suppresses tenant-wide."""
        bench.execute("UPDATE tenant SET stop_scope = 'sender'")
        event = bench.stop(to="+14155559999", sid="SM1")
        assert event is not None
        (entry,) = bench.execute("SELECT scope, reason FROM suppression")
        assert (entry.scope, entry.reason) == (0, "stop")
        assert bench.value("SELECT kind FROM alarm") == "inbound_unattributed"

    def test_alerted_once(self, bench: Bench) -> None:
        """A repeated webhook alerts nobody again."""
        for _ in range(3):
            bench.stop(to="+14155559999", sid="SM1")
        assert bench.value("SELECT count(*) FROM alarm") == 1

    def test_a_tenant_may_choose_one_sender(self, bench: Bench) -> None:
        """With the narrow scope a STOP covers the sender it was sent to."""
        sender = bench.sender_id(SENDER)
        bench.execute("UPDATE tenant SET stop_scope = 'sender'")
        bench.stop(sid="SM1")
        assert bench.value("SELECT scope FROM suppression") == sender

    def test_another_tenants_number(self, bench: Bench) -> None:
        """A STOP to a number of another tenant's is for the account's own tenant, and alerted."""
        bench.second_tenant()
        bench.campaign(ANNA, sender=OTHER_SENDER, tenant_id=OTHER_TENANT)
        bench.stop(to=OTHER_SENDER, sid="SM1")
        assert bench.value("SELECT tenant_id FROM suppression") == TENANT
        assert bench.value("SELECT count(*) FROM alarm") == 1

    def test_no_number(self, bench: Bench) -> None:
        """A text from something that is no number is kept and alerted."""
        assert bench.stop(from_="whatsapp:+14155552001", sid="SM1") is None
        assert bench.value("SELECT body FROM inbound") == "STOP"
        assert bench.value("SELECT count(*) FROM alarm") == 1

    def test_a_nul_in_the_body(self, bench: Bench) -> None:
        """A character Postgres cannot hold loses no STOP."""
        bench.sender_id(SENDER)
        assert bench.text("STOP\x00", sid="SM1", raw={"Body": "STOP\x00"}) is not None
        assert bench.is_suppressed()
