"""Opt-outs told to Twilio: over the wire to the simulator, and through every kind of answer."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from simulator_rig import CONFIG, NUMBER, SERVICE, Rig, simulated

from sender.domain.consent import ReasonClass
from sender.domain.pushing import ITEMS_A_CALL, ItemAnswer, OptOutItem
from sender.errors import ProviderBusy, ProviderUnavailable
from sender.gateway import ConsentsGateway, Credentials, GatewayFactory
from sender.pushing import Pushes
from sender.storage.database import AsyncDatabase
from tests.bench import ANNA, BERT, OTHER_TENANT, TENANT, Bench, crowd

CREDENTIALS = Credentials.from_auth_token(CONFIG.account_sid, CONFIG.auth_token)


@dataclass
class Twilio:
    """Keeps what it is told; answers what it is told to, then that all is well."""

    answers: list[Exception | str] = field(default_factory=list)
    told: list[OptOutItem] = field(default_factory=list)
    calls: int = 0

    async def opt_out(self, items: Sequence[OptOutItem]) -> list[ItemAnswer]:
        """Answer one call."""
        self.calls += 1
        answer = self.answers.pop(0) if self.answers else ""
        if isinstance(answer, Exception):
            raise answer
        self.told += items
        return [ItemAnswer(correlation_id=one.correlation_id, error=answer) for one in items]


@dataclass
class Waits:
    """Time that passes at once."""

    seconds: list[float] = field(default_factory=list)

    async def __call__(self, seconds: float) -> None:
        """Note a wait."""
        self.seconds.append(seconds)


@pytest.fixture
def twilio() -> Twilio:
    """A Twilio that takes everything."""
    return Twilio()


@pytest.fixture
def waits() -> Waits:
    """The waits of a push."""
    return Waits()


@pytest.fixture
def pushes(loop_db: AsyncDatabase, twilio: Twilio, waits: Waits) -> Pushes:
    """The default tenant's pushes."""
    return Pushes(db=loop_db, tenant_id=TENANT, consents=twilio, sleep=waits)


@asynccontextmanager
async def _over_the_wire(db: AsyncDatabase, rig: Rig, waits: Waits) -> AsyncIterator[Pushes]:
    async with GatewayFactory.open(
        status_callback_base="http://127.0.0.1:1", base_url=rig.url
    ) as factory:
        consents = ConsentsGateway(factory.client(CREDENTIALS))
        yield Pushes(db=db, tenant_id=TENANT, consents=consents, sleep=waits)


async def test_what_was_told_blocks(bench: Bench, loop_db: AsyncDatabase, waits: Waits) -> None:
    """Told over the wire, an opt-out blocks at Twilio as a STOP does."""
    bench.sender_id(NUMBER)
    bench.sender_id(SERVICE)
    bench.opt_out(ANNA)
    async with simulated() as rig, _over_the_wire(loop_db, rig, waits) as pushes:
        report = await pushes.push()
        assert (report.told, report.refused, report.left_over) == (2, {}, 0)
        refused = await rig.refused(f"+{ANNA}")
        assert refused.code == 21610
        assert [entry["http_status"] for entry in await rig.log("consents")] == [201]


async def test_a_sender_that_twilio_does_not_know(
    bench: Bench, loop_db: AsyncDatabase, waits: Waits
) -> None:
    """An item that Twilio refuses is counted with its reason, and the others are taken."""
    bench.sender_id(NUMBER)
    bench.sender_id("+15559990000")
    bench.opt_out(ANNA)
    async with simulated() as rig, _over_the_wire(loop_db, rig, waits) as pushes:
        report = await pushes.push()
    assert (report.told, report.refused) == (1, {"INVALID_SENDER_ID": 1})


async def test_nobody_there(bench: Bench, loop_db: AsyncDatabase, waits: Waits) -> None:
    """Without an answer nothing is taken for told, and the error says so."""
    bench.sender_id(NUMBER)
    bench.opt_out(ANNA)
    async with simulated() as rig:
        pass  # it has gone: its port refuses connections
    async with _over_the_wire(loop_db, rig, waits) as pushes:
        with pytest.raises(ProviderUnavailable):
            await pushes.push()
        assert (await pushes.plan()).items == {NUMBER: 1}


