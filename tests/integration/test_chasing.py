"""Messages whose final callback did not come: Twilio is asked, and believed like the callback."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from simulator_rig import CONFIG, SERVICE, simulated

from sender.chasing import Chaser, ProviderLogs
from sender.domain.message import OutboundText
from sender.domain.outcome import Accepted
from sender.domain.provider import MessageRecord
from sender.errors import ProviderUnavailable
from sender.gateway import NOT_PASSED_ON, Credentials, TwilioGateway, callback_verdict
from sender.receipts import Receipts
from sender.storage.database import AsyncDatabase
from tests.bench import (
    ACCOUNT,
    ANNA,
    BERT,
    CARL,
    ENFORCEMENT,
    OTHER_ACCOUNT,
    OTHER_TENANT,
    SENDER,
    Bench,
    crowd,
    new_sid,
)

PATIENCE = timedelta(hours=3)


@dataclass
class _Provider:
    """Twilio's log: what it says of each recipient's message."""

    status: dict[int, tuple[str, int | None]] = field(default_factory=dict)
    away: bool = False
    account: str = ACCOUNT
    asked: list[str] = field(default_factory=list)

    async def of(self, _tenant_id: int) -> "_Provider":
        """Every tenant's."""
        return self

    async def fetch(self, sid: str) -> MessageRecord | None:
        """Its record, if there is one."""
        self.asked.append(sid)
        if self.away:
            raise ProviderUnavailable("away")
        person = next((one for one in self.status if new_sid(one) == sid), None)
        if person is None:
            return None
        status, code = self.status[person]
        return MessageRecord(
            sid=sid,
            account_sid=self.account,
            direction="outbound-api",
            from_=SENDER,
            to=f"+{person}",
            body="",
            status=status,
            error_code=code,
            date_created=datetime.now(UTC),
            service_sid=None,
            num_media=0,
            verdict=callback_verdict(status, code, toll_free=False),
        )


@dataclass
class _Cache:
    """The Redis set, as far as it is written to."""

    added: list[int] = field(default_factory=list)

    async def add(self, entries: object) -> None:
        """Keep whom."""
        self.added += [one.recipient for one in entries]  # type: ignore[attr-defined]


Chase = Callable[..., Chaser]


@pytest.fixture
def chaser(bench: Bench, loop_db: AsyncDatabase) -> Chase:
    """One that asks this provider."""

    def build(provider: ProviderLogs, *, per_minute: int = 100, **others: object) -> Chaser:
        parts = {"cache": _Cache(), "patience": PATIENCE} | others
        return Chaser(
            db=loop_db,
            providers=provider,
            receipts=Receipts(messages=bench.messages, enforcement=ENFORCEMENT),
            per_minute=per_minute,
            kept=NOT_PASSED_ON,
            **parts,  # type: ignore[arg-type]
        )

    return build


def _sent(bench: Bench, *people: int, ago: timedelta = PATIENCE, **facts: object) -> int:
    """A campaign whose messages Twilio took that long ago, and a moment."""
    campaign = bench.campaign(*people, **facts)
    bench.guard_all(campaign)
    for person in people:
        bench.put(campaign, "sent", person, sid=new_sid(person), provider_status="queued")
    at = datetime.now(UTC) - ago - timedelta(seconds=1)
    bench.execute("UPDATE message SET guarded_at = :at WHERE campaign_id = :id", at=at, id=campaign)
    bench.execute(
        "UPDATE slice SET started_at = :at, done_at = :at WHERE campaign_id = :id",
        at=at,
        id=campaign,
    )
    return campaign


def _turn(bench: Bench) -> None:
    """A minute goes by."""
    bench.execute("UPDATE cursor_position SET position = 0 WHERE name = 'missed_receipts'")


def _listed(bench: Bench) -> int:
    return int(bench.value("SELECT count(*) FROM missed_receipt"))


async def test_its_final_status_is_fetched(bench: Bench, chaser: Chase) -> None:
    """Hours after it was sent Twilio is asked by SID, and the row ends as with its callback."""
    campaign = _sent(bench, ANNA, BERT)
    provider = _Provider({ANNA: ("delivered", None), BERT: ("undelivered", 30003)})
    assert await chaser(provider).chase() == 2
    assert bench.states(campaign) == {ANNA: "delivered", BERT: "undelivered"}
    assert bench.row(campaign, BERT).reason == "unreachable"
    receipts = bench.execute("SELECT sid, status, source FROM receipt ORDER BY status")
    assert [tuple(row) for row in receipts] == [
        (new_sid(ANNA), "delivered", "fetched"),
        (new_sid(BERT), "undelivered", "fetched"),
    ]
    assert not _listed(bench)


