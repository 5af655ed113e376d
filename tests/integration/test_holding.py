"""Holds that people place: they stop what they are on at the next window, and are kept."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sender.campaigns import Campaigns
from sender.domain.consent import PLATFORM
from sender.domain.message import OutboundText
from sender.errors import HoldRefused, NotFound, WrongState
from sender.holding import Holds
from sender.sending import WINDOW
from sender.storage import high_water
from sender.storage.holds import Hold, Level, place
from tests.bench import (
    ANNA,
    BERT,
    OTHER_SENDER,
    OTHER_TENANT,
    SENDER,
    TENANT,
    Bench,
    crowd,
)
from tests.pump_rig import Rig

BY = {"author": "ann", "reason": "carrier outage"}
#: What each level's hold is on.
LEVELS: dict[str, Callable[[int], dict[str, Any]]] = {
    "all": lambda _: {"everything": True},
    "tenant": lambda _: {"tenant": "default"},
    "sender": lambda _: {"sender": SENDER},
    "campaign": lambda campaign: {"campaign": campaign},
}


@pytest.fixture
def operator(bench: Bench) -> Holds:
    """The operator's holds."""
    return Holds(db=bench.db, tenant_id=PLATFORM)


@pytest.fixture
def holds(bench: Bench) -> Holds:
    """The default tenant's."""
    return Holds(db=bench.db, tenant_id=TENANT)


class TestInForce:
    """What a hold stops, and when."""

    @pytest.mark.parametrize("level", LEVELS)
    async def test_it_acts_at_the_next_window(self, rig: Rig, level: str) -> None:
        """A hold placed while a campaign runs: nothing guarded after it is begun, at any level."""
        people = crowd(200)
        campaign = rig.bench.campaign(*people)
        on, holds = LEVELS[level](campaign), Holds(db=rig.bench.db, tenant_id=PLATFORM)
        rig.gateway.begun = lambda _: holds.place(**BY, **on)
        await rig.work()
        begun = len(rig.gateway.sent)
        # The window of the first request, which placed it, and one whose guard was under way.
        assert 0 < begun <= 2 * WINDOW
        rig.gateway.begun = lambda _: None
        await rig.work()
        assert len(rig.gateway.sent) == begun
        assert holds.release(**BY, **on) == 1
        await rig.work()
        assert sorted(rig.gateway.recipients) == people

    async def test_others_go_on(self, rig: Rig, holds: Holds) -> None:
        """A hold on one campaign or sender stops no other."""
        rig.bench.campaign(ANNA)
        held = rig.bench.campaign(BERT, sender=OTHER_SENDER)
        holds.place(**BY, sender=OTHER_SENDER)
        await rig.work()
        assert rig.gateway.recipients == [ANNA]
        holds.release(**BY, sender=OTHER_SENDER)
        holds.place(**BY, campaign=held)
        await rig.work()
        assert rig.gateway.recipients == [ANNA]

    @pytest.mark.parametrize("level", LEVELS)
    def test_none_passes_the_guard(self, bench: Bench, operator: Holds, level: str) -> None:
        """From a hold's commit on no guard passes; lifted, it does."""
        campaign = bench.campaign(ANNA)
        on = LEVELS[level](campaign)
        operator.place(**BY, **on)
        assert not bench.guard_all(campaign)
        operator.release(**BY, **on)
        assert set(bench.guard_all(campaign)) == {ANNA}


