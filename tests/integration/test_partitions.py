"""Messages by month: every campaign in one, all months made in time, nothing refused without."""

import calendar
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from alembic import command
from psycopg.errors import UniqueViolation
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError, OperationalError

from sender.config import LEASE
from sender.domain.campaign import MAX_RECIPIENTS, MessageIds
from sender.domain.message import State
from sender.months import AHEAD, Months
from sender.storage import partitions
from sender.storage.campaigns import NewMessage, load
from sender.storage.database import AsyncDatabase
from sender.storage.migrate import _config, migrate
from sender.storage.partitions import Partition
from sender.storage.settling import Move, Way
from tests.bench import ANNA, BERT, CARL, DORA, NOBODY, Bench, bench_at, crowd, new_sid
from tests.months import at_time, month, months_on

#: A lifetime.
YEARS = range(2025, 2060)
NAMES = "SELECT name FROM message_partition ORDER BY name"
#: Where each message lies.
LIE = "SELECT DISTINCT CAST(tableoid AS regclass)::text FROM message WHERE campaign_id = :id"


def names(bench: Bench) -> list[str]:
    """The partitions there are."""
    return [row.name for row in bench.execute(NAMES)]


def lies_in(bench: Bench, campaign: int) -> list[str]:
    """The partitions that a campaign's messages lie in."""
    return [row[0] for row in bench.execute(LIE, id=campaign)]


@pytest.mark.parametrize("microsecond", [0, 1, 999, 1000, 999_000, 999_999])
@pytest.mark.parametrize("second", [-1, 0])
def test_a_campaign_at_the_months_edge_lies_in_one_month(
    bench: Bench, second: int, microsecond: int
) -> None:
    """Whatever ordinal, chance and campaign id are, its creation alone decides, to the last id."""
    edge = months_on(datetime.now(UTC), 1)
    created = edge + timedelta(seconds=second, microseconds=microsecond)
    for campaign in (0, 1, 4095, 4096, 2**40):
        ids = MessageIds(created_at=created, campaign_id=campaign)
        for one in ids.span(1, MAX_RECIPIENTS):
            assert (one >= floor(bench, edge)) is (created >= edge)
            assert partitions.created_at(one) <= created
            assert created - partitions.created_at(one) < timedelta(milliseconds=1)


def floor(bench: Bench, at: datetime) -> UUID:
    """Where a month begins, as the database has it."""
    found = bench.value("SELECT message_floor(:at)", at=at)
    assert isinstance(found, UUID)
    return found


def test_the_database_cuts_months_as_ids_are_made(bench: Bench) -> None:
    """Its arithmetic and ours agree on every month's first moment for a lifetime."""
    firsts = [datetime(year, number, 1, tzinfo=UTC) for year in YEARS for number in range(1, 13)]
    found = bench.execute(
        "SELECT at, message_floor(at) AS floor, month_of(at + late) AS month, "
        "month_after(at + late) AS following, message_time(message_floor(at)) AS told "
        "FROM unnest(CAST(:firsts AS timestamptz[])) AS at, "
        "CAST(:late AS interval) AS late ORDER BY at",
        firsts=firsts,
        late=timedelta(days=27, hours=23, minutes=59, seconds=59, microseconds=999_999),
    )
    assert [row.at for row in found] == firsts
    for row in found:
        assert row.floor.int >> 80 == calendar.timegm(row.at.timetuple()) * 1000
        assert (row.month, row.following) == (row.at, months_on(row.at, 1))
        assert row.told == partitions.created_at(row.floor) == row.at


def test_a_campaign_that_waits_keeps_its_month(bench: Bench) -> None:
    """Scheduled for later, paused and resumed: its messages lie where its creation put them."""
    now = datetime.now(UTC)
    campaign = bench.campaign(ANNA, BERT, run=False)
    there = lies_in(bench, campaign)
    bench.execute(
        "UPDATE campaign SET state = 'SCHEDULED', start_at = :at WHERE id = :id",
        at=months_on(now, 2),
        id=campaign,
    )
    for state in ("RUNNING", "PAUSED", "RUNNING"):
        bench.execute(
            "UPDATE campaign SET state = :state, started_at = now(), deadline_at = :later "
            "WHERE id = :id",
            state=state,
            later=months_on(now, 3),
            id=campaign,
        )
    assert bench.guard_all(campaign)
    assert lies_in(bench, campaign) == there
    assert len(there) == 1