async def test_a_fetched_opt_out(bench: Bench, chaser: Chase) -> None:
    """A 21610 whose callback was lost suppresses and makes an incident all the same."""
    campaign = _sent(bench, ANNA)
    other = bench.campaign(ANNA, BERT)
    cache = _Cache()
    await chaser(_Provider({ANNA: ("failed", 21610)}), cache=cache).chase()
    assert bench.row(campaign).state == "suppressed"
    assert bench.is_suppressed()
    assert ANNA in cache.added
    incident = bench.execute("SELECT message_id, code FROM incident")
    assert [tuple(row) for row in incident] == [(bench.row(campaign).id, 21610)]
    assert set(bench.guard_all(other)) == {BERT}


async def test_a_fetched_block_of_the_toll_free_network(bench: Bench, chaser: Chase) -> None:
    """What the code means is read as in a callback: a carrier's 30004 counts for the number."""
    campaign = _sent(bench, ANNA)
    await chaser(_Provider({ANNA: ("undelivered", 30004)})).chase()
    row = bench.row(campaign)
    assert (row.state, row.reason) == ("undelivered", "blocked")
    assert bench.value("SELECT strikes FROM number_health WHERE recipient = :r", r=ANNA) == 1


async def test_only_what_is_late(bench: Bench, chaser: Chase) -> None:
    """Younger messages, ended ones and those without a SID are not asked for."""
    _sent(bench, ANNA, ago=PATIENCE - timedelta(minutes=5))
    bench.put(_sent(bench, BERT), "delivered", BERT)
    bench.put(_sent(bench, CARL), "sent", CARL, sid=None)
    provider = _Provider()
    assert await chaser(provider).chase() == 0
    assert not provider.asked


async def test_a_slice_that_was_still_worked_on(bench: Bench, chaser: Chase) -> None:
    """A slice is looked at again until all of it is late: its last messages are not forgotten."""
    campaign = _sent(bench, ANNA, BERT)
    bench.put(campaign, "sent", BERT, guarded_at=datetime.now(UTC))
    bench.execute("UPDATE slice SET done_at = now()")
    provider = _Provider({ANNA: ("delivered", None), BERT: ("delivered", None)})
    assert await chaser(provider).chase() == 1
    past = datetime.now(UTC) - PATIENCE - timedelta(seconds=1)
    bench.put(campaign, "sent", BERT, guarded_at=past)
    bench.execute("UPDATE slice SET done_at = :at, receipts_listed_at = :at", at=past)
    _turn(bench)
    assert await chaser(provider).chase() == 1
    assert bench.states(campaign) == {ANNA: "delivered", BERT: "delivered"}
    assert not bench.value("SELECT bool_or(receipts_due) FROM slice")


async def test_asked_again_and_again_more_seldom(bench: Bench, chaser: Chase) -> None:
    """What has no final status yet is put off, each time for twice as long, and then left alone."""
    campaign = _sent(bench, ANNA)
    provider = _Provider({ANNA: ("sent", None)})
    pauses = []
    for _ in range(3):
        _turn(bench)
        assert await chaser(provider).chase() == 1
        pauses.append(bench.value("SELECT next_try - now() FROM missed_receipt"))
        bench.execute("UPDATE missed_receipt SET next_try = now()")
    hours = [round(pause / timedelta(hours=1)) for pause in pauses]
    assert hours == [3, 6, 12]
    bench.execute("UPDATE missed_receipt SET ask_until = now()")
    _turn(bench)
    assert await chaser(provider).chase() == 0
    assert not _listed(bench)
    assert bench.row(campaign).state == "sent"


async def test_never_past_its_time(bench: Bench, chaser: Chase) -> None:
    """A message that is older than its validity and 48 h is not put on the list any more."""
    _sent(bench, ANNA, ago=timedelta(hours=49))
    assert await chaser(_Provider({ANNA: ("delivered", None)})).chase() == 0


async def test_no_more_than_so_many_a_minute(bench: Bench, chaser: Chase) -> None:
    """The bound holds for the fleet: a minute has one turn, whoever takes it."""
    people = crowd(30)
    campaign = _sent(bench, *people)
    provider = _Provider(dict.fromkeys(people, ("delivered", None)))
    assert await chaser(provider, per_minute=12).chase() == 12
    assert await chaser(provider, per_minute=12).chase() == 0
    _turn(bench)
    assert await chaser(provider, per_minute=12).chase() == 12
    assert list(bench.states(campaign).values()).count("delivered") == 24


async def test_a_tenant_with_thousands_keeps_nobody_waiting(bench: Bench, chaser: Chase) -> None:
    """Tenants are served in turn, however many messages one of them misses."""
    bench.second_tenant()
    _sent(bench, *crowd(20), ago=PATIENCE * 2)
    small = _sent(bench, ANNA, tenant_id=OTHER_TENANT, sender="+14155550009")
    provider = _Provider({ANNA: ("delivered", None)}, account=OTHER_ACCOUNT)
    await chaser(provider, per_minute=2).chase()
    assert bench.row(small).state == "delivered"