class TestRecord:
    """Who, why, when: kept."""

    def test_placing_and_lifting_are_kept(self, bench: Bench, holds: Holds) -> None:
        """Each placing and each lifting has its author and reason, and stays on record."""
        campaign = bench.campaign(ANNA)
        assert holds.place(campaign=campaign, author="ann", reason="typo")
        assert not holds.place(campaign=campaign, author="bob", reason="typo")
        (held,) = holds.in_force()
        assert (held.name, held.reason, held.author) == ("Spring", "typo", "ann")
        assert holds.release(campaign=campaign, author="bob", reason="no typo") == 1
        assert holds.in_force() == []
        (kept,) = holds.history()
        assert (kept.released_by, kept.release_reason) == ("bob", "no typo")
        assert kept.released_at is not None
        assert kept.held_at == held.held_at

    def test_one_reason_alone(self, bench: Bench, holds: Holds) -> None:
        """A hold can be lifted by its reason, and what else stops the same thing stays."""
        campaign = bench.campaign(ANNA)
        for reason in ("refused_20003", "the shop is closed"):
            holds.place(sender=SENDER, author="ann", reason=reason)
        assert holds.release(**BY, sender=SENDER, only="refused_20003") == 1
        assert [one.reason for one in holds.in_force()] == ["the shop is closed"]
        assert not bench.guard_all(campaign)
        assert holds.release(**BY, sender=SENDER, only="refused_20003") == 0

    def test_a_recoverys_hold(self, bench: Bench, operator: Holds) -> None:
        """Of a database that is older than known only `sender recover` lifts the hold."""
        bench.db.run(high_water.hold, bench.db.run(high_water.read), "older")
        operator.place(**BY, everything=True)
        assert operator.release(**BY, everything=True) == 1
        (left,) = operator.in_force()
        assert left.reason == "database_older"
        with pytest.raises(HoldRefused, match="sender recover"):
            operator.release(**BY, everything=True, only="database_older")
        with pytest.raises(HoldRefused, match="sender recover"):
            operator.place(author="ann", reason="database_older", everything=True)

    @pytest.mark.parametrize("missing", ["author", "reason"])
    def test_author_and_reason(self, holds: Holds, missing: str) -> None:
        """Neither is placed or lifted without an author and a reason."""
        signed = {**BY, missing: " "}
        for act in (holds.place, holds.release):
            with pytest.raises(HoldRefused, match="author"):
                act(**signed, sender=SENDER)

    @pytest.mark.parametrize("on", [{}, {"sender": SENDER, "campaign": 1}])
    def test_on_one_thing(self, holds: Holds, on: dict[str, Any]) -> None:
        """A hold is on exactly one thing."""
        with pytest.raises(HoldRefused, match="name one"):
            holds.place(**BY, **on)

    def test_only_what_is_there(self, holds: Holds) -> None:
        """A misspelt campaign, sender or tenant is told, and nothing is held."""
        for on in ({"sender": OTHER_SENDER}, {"campaign": 99}, {"tenant": "nobody"}):
            with pytest.raises(NotFound, match=r"there is no"):
                holds.place(**BY, **on)  # type: ignore[arg-type]  # one of each kind
        assert holds.in_force() == []