@pytest.mark.parametrize("ahead", [0, 1, AHEAD + 9])
def test_a_recipient_is_once_in_a_campaign(bench: Bench, ahead: int) -> None:
    """The database refuses a second message, in a month of its own and in the default one."""
    now = datetime.now(UTC)
    created = months_on(now, ahead) if ahead else now
    campaign = at_time(bench, created, ANNA, BERT)
    ids = MessageIds(created_at=created, campaign_id=campaign)
    again = NewMessage(id=ids.of(3, 1), recipient=ANNA, line=3, fields={})
    with pytest.raises(UniqueViolation, match="recipient_campaign_id_key"):
        bench.db.run(load, campaign, [again])


def test_a_campaign_is_never_deleted(bench: Bench) -> None:
    """Its key must refuse a second one for ever, whatever was deleted of its messages."""
    bench.campaign()
    with pytest.raises(IntegrityError, match="never deleted"):
        bench.execute("DELETE FROM campaign")


def test_every_partition_has_what_a_message_needs(bench: Bench) -> None:
    """Room for heap-only updates, two indexes that no update changes, the doubts' trigger."""
    for name in names(bench):
        options = bench.value(
            "SELECT reloptions FROM pg_class WHERE oid = CAST(:name AS regclass)", name=name
        )
        assert options == ["fillfactor=33"]
        indexed = bench.value(
            "SELECT array_agg(pg_get_indexdef(indexrelid) ORDER BY indisprimary DESC) "
            "FROM pg_index WHERE indrelid = CAST(:name AS regclass)",
            name=name,
        )
        assert [one.partition(" USING ")[2] for one in indexed] == [
            "btree (id)",
            "btree (recipient, campaign_id)",
        ]
        assert all(one.startswith("CREATE UNIQUE INDEX") for one in indexed)
        assert bench.value(
            "SELECT count(*) FROM pg_trigger WHERE tgname = 'message_in_doubt' "
            "AND tgrelid = CAST(:name AS regclass)",
            name=name,
        )


def test_guard_and_settle_stay_heap_only(bench: Bench) -> None:
    """Two updates of every row of full pages, and no index is touched by either."""
    campaign = bench.campaign(*crowd(400))
    way = Way(state=State.SENT, reason="accepted", provider_status="queued")
    moves = [
        Move(message_id=licence.message_id, gen=licence.gen, way=way, sid=new_sid(who))
        for who, licence in bench.guard_all(campaign).items()
    ]
    bench.db.run_alone(bench.messages.settle_alone, moves)
    counted = (
        "SELECT sum(n_tup_upd), sum(n_tup_hot_upd) FROM pg_stat_user_tables "
        "WHERE relname LIKE 'message\\_%'"
    )
    bench.execute("SELECT pg_stat_force_next_flush()")
    updates, heap_only = bench.execute(counted)[0]
    assert updates == heap_only == 800


def test_a_doubt_is_noted_in_every_month(bench: Bench) -> None:
    """The trigger that keeps the resolver's list is on the default partition, too."""
    far = at_time(bench, months_on(datetime.now(UTC), AHEAD + 5), ANNA)
    near = bench.campaign(BERT)
    for campaign, recipient in ((far, ANNA), (near, BERT)):
        noted = bench.put(campaign, "in_doubt", recipient)
        assert bench.value("SELECT count(*) FROM doubt WHERE message_id = :id", id=noted) == 1


async def test_months_are_made_ahead(bench: Bench, loop_db: AsyncDatabase) -> None:
    """What is missing of this month and the next three is made; a second time nothing is."""
    now = datetime.now(UTC)
    wanted = {month(months_on(now, ahead)) for ahead in range(AHEAD + 1)}
    assert wanted <= set(names(bench))
    for ahead in (0, 2):
        bench.execute(f"DROP TABLE {month(months_on(now, ahead))}")
    months = Months(db=loop_db)
    assert await months.make() == 2
    assert await months.make() == 0
    assert wanted <= set(names(bench))


async def test_without_a_month_nothing_is_refused(bench: Bench, loop_db: AsyncDatabase) -> None:
    """Campaigns of a month that nobody made are sent; then it is made around them as they lie."""
    now = datetime.now(UTC)
    far = months_on(now, AHEAD + 2)
    first = at_time(bench, far + timedelta(days=3), ANNA, BERT)
    second = at_time(bench, months_on(far, 1) + timedelta(days=3), ANNA, CARL)
    assert lies_in(bench, first) == lies_in(bench, second) == ["message_default"]
    bench.execute("UPDATE campaign SET state = 'RUNNING', deadline_at = now() + interval '1 day'")
    bench.stop(ANNA)
    assert set(bench.guard_all(first)) == {BERT}
    before = bench.states(first) | bench.states(second)

    await Months(db=loop_db).make()
    until = f"message_before_{months_on(far, 2):%Y_%m}"
    assert lies_in(bench, first) == lies_in(bench, second) == [until]
    assert bench.states(first) | bench.states(second) == before
    assert set(bench.guard_all(second)) == {CARL}
    third = at_time(bench, months_on(far, 9), DORA)
    assert lies_in(bench, third) == ["message_default"]
    assert bench.put(first, "in_doubt", BERT)
    assert bench.value("SELECT count(*) FROM doubt") == 1