async def test_what_may_have_failed_at_twilio_comes_first(bench: Bench, chaser: Chase) -> None:
    """A 21610 comes before the message is passed on: what was passed on is asked for later."""
    campaign = _sent(bench, *crowd(20))
    bench.execute("UPDATE message SET provider_status = 'sent'")
    bench.put(campaign, "sent", crowd(20)[13], provider_status="accepted")
    provider = _Provider()
    await chaser(provider, per_minute=1).chase()
    assert provider.asked == [new_sid(crowd(20)[13])]


async def test_when_twilio_is_away(bench: Bench, chaser: Chase) -> None:
    """What cannot be fetched now is put off; nothing follows from it."""
    campaign = _sent(bench, ANNA)
    assert await chaser(_Provider(away=True)).chase() == 1
    assert bench.row(campaign).state == "sent"
    assert bench.value("SELECT next_try > now() FROM missed_receipt")


async def test_a_record_that_is_gone(bench: Bench, chaser: Chase) -> None:
    """Twilio has deleted the record: nobody will ever know more."""
    campaign = _sent(bench, ANNA)
    assert await chaser(_Provider()).chase() == 1
    assert bench.row(campaign).state == "sent"
    assert not _listed(bench)


async def test_a_callback_that_came_meanwhile(bench: Bench, chaser: Chase) -> None:
    """A late callback takes a message off the list; Twilio is not asked for it."""
    campaign = _sent(bench, ANNA)
    provider = _Provider(away=True)
    await chaser(provider).chase()
    bench.put(campaign, "delivered")
    bench.execute("UPDATE missed_receipt SET next_try = now()")
    _turn(bench)
    assert await chaser(provider).chase() == 0
    assert not _listed(bench)


async def test_another_account_than_the_tenants(bench: Bench, chaser: Chase) -> None:
    """A record that does not fit the message changes nothing and leaves an alarm."""
    campaign = _sent(bench, ANNA)
    provider = _Provider({ANNA: ("delivered", None)}, account=OTHER_ACCOUNT)
    await chaser(provider).chase()
    assert bench.row(campaign).state == "sent"
    [alarm] = bench.execute("SELECT kind, detail FROM alarm")
    assert (alarm.kind, alarm.detail["source"]) == ("callback_foreign_account", "fetched")


@dataclass
class _Gateways:
    """Every tenant's way to the simulator."""

    gateway: TwilioGateway

    async def of(self, _tenant_id: int) -> TwilioGateway:
        """The one there is."""
        return self.gateway


async def test_over_the_wire(bench: Bench, chaser: Chase) -> None:
    """A service's message that met a block at Twilio, and whose callback reached nobody."""
    bench.execute("UPDATE tenant SET account_sid = :sid", sid=CONFIG.account_sid)
    account = Credentials.from_api_key(CONFIG.account_sid, *next(iter(CONFIG.api_keys.items())))
    nowhere = "http://127.0.0.1:9"
    async with (
        simulated() as rig,
        TwilioGateway.open(account, base_url=rig.url, status_callback_base=nowhere) as gateway,
    ):
        await rig.text_in("STOP", to=CONFIG.services[SERVICE][0], **{"from": f"+{ANNA}"})
        campaign = _sent(bench, ANNA, sender=SERVICE)
        limit = time.monotonic() + 5
        text = OutboundText(
            message_id=bench.row(campaign, ANNA).id,
            sender=SERVICE,
            recipient=ANNA,
            body="Sale today",
            validity=timedelta(hours=1),
        )
        taken = (await gateway.send(text, deadline=limit, connect_by=limit)).outcome
        assert isinstance(taken, Accepted)
        bench.put(campaign, "sent", ANNA, sid=taken.sid, provider_status="accepted")
        await rig.until_status(taken.sid, "failed")
        assert await chaser(_Gateways(gateway)).chase() == 1
    row = bench.row(campaign, ANNA)
    assert (row.state, row.provider_code) == ("suppressed", 21610)
    assert bench.is_suppressed(ANNA)
    assert bench.value("SELECT count(*) FROM incident") == 1


async def test_switched_off(bench: Bench, chaser: Chase) -> None:
    """Without patience nobody is asked."""
    _sent(bench, ANNA)
    assert await chaser(_Provider(), patience=timedelta()).chase() == 0


def test_it_never_reads_all_messages(bench: Bench) -> None:
    """Slices are found by an index of their own, and messages through their slices."""
    _sent(bench, ANNA)
    with bench.db.transaction() as tx:
        tx.exec_driver_sql("SET LOCAL enable_seqscan = off")
        plan = tx.exec_driver_sql(
            "EXPLAIN SELECT id FROM slice WHERE receipts_due AND"
            " coalesce(receipts_listed_at, started_at) < now() - interval '3 hours'"
            " ORDER BY coalesce(receipts_listed_at, started_at) LIMIT 20"
        )
        assert any("slice_receipts" in row[0] for row in plan)
