"""Who is next: shares by weight between tenants and campaigns, and transactional slices first."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sender.audience import from_iterable
from sender.campaigns import Campaigns, Plan
from sender.config import LEASE, Settings
from sender.credentials import Vault
from sender.errors import ConfigurationError, IdempotencyConflict
from sender.recovery import Kicker
from sender.storage import slices, tenants
from sender.storage.slices import SliceTable
from sender.tenancy import Tenancy
from tests.bench import ANNA, NOBODY, OTHER_TENANT, SENDER, TENANT, Bench, crowd

TABLE = SliceTable()


def _sender(number: int) -> str:
    return f"+1415556{number:04}"


def _sliced(bench: Bench, slices_wanted: int, *, sender: str, **facts: Any) -> int:
    """A running campaign of this many slices."""
    campaign = bench.campaign(ANNA, sender=sender, **facts)
    bench.execute("DELETE FROM slice WHERE campaign_id = :id", id=campaign)
    span = (bench.row(campaign).id,) * 2
    bench.db.run(slices.insert, campaign, [span] * slices_wanted)
    return campaign


@dataclass(kw_only=True)
class Turns:
    """A fleet whose turns last five seconds each, without the seconds."""

    bench: Bench
    worker: int
    #: Slices that are worked on, the longest first.
    working: list[int] = field(default_factory=list)

    def offer(self) -> list[int]:
        """Offer and take what there is room for; the campaigns."""
        offered = self.bench.db.run(TABLE.offer)
        for slice_id in offered:
            assert self.bench.db.run(TABLE.lease, slice_id, owner=self.worker, lease=LEASE)
        self.working += offered
        return self.campaigns(offered)

    def end(self, count: int = 1) -> None:
        """End the longest turns, five seconds later; what they worked on goes on waiting."""
        self.bench.execute("UPDATE tenant SET served_at = served_at - interval '5 seconds'")
        self.bench.execute("UPDATE campaign SET served_at = served_at - interval '5 seconds'")
        ended, self.working = self.working[:count], self.working[count:]
        self.bench.execute(
            "UPDATE slice SET owner = NULL, leased_until = NULL, offered_at = NULL "
            "WHERE id = ANY (:ids)",
            ids=ended,
        )

    def campaigns(self, slice_ids: Sequence[int]) -> list[int]:
        """Whose slices these are, in their order."""
        found = self.bench.execute("SELECT id, campaign_id FROM slice")
        owners = {row.id: row.campaign_id for row in found}
        return [owners[one] for one in slice_ids]

    def shares(self, rounds: int) -> Counter[int]:
        """How many turns each campaign gets in these rounds."""
        self.offer()
        had: Counter[int] = Counter()
        for _ in range(rounds):
            self.end()
            had.update(self.offer())
        return had


def _in_play(bench: Bench) -> Counter[int]:
    found = bench.execute(
        "SELECT campaign_id FROM slice WHERE done_at IS NULL AND offered_at IS NOT NULL"
    )
    return Counter(row.campaign_id for row in found)


class TestTenants:
    """Threads are shared between tenants by weight."""

    @pytest.fixture(autouse=True)
    def _two_tenants(self, bench: Bench) -> None:
        bench.second_tenant()

    def _three_to_one(self, bench: Bench) -> tuple[int, int]:
        bench.db.run(tenants.set_weight, TENANT, 3.0)
        heavy = _sliced(bench, 60, sender=_sender(1))
        light = _sliced(bench, 60, sender=_sender(2), tenant_id=OTHER_TENANT)
        return heavy, light

    def test_three_to_one_from_the_start(self, bench: Bench) -> None:
        """A tenant that weighs three times as much has three times the threads."""
        heavy, light = self._three_to_one(bench)
        with bench.live_worker(slices=8):
            bench.db.run(TABLE.offer)
        assert _in_play(bench) == {heavy: 6, light: 2}

    @pytest.mark.parametrize("threads", [1, 4])
    def test_three_to_one_over_many_offers(self, bench: Bench, threads: int) -> None:
        """It has three times the turns, too, also where there is one thread for both."""
        heavy, light = self._three_to_one(bench)
        with bench.live_worker(slices=threads) as worker:
            had = Turns(bench=bench, worker=worker).shares(48)
        assert 2 <= had[heavy] / had[light] <= 3.5

    def test_many_campaigns_gain_nothing(self, bench: Bench) -> None:
        """A tenant with five campaigns has no more threads or turns than one with a single one."""
        many = [_sliced(bench, 20, sender=_sender(n)) for n in range(5)]
        single = _sliced(bench, 60, sender=_sender(9), tenant_id=OTHER_TENANT)
        with bench.live_worker(slices=6) as worker:
            turns = Turns(bench=bench, worker=worker)
            turns.offer()
            assert _in_play(bench)[single] == 3
            turns.end(len(turns.working))
            bench.execute("UPDATE worker SET slices = 1")
            had = turns.shares(24)
        assert 10 <= had[single] <= 14
        assert all(had[campaign] >= 2 for campaign in many)

    def test_whoever_is_alone_has_everything(self, bench: Bench) -> None:
        """Whatever the weights, threads that the others cannot use are used."""
        bench.db.run(tenants.set_weight, TENANT, 1000.0)
        heavy = _sliced(bench, 2, sender=_sender(1))
        light = _sliced(bench, 60, sender=_sender(2), tenant_id=OTHER_TENANT)
        with bench.live_worker(slices=9):
            bench.db.run(TABLE.offer)
        assert _in_play(bench) == {heavy: 2, light: 7}

    def test_a_newcomer_does_not_wait_for_all_others(self, bench: Bench) -> None:
        """Where many have had their turn, who had none yet is next."""
        for n in range(8):
            _sliced(bench, 9, sender=_sender(n), pace=1)
        with bench.live_worker(slices=2) as worker:
            turns = Turns(bench=bench, worker=worker)
            turns.shares(12)
            newcomer = bench.campaign(ANNA, sender=_sender(9))
            turns.end()
            assert turns.offer() == [newcomer]


class TestCampaigns:
    """A tenant's threads are shared between its campaigns by weight."""

    def test_two_to_one(self, bench: Bench) -> None:
        """A campaign that weighs twice as much has twice the threads."""
        heavy = _sliced(bench, 20, sender=_sender(1), weight=2)
        light = _sliced(bench, 20, sender=_sender(2))
        with bench.live_worker(slices=6):
            bench.db.run(TABLE.offer)
        assert _in_play(bench) == {heavy: 4, light: 2}

    def test_at_one_sender(self, bench: Bench) -> None:
        """Campaigns of one slow sender have its place in turn, the heavier more often."""
        heavy = _sliced(bench, 60, sender=SENDER, pace=1, weight=2)
        light = _sliced(bench, 60, sender=SENDER, pace=1)
        with bench.live_worker(slices=6) as worker:
            had = Turns(bench=bench, worker=worker).shares(24)
        assert 1 <= had[heavy] / had[light] <= 2.5
        assert had.total() == 24