class TestTenants:
    """Whose holds."""

    def test_only_the_operator_holds_everything(self, holds: Holds, operator: Holds) -> None:
        """The kill switch is the operator's; a tenant sees it."""
        with pytest.raises(HoldRefused, match="operator"):
            holds.place(**BY, everything=True)
        operator.place(**BY, everything=True)
        assert [one.level for one in holds.in_force()] == ["all"]
        with pytest.raises(HoldRefused, match="operator"):
            holds.release(**BY, everything=True)

    @pytest.mark.parametrize("level", ["tenant", "sender", "campaign"])
    @pytest.mark.parametrize("tenant_first", [True, False])
    def test_only_the_operator_lifts_the_operators(
        self,
        bench: Bench,
        holds: Holds,
        operator: Holds,
        level: str,
        tenant_first: bool,  # noqa: FBT001  # a parameter of the test
    ) -> None:
        """A tenant sees what the operator holds of it, and does not lift it: whoever was first."""
        campaign = bench.campaign(ANNA)
        on = LEVELS[level](campaign)
        if tenant_first:
            assert holds.place(**BY, **on)
        assert operator.place(**BY, **on) is not tenant_first
        assert not holds.place(**BY, **on)
        holds.place(author="ann", reason="mine", **on)
        assert holds.release(**BY, **on) == 1
        assert holds.release(**BY, **on, only=BY["reason"]) == 0
        (left,) = holds.in_force()
        assert left.by_operator
        assert not bench.guard_all(campaign)
        assert operator.release(**BY, **on) == 1
        assert set(bench.guard_all(campaign)) == {ANNA}

    def test_the_operator_lifts_a_tenants(
        self, bench: Bench, holds: Holds, operator: Holds
    ) -> None:
        """What a tenant holds, and what the program does, both of them may lift."""
        campaign = bench.campaign(ANNA)
        holds.place(**BY, campaign=campaign)
        assert operator.release(**BY, campaign=campaign) == 1
        refused = Hold(level=Level.TENANT, subject=TENANT, reason="refused_20003", detail="")
        bench.db.run(place, refused)
        assert holds.release(**BY, tenant="default") == 1

    def test_nobody_holds_another_tenant(self, bench: Bench, holds: Holds) -> None:
        """What is another tenant's is not there to be held, seen or released."""
        bench.second_tenant()
        theirs = bench.campaign(ANNA, sender=OTHER_SENDER, tenant_id=OTHER_TENANT)
        others = Holds(db=bench.db, tenant_id=OTHER_TENANT)
        for on in ({"campaign": theirs}, {"sender": OTHER_SENDER}, {"tenant": "other"}):
            with pytest.raises(NotFound):
                holds.place(**BY, **on)  # type: ignore[arg-type]  # one of each kind
            others.place(**BY, **on)  # type: ignore[arg-type]
            with pytest.raises(NotFound):
                holds.release(**BY, **on)  # type: ignore[arg-type]
        assert holds.in_force() == []
        assert len(others.in_force()) == 3


#: After so many requests of a campaign, somebody does this.
STEPS = st.lists(
    st.tuples(
        st.integers(0, 119),
        st.sampled_from(["pause", "resume", "hold", "release", "cancel"]),
    ),
    max_size=8,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
async def test_steering_at_any_moment(rig: Rig, steps: list[tuple[int, str]]) -> None:
    """Paused, held, resumed and canceled anywhere: each is sent once, or canceled and never."""
    people, bench = crowd(120), rig.bench
    campaign = bench.campaign(*people)
    rig.gateway.sent.clear()
    tasks: list[asyncio.Task[None]] = []

    def begun(_: OutboundText) -> None:
        done = len(rig.gateway.sent)
        due = [verb for at, verb in steps if at == done]
        # In threads: a cancel waits for guards, which this event loop must end meanwhile.
        tasks.extend(
            asyncio.create_task(asyncio.to_thread(_steer, bench, campaign, v)) for v in due
        )

    rig.gateway.begun = begun
    await rig.work()
    await asyncio.gather(*tasks)
    rig.gateway.begun = lambda _: None
    for verb in ("release", "resume"):
        _steer(bench, campaign, verb)
    await rig.work()
    states = bench.states(campaign)
    assert sorted(set(rig.gateway.recipients)) == sorted(rig.gateway.recipients)
    assert {who for who, state in states.items() if state == "sent"} == set(rig.gateway.recipients)
    canceled = bench.value("SELECT state FROM campaign WHERE id = :id", id=campaign) == "CANCELED"
    assert set(states.values()) <= ({"sent", "canceled"} if canceled else {"sent"})


def _steer(bench: Bench, campaign: int, verb: str) -> None:
    """Do it, if its state allows that."""
    campaigns = Campaigns(db=bench.db, tenant_id=TENANT)
    holds = Holds(db=bench.db, tenant_id=TENANT)
    match verb:
        case "hold":
            holds.place(**BY, campaign=campaign)
        case "release":
            holds.release(**BY, campaign=campaign)
        case _:
            with suppress(WrongState):
                getattr(campaigns, verb)(campaign)