async def test_a_dry_run(bench: Bench, pushes: Pushes, twilio: Twilio) -> None:
    """The plan counts calls and minutes, and tells nobody anything."""
    bench.sender_id(NUMBER)
    for who in crowd(60):
        bench.opt_out(who)
    plan = await pushes.plan()
    assert (plan.items, plan.calls, plan.minutes) == ({NUMBER: 60}, 3, 1)
    assert twilio.calls == 0
    assert bench.value("SELECT count(*) FROM consent_push") == 0


async def test_in_batches_and_once(
    bench: Bench, pushes: Pushes, twilio: Twilio, waits: Waits
) -> None:
    """Twenty-five at a call, a hundred calls a minute; what was told is not told again."""
    bench.sender_id(NUMBER)
    for who in crowd(60):
        bench.opt_out(who)
    report = await pushes.push()
    assert (report.told, twilio.calls) == (60, 3)
    assert waits.seconds == [0.6] * 3
    assert (await pushes.push()).told == 0
    assert twilio.calls == 3
    assert len({one.correlation_id for one in twilio.told}) == 60
    assert {len(one.correlation_id) for one in twilio.told} == {32}


async def test_a_newer_opt_out_is_told_again(bench: Bench, pushes: Pushes, twilio: Twilio) -> None:
    """A person who opts out anew is told anew, under another id."""
    bench.sender_id(NUMBER)
    bench.opt_out(ANNA)
    await pushes.push()
    bench.opt_out(ANNA, reason=ReasonClass.COMPLAINT)
    await pushes.push()
    first, second = twilio.told
    assert first.correlation_id != second.correlation_id
    assert (first.source, second.source) == ("opt-out-message", "offline")


async def test_whom_it_tells_of_what(bench: Bench, pushes: Pushes, twilio: Twilio) -> None:
    """One sender's opt-out is told for it alone; names, doubts, pool members, others' are not."""
    mine, service = bench.sender_id(NUMBER), bench.sender_id(SERVICE)
    bench.sender_id("Acme")
    pooled = bench.sender_id("+15557770009")
    bench.execute("INSERT INTO sender_scope VALUES (:n, :s)", n=pooled, s=service)
    bench.opt_out(ANNA, scope=mine)
    bench.opt_out(BERT)
    bench.opt_out(crowd(1)[0], reason=ReasonClass.REVIEW)
    bench.opt_out(crowd(2)[1], tenant_id=OTHER_TENANT)
    await pushes.push()
    assert {(one.sender, one.recipient) for one in twilio.told} == {
        (NUMBER, ANNA),
        (NUMBER, BERT),
        (SERVICE, BERT),
    }


async def test_too_many_calls(bench: Bench, pushes: Pushes, twilio: Twilio, waits: Waits) -> None:
    """A 429 is waited out, and the call made again."""
    bench.sender_id(NUMBER)
    bench.opt_out(ANNA)
    twilio.answers = [ProviderBusy(timedelta(seconds=7))]
    assert (await pushes.push()).told == 1
    assert waits.seconds == [0.6, 7, 0.6]


async def test_twilios_own_fault(bench: Bench, pushes: Pushes, twilio: Twilio) -> None:
    """Items that Twilio failed on are told again a few times, then left for the next push."""
    bench.sender_id(NUMBER)
    bench.opt_out(ANNA)
    twilio.answers = ["INTERNAL_SERVER_ERROR"] * 3
    report = await pushes.push()
    assert (report.told, report.left_over, twilio.calls) == (0, 1, 3)
    assert (await pushes.push()).told == 1


async def test_broken_off_it_goes_on(bench: Bench, pushes: Pushes, twilio: Twilio) -> None:
    """What was told before a failure is kept: the next push tells the rest."""
    bench.sender_id(NUMBER)
    people = crowd(ITEMS_A_CALL + 5)
    for who in people:
        bench.opt_out(who)
    twilio.answers = ["", ProviderUnavailable("gone")]
    with pytest.raises(ProviderUnavailable):
        await pushes.push()
    assert (await pushes.push()).told == 5
    assert sorted(one.recipient for one in twilio.told) == people
