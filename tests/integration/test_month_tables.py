"""Statements that name the table of their month."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from sender.months import AHEAD, Months
from sender.storage.database import AsyncDatabase, Transaction
from sender.storage.month_tables import ALL, MonthTables
from tests.bench import ANNA, BERT, ENFORCEMENT, Bench, crowd
from tests.months import at_time, month, months_on


def test_a_month_that_was_made_is_named(bench: Bench) -> None:
    """Ids of one month name its table; those of two, or of a month not met, name all."""
    now = datetime.now(UTC)
    own, next_one = (
        bench.row(at_time(bench, months_on(now, ahead), ANNA)).id.hex for ahead in (0, 1)
    )
    tables = MonthTables()
    assert tables.table(own, own) == ALL
    bench.db.run(tables.meet, own)
    assert tables.table(own, own) == month(months_on(now, 0))
    assert tables.table(own, next_one) == tables.table(next_one, next_one) == ALL
    assert tables.table(None, None) == ALL


async def test_the_default_partition_is_never_named(bench: Bench, loop_db: AsyncDatabase) -> None:
    """It may become a month's own: who met the month before that finds its messages still."""
    far = months_on(datetime.now(UTC), AHEAD + 2)
    campaign = at_time(bench, far + timedelta(days=3), ANNA, BERT)
    bench.execute("UPDATE campaign SET state = 'RUNNING', deadline_at = now() + interval '1 day'")
    message = bench.row(campaign).id
    before, after = MonthTables(), MonthTables()
    bench.db.run(bench.messages.meet_month, message)
    bench.db.run(before.meet, message.hex)
    assert before.table(message.hex, message.hex) == ALL
    await Months(db=loop_db).make()
    assert set(bench.guard_all(campaign)) == {ANNA, BERT}
    bench.db.run(after.meet, message.hex)
    assert after.table(message.hex, message.hex) == f"message_before_{months_on(far, 1):%Y_%m}"


def test_a_month_that_grows_is_looked_at(bench: Bench) -> None:
    """Plans for a large campaign's messages know of them at once; a small one is not worth it."""

    def known() -> float:
        """How many rows Postgres believes this month to have; -1: nothing is known."""
        name = month(months_on(datetime.now(UTC), 0))
        return float(
            bench.execute("SELECT reltuples FROM pg_class WHERE relname = :n", n=name)[0][0]
        )

    bench.campaign(ANNA)
    assert known() == -1
    bench.campaign(*crowd(2_000))
    assert known() == 2_001
    bench.campaign(*crowd(1_500))
    assert known() == 2_001


def test_a_stop_reads_its_own_rows_only(bench: Bench) -> None:
    """Right after a large campaign was stored, a STOP's look reads a few of its messages' pages."""
    bench.campaign(*crowd(20_000))
    bench.execute("UPDATE campaign SET state = 'RUNNING', deadline_at = now() + interval '1 day'")
    event = bench.opt_out(crowd(200)[-1])
    with bench.db.transaction() as tx:
        before = _blocks_read(tx)
        ENFORCEMENT.table.mark_enforced(tx, [event], horizon=timedelta(minutes=2))
        assert _blocks_read(tx) - before < 30


def _blocks_read(tx: Transaction) -> int:
    """Of messages and their indexes, by this transaction so far."""
    counted = text("""
        SELECT sum(pg_stat_get_xact_blocks_fetched(c.oid)) FROM pg_class c
        WHERE c.relname LIKE 'message%' AND c.relkind IN ('r', 'i')
    """)
    return int(tx.execute(counted).scalar_one())