WEIGHTS = st.sampled_from([0.5, 1.0, 2.0, 5.0])


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    threads=st.integers(1, 4),
    weights=st.lists(st.tuples(WEIGHTS, WEIGHTS, st.booleans()), min_size=2, max_size=6),
)
def test_nobody_starves(
    bench: Bench, threads: int, weights: list[tuple[float, float, bool]]
) -> None:
    """Whatever the weights, every thread works while anything waits, and everybody has turns."""
    bench.execute("TRUNCATE campaign, message, sender, worker CASCADE")
    bench.execute("DELETE FROM tenant WHERE id > 1")
    running = set()
    for n, (tenant_weight, weight, slow) in enumerate(weights):
        bench.execute(
            "INSERT INTO tenant (id, name, weight) VALUES (:id, :name, :weight)",
            id=10 + n,
            name=f"tenant {n}",
            weight=tenant_weight,
        )
        facts = {"pace": 1 if slow else 1000, "weight": weight, "tenant_id": 10 + n // 2}
        running.add(_sliced(bench, 5, sender=_sender(n), **facts))
    can_work = sum(1 if slow else 5 for _, _, slow in weights)
    with bench.live_worker(slices=threads) as worker:
        turns = Turns(bench=bench, worker=worker)
        had = Counter(turns.offer())
        # Whoever waits with the least weight has its turn when all others had theirs, ten times
        # as often as it at each of the two levels at most.
        for _ in range(200):
            if set(had) == running:
                break
            assert len(turns.working) == min(threads, can_work)
            turns.end()
            had.update(turns.offer())
    assert set(had) == running


class TestTransactional:
    """Transactional slices: their own threads, the first place at their sender."""

    def test_reserved_threads(self, bench: Bench) -> None:
        """Bulk slices never have the reserved threads; transactional ones have them at once."""
        bulk = _sliced(bench, 20, sender=_sender(1))
        with bench.live_worker(slices=7) as worker:
            bench.execute("UPDATE worker SET reserved = 2")
            turns = Turns(bench=bench, worker=worker)
            assert Counter(turns.offer()) == {bulk: 5}
            code = _sliced(bench, 2, sender=_sender(2), transactional=True)
            assert turns.offer() == [code, code]
            assert turns.offer() == []

    def test_a_reserve_is_a_least(self, bench: Bench) -> None:
        """Transactional slices have the other threads, too, where nobody else wants them."""
        _sliced(bench, 20, sender=_sender(1), transactional=True)
        with bench.live_worker(slices=7):
            bench.execute("UPDATE worker SET reserved = 2")
            assert len(bench.db.run(TABLE.offer)) == 7

    def test_first_without_a_reserve(self, bench: Bench) -> None:
        """Where no thread is reserved, a transactional slice has the first that is free."""
        _sliced(bench, 20, sender=_sender(1), weight=1000)
        with bench.live_worker(slices=1) as worker:
            turns = Turns(bench=bench, worker=worker)
            turns.offer()
            code = _sliced(bench, 1, sender=_sender(2), transactional=True)
            turns.end()
            assert turns.offer() == [code]

    def test_a_flood_is_its_own_tenants(self, bench: Bench) -> None:
        """Who calls everything transactional has the reserve and its share, and no more."""
        bench.second_tenant()
        flood = _sliced(bench, 60, sender=_sender(1), transactional=True)
        bulk = _sliced(bench, 60, sender=_sender(2), tenant_id=OTHER_TENANT)
        with bench.live_worker(slices=8):
            bench.execute("UPDATE worker SET reserved = 2")
            bench.db.run(TABLE.offer)
        assert _in_play(bench) == {flood: 4, bulk: 4}

    def test_a_flood_does_not_delay_another_tenants_code(self, bench: Bench) -> None:
        """Reserved threads are shared between tenants, whatever bulk slices they have in play."""
        bench.second_tenant()
        _sliced(bench, 60, sender=_sender(1), tenant_id=OTHER_TENANT)
        with bench.live_worker(slices=4) as worker:
            bench.execute("UPDATE worker SET reserved = 1")
            turns = Turns(bench=bench, worker=worker)
            turns.offer()
            _sliced(bench, 60, sender=_sender(2), transactional=True)
            code = _sliced(bench, 1, sender=_sender(3), tenant_id=OTHER_TENANT, transactional=True)
            turns.offer()
            turns.end()
            seen = turns.offer()
            while turns.working and code not in seen:
                turns.end()
                seen += turns.offer()
                assert len(seen) <= 4
            assert code in seen

    def test_at_a_busy_sender(self, bench: Bench) -> None:
        """It has a place beside a bulk slice's only one, which is not offered again before it."""
        bulk = _sliced(bench, 9, sender=SENDER, pace=1)
        with bench.live_worker(slices=4) as worker:
            turns = Turns(bench=bench, worker=worker)
            assert turns.offer() == [bulk]
            code = _sliced(bench, 2, sender=SENDER, pace=1, transactional=True)
            assert turns.offer() == [code]
            turns.end()
            assert turns.offer() == []
            bench.execute("UPDATE slice SET done_at = now() WHERE campaign_id = :id", id=code)
            assert turns.offer() == [bulk]


class TestMakingWay:
    """A bulk run ends at once for a transactional slice, if that helps it."""

    def _makes_way(self, bench: Bench, campaign: int, sender: str) -> bool:
        found = bench.db.run(
            TABLE.others_wait, campaign_id=campaign, sender_id=bench.sender_id(sender)
        )
        return found.transactional

    def test_at_its_sender(self, bench: Bench) -> None:
        """It does while one waits or is worked on at its sender, whose places are short."""
        bulk = _sliced(bench, 9, sender=SENDER, pace=1)
        with bench.live_worker(slices=4) as worker:
            turns = Turns(bench=bench, worker=worker)
            turns.offer()
            assert not self._makes_way(bench, bulk, SENDER)
            code = _sliced(bench, 1, sender=SENDER, pace=1, transactional=True)
            assert self._makes_way(bench, bulk, SENDER)
            assert turns.offer() == [code]
            assert self._makes_way(bench, bulk, SENDER)
            assert not self._makes_way(bench, code, SENDER)
            found = bench.db.run(
                TABLE.others_wait, campaign_id=code, sender_id=bench.sender_id(SENDER)
            )
            assert not found.any

    def test_a_sender_with_places(self, bench: Bench) -> None:
        """It does not at a sender that is fast enough for both."""
        bulk = _sliced(bench, 1, sender=SENDER, pace=1000)
        with bench.live_worker(slices=4) as worker:
            Turns(bench=bench, worker=worker).offer()
            _sliced(bench, 1, sender=SENDER, pace=1000, transactional=True)
            assert not self._makes_way(bench, bulk, SENDER)

    def test_for_want_of_a_thread(self, bench: Bench) -> None:
        """It does when no thread is free or reserved; not while the reserve is worked on."""
        bulk = _sliced(bench, 9, sender=_sender(1))
        with bench.live_worker(slices=3) as worker:
            turns = Turns(bench=bench, worker=worker)
            turns.offer()
            _sliced(bench, 3, sender=_sender(2), transactional=True)
            assert self._makes_way(bench, bulk, _sender(1))
            turns.end()
            bench.execute("UPDATE worker SET reserved = 1")
            turns.offer()
            assert not self._makes_way(bench, bulk, _sender(1))


class TestExceeding:
    """A process with its share of bulk slices, and a hint for one more."""

    def test_while_others_have_fewer(self, bench: Bench) -> None:
        """It takes one more while the fleet's bulk slices leave the reserve alone."""
        _sliced(bench, 9, sender=_sender(1))
        with bench.live_worker(slices=4) as worker:
            bench.execute("UPDATE worker SET reserved = 1")
            turns = Turns(bench=bench, worker=worker)
            turns.offer()
            turns.end()
            (hint,) = bench.db.run(TABLE.offer)
            assert bench.db.run(TABLE.may_exceed, hint)

    def test_an_old_hint(self, bench: Bench) -> None:
        """Else it takes none; that slice is offered again when there is room."""
        _sliced(bench, 9, sender=_sender(1))
        with bench.live_worker(slices=4) as worker:
            bench.execute("UPDATE worker SET reserved = 1")
            turns = Turns(bench=bench, worker=worker)
            turns.offer()
            old = bench.value("SELECT max(id) FROM slice")
            bench.execute("UPDATE slice SET offered_at = now() WHERE id = :id", id=old)
            assert not bench.db.run(TABLE.may_exceed, old)
            assert bench.value("SELECT offered_at IS NULL FROM slice WHERE id = :id", id=old)

    def test_what_is_worked_on_stays_so(self, bench: Bench) -> None:
        """A repeated hint takes nothing from whoever works on the slice."""
        _sliced(bench, 9, sender=_sender(1))
        with bench.live_worker(slices=4) as worker:
            turns = Turns(bench=bench, worker=worker)
            turns.offer()
            assert not bench.db.run(TABLE.may_exceed, turns.working[0])
            assert bench.value("SELECT count(*) FROM slice WHERE owner = :w", w=worker) == 4


def test_hints_have_their_own_queue(bench: Bench) -> None:
    """A transactional slice's hint is published apart from the others'."""
    bulk = _sliced(bench, 1, sender=_sender(1))
    code = _sliced(bench, 1, sender=_sender(2), transactional=True)
    hints: list[int] = []
    first: list[int] = []
    kicker = Kicker(
        db=bench.db, slices=TABLE, publish=hints.append, publish_transactional=first.append
    )
    with bench.live_worker():
        assert kicker.kick() == 2
    turns = Turns(bench=bench, worker=NOBODY)
    assert (turns.campaigns(hints), turns.campaigns(first)) == ([bulk], [code])


class TestPlans:
    """How it is asked for."""

    def _plan(self, **facts: Any) -> Plan:
        audience = from_iterable([f"+{number}" for number in crowd(2)])
        return Plan(name="S", sender=SENDER, body="Hi", audience=audience, **facts)

    @pytest.mark.parametrize("weight", [0, -1, 0.0001, 1001, float("nan"), float("inf")])
    def test_no_weight(self, weight: float) -> None:
        """What is no weight is refused with what would be one."""
        with pytest.raises(ValueError, match=r"0\.001 to 1000"):
            self._plan(weight=weight)

    def test_they_are_part_of_the_plan(self, bench: Bench) -> None:
        """A key used again with another weight or urgency is another plan."""
        campaigns = Campaigns(db=bench.db, tenant_id=TENANT)
        key = {"idempotency_key": "k"}
        created = campaigns.create(self._plan(transactional=True, weight=2, **key))
        assert campaigns.create(self._plan(transactional=True, weight=2.0, **key)) == created
        for facts in ({"weight": 2.0}, {"transactional": True}, {}):
            with pytest.raises(IdempotencyConflict):
                campaigns.create(self._plan(**facts, **key))

    def test_a_tenants_weight(self, bench: Bench) -> None:
        """The operator sets it; what is none is refused."""
        tenancy = Tenancy(db=bench.db, vault=Vault(keys=()), accounts=None)  # type: ignore[arg-type]
        tenancy.set_weight("default", 2.5)
        assert [tenant.weight for tenant in tenancy.every()] == [2.5]
        with pytest.raises(ConfigurationError, match=r"0\.001 to 1000"):
            tenancy.set_weight("default", 0)


@pytest.mark.parametrize(("threads", "slices_", "reserved"), [(2, 1, 0), (3, 2, 1), (8, 7, 2)])
def test_the_reserve_of_a_worker(threads: int, slices_: int, reserved: int) -> None:
    """One thread is recovery's, and a quarter of the others is for transactional slices."""
    found = Settings.from_variables(
        {"DATABASE_URL": "x", "REDIS_URL": "redis://x", "SENDER_THREADS": str(threads)}
    )
    assert (found.slices, found.reserved_slices) == (slices_, reserved)