async def test_strays_around_a_month_stay(bench: Bench, loop_db: AsyncDatabase) -> None:
    """Hosts with clocks years off cost those months, never the ones that are needed."""
    now = datetime.now(UTC)
    early = at_time(bench, now - timedelta(days=3000), ANNA)
    late = at_time(bench, now + timedelta(days=3000), BERT)
    bench.execute(f"DROP TABLE {month(months_on(now, 1))}")
    assert await Months(db=loop_db).make() == 1
    assert lies_in(bench, early) == lies_in(bench, late) == ["message_default"]


async def test_making_months_waits_for_nobody(bench: Bench, loop_db: AsyncDatabase) -> None:
    """A long transaction keeps the month from being made, and nobody waits behind it."""
    now = datetime.now(UTC)
    bench.execute(f"DROP TABLE {month(months_on(now, 3))}")
    with bench.db.transaction() as tx:
        tx.execute(text("LOCK TABLE message_default IN ACCESS SHARE MODE"))
        with pytest.raises(OperationalError):
            await Months(db=loop_db).make()
    assert await Months(db=loop_db).make() == 1


async def test_a_month_is_made_while_campaigns_are_loaded(
    bench: Bench, loop_db: AsyncDatabase
) -> None:
    """Whoever loads or sends messages just now neither waits for it nor keeps it waiting."""
    now = datetime.now(UTC)
    bench.execute(f"DROP TABLE {month(months_on(now, 3))}")
    campaign = bench.campaign(ANNA, BERT)
    ids = MessageIds(created_at=now, campaign_id=campaign)
    more = [NewMessage(id=ids.of(9, 1), recipient=CARL, line=9, fields={})]
    with bench.db.transaction() as tx:
        tx.execute(text("UPDATE campaign SET recipients = 3 WHERE id = :id"), {"id": campaign})
        load(tx, campaign, more)
        bench.messages.guard(tx, bench.due(campaign), owner=NOBODY, lease=LEASE)
        assert await Months(db=loop_db).make() == 1


@contextmanager
def before_months(url: str) -> Iterator[Bench]:
    """A database of the release before, with a campaign in mid-run; migrated at the end."""
    engine = create_engine(url)
    with engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0007")
    engine.dispose()
    with bench_at(url) as bench:
        yield bench


def test_a_database_with_messages_is_migrated(empty_database_url: str) -> None:
    """Rows stay as they are, in a partition that ends with their newest month, and go on."""
    with before_months(empty_database_url) as bench:
        now = datetime.now(UTC)
        old = at_time(bench, now - timedelta(days=100), ANNA, BERT)
        campaign = bench.campaign(ANNA, BERT, CARL, DORA)
        newest = at_time(bench, months_on(now, 2), ANNA)
        doubted = bench.put(campaign, "in_doubt", DORA)
        bench.guard_all(old)
        rows = bench.execute("SELECT * FROM message ORDER BY id")
        migrate(bench.url)

        assert bench.execute("SELECT * FROM message ORDER BY id") == rows
        until = f"message_before_{months_on(now, 3):%Y_%m}"
        for one in (old, campaign, newest):
            assert lies_in(bench, one) == [until]
        assert names(bench) == sorted([month(months_on(now, 3)), until, "message_default"])
        assert bench.value("SELECT count(*) FROM doubt WHERE message_id = :id", id=doubted) == 1
        bench.stop(ANNA)
        assert set(bench.guard_all(campaign)) == {BERT, CARL}
        test_every_partition_has_what_a_message_needs(bench)
        migrate(bench.url)


def test_an_empty_database_begins_with_this_month(bench: Bench) -> None:
    """Nothing lies before it, and the default partition is empty."""
    now = datetime.now(UTC)
    with bench.db.transaction() as tx:
        found = list(partitions.every(tx))
        assert not partitions.has_strays(tx)
    assert [one.name for one in found] == [
        *(month(months_on(now, ahead)) for ahead in range(AHEAD + 1)),
        "message_default",
    ]
    assert [one.until for one in found][:1] == [months_on(now, 1)]
    assert found[-1] == Partition(
        name="message_default", first_id=None, end_id=None, is_default=True
    )
    assert replace(found[0], first_id=None).first_id is None
