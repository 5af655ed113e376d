"""A database that is older than known holds everything, whoever notices it first."""

import asyncio
import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis

from sender.config import LEASE
from sender.domain.high_water import Look, Mark
from sender.errors import ConfigurationError, MarkUnavailable, MarkUnreadable
from sender.high_water import HighWater, Place
from sender.liveness import living
from sender.mark_file import MarkFile
from sender.storage import high_water, workers
from sender.storage.database import AsyncDatabase
from sender.storage.id_range import array
from sender.storage.id_range import of as ids_of
from sender.storage.messages import guard_statement
from sender.storage.workers import NewWorker
from sender.suppression import RedisMarks, connect_async
from sender.suppression.keys import high_water_key
from tests.bench import ANNA, NOBODY, Bench, soon
from tests.pump_rig import Rig

OURS = UUID(int=1)


def mark(seq: int, *, era: int = 0, timeline: int | None = 1, identity: UUID = OURS) -> Mark:
    """A mark."""
    return Mark(identity=identity, era=era, seq=seq, timeline=timeline)


@dataclass
class Kept:
    """A place for marks, which fails as told."""

    mark: Mark | None = None
    error: Exception | None = None
    raised: list[Mark] = field(default_factory=list)

    async def read(self, _identity: UUID) -> Mark | None:
        """The mark."""
        if self.error:
            raise self.error
        return self.mark

    async def knows_another(self, identity: UUID) -> bool:
        """Whether it is another database's."""
        return self.mark is not None and self.mark.identity != identity

    async def raise_to(self, mark: Mark) -> Mark:
        """Keep it."""
        if self.error:
            raise self.error
        self.raised.append(mark)
        self.mark = mark if self.mark is None or mark.height > self.mark.height else self.mark
        return self.mark


def look(bench: Bench) -> Look:
    """What the database shows now."""
    return bench.db.run(high_water.read)


def age(bench: Bench, seq: int) -> None:
    """Put the database where it was at this mark, as a restore does; its last tick is long ago."""
    bench.execute("UPDATE high_water SET seq = :seq, ticked_at = now() - interval '1 day'", seq=seq)


def begin_era(bench: Bench, **height: int) -> None:
    """End a recovery."""
    now = look(bench)
    assert bench.db.run(high_water.begin_era, now, replace(now.mark, **height), author="ann")


def holds_of(bench: Bench) -> Sequence[Any]:
    """The holds in force."""
    return bench.execute("SELECT level, reason, detail FROM hold WHERE released_at IS NULL")


class TestGuard:
    """The guard itself looks at the mark."""

    def _passes(self, bench: Bench, seen: Look | None) -> bool:
        campaign = bench.campaign(ANNA)
        rows = bench.due(campaign)
        passed = bench.db.run(bench.messages.guard, rows, owner=NOBODY, lease=LEASE, seen=seen)
        return bool(passed)

    def test_as_seen_or_later(self, bench: Bench) -> None:
        """Nothing passes without a reason: the database as it was seen, or a later state of it."""
        seen = look(bench)
        assert self._passes(bench, seen)
        bench.execute("UPDATE high_water SET seq = seq + 1")
        assert self._passes(bench, seen)
        bench.execute("UPDATE high_water SET era = 5, seq = 0")
        assert self._passes(bench, seen)

    def test_older(self, bench: Bench) -> None:
        """A database below the mark that was seen lets nothing pass."""
        age(bench, 7)
        seen = look(bench)
        age(bench, 6)
        assert not self._passes(bench, seen)
        assert not self._passes(bench, replace(seen, mark=replace(seen.mark, era=1, seq=0)))

    def test_another(self, bench: Bench) -> None:
        """Nor does one of another identity, however high its mark."""
        seen = look(bench)
        bench.execute("UPDATE high_water SET identity = gen_random_uuid(), seq = 1000")
        assert not self._passes(bench, seen)

    def test_a_server_that_was_started_since(self, bench: Bench) -> None:
        """Nor does a server that was started after the look: nobody knows yet what it serves."""
        seen = look(bench)
        before = replace(seen, server=seen.server - timedelta(microseconds=1))
        assert not self._passes(bench, before)

    def test_the_row_is_read_once(self, bench: Bench) -> None:
        """The check costs one read a statement, not one a row."""
        rows = bench.due(bench.campaign(*range(14155553000, 14155553020)))
        values = {
            **ids_of([row.id for row in rows]),
            "gens": array(row.gen for row in rows),
            "owner": NOBODY,
            "lease": LEASE,
            **high_water.values_of(look(bench)),
        }
        plan = bench.execute(f"EXPLAIN ANALYZE {guard_statement()}", **values)
        scans = [row[0] for row in plan if "high_water" in row[0]]
        assert len(scans) == 1
        assert "loops=1" in scans[0]


class TestLook:
    """One process's looks."""

    async def test_the_count_rises(self, bench: Bench, loop_db: AsyncDatabase) -> None:
        """A look counts up when a second has passed, and keeps what it has seen elsewhere."""
        place = Kept()
        water = HighWater(places=[place])
        assert await water.look(loop_db)
        for seq in (1, 2):
            bench.execute("UPDATE high_water SET ticked_at = now() - interval '2 seconds'")
            assert await water.look(loop_db)
            assert await water.look(loop_db)  # at once: nothing is counted
            assert look(bench).mark.seq == seq
            assert water.seen is not None
            assert water.seen.mark.seq == seq
        await soon(lambda: place.mark is not None)
        assert place.mark is not None
        assert place.mark.timeline == 1
        await water.close()

    async def test_a_clock_that_was_set_back(self, bench: Bench, loop_db: AsyncDatabase) -> None:
        """A last tick in the future does not stop the count."""
        water = HighWater()
        assert await water.look(loop_db)
        bench.execute("UPDATE high_water SET ticked_at = now() + interval '1 day'")
        assert await water.look(loop_db)
        assert look(bench).mark.seq == 1

    @pytest.mark.parametrize(
        ("known", "why"),
        [
            ({"seq": 11}, "an older database"),
            ({"era": 1}, "an older database"),
            ({"timeline": 2}, "another timeline"),
        ],
    )
    async def test_older_than_kept(
        self, bench: Bench, loop_db: AsyncDatabase, known: dict[str, int], why: str
    ) -> None:
        """At its first look a process compares with what is kept elsewhere, and holds."""
        age(bench, 10)
        there = replace(look(bench).mark, timeline=1)
        place = Kept(replace(there, **known))
        water = HighWater(places=[Kept(), place])
        assert not await water.look(loop_db)
        assert not await water.look(loop_db)
        (hold,) = holds_of(bench)
        assert (hold.level, hold.reason) == ("all", "database_older")
        assert why in hold.detail
        assert "sender recover" in hold.detail
        assert look(bench).mark.seq == 10, "an older database is not counted up"
        assert place.raised == []

    async def test_a_hold_that_was_lifted_by_hand(
        self, bench: Bench, loop_db: AsyncDatabase
    ) -> None:
        """Lifting the hold recovers nothing: the next look places it again."""
        age(bench, 10)
        water = HighWater(places=[Kept(replace(look(bench).mark, seq=11))])
        await water.look(loop_db)
        bench.execute("UPDATE hold SET released_at = now()")
        await water.look(loop_db)
        assert len(holds_of(bench)) == 1

    async def test_who_lived_through_it(self, bench: Bench, loop_db: AsyncDatabase) -> None:
        """A process knows by itself what it has seen, and goes on after a recovery."""
        age(bench, 10)
        water = HighWater()
        assert await water.look(loop_db)
        age(bench, 5)
        assert not await water.look(loop_db)
        begin_era(bench, era=7, seq=6)
        assert holds_of(bench) == []
        assert await water.look(loop_db)
        assert water.seen is not None
        assert water.seen.mark.era == 7

    async def test_a_recovery_between_look_and_hold(
        self, bench: Bench, loop_db: AsyncDatabase
    ) -> None:
        """Who looked before a recovery and holds after it would hold for ever: that is no hold."""
        before = look(bench)
        begin_era(bench, era=7, seq=6)
        await HighWater().hold(loop_db, before, "an older database")
        assert holds_of(bench) == []

    async def test_a_recovery_of_another_server(self, bench: Bench, loop_db: AsyncDatabase) -> None:
        """A server that was started during a recovery may have lost what it did: it is no end."""
        await HighWater().hold(loop_db, look(bench), "an older database")
        before = replace(look(bench), server=look(bench).server - timedelta(seconds=1))
        new = replace(before.mark, era=7, seq=6)
        assert not bench.db.run(high_water.begin_era, before, new, author="ann")
        assert look(bench).mark.era == 0
        assert len(holds_of(bench)) == 1

    async def test_a_recovery_that_ends_meanwhile(
        self, bench: Bench, loop_db: AsyncDatabase
    ) -> None:
        """The same while the recovery's last step is not committed yet: the hold waits for it."""
        before = look(bench)
        with bench.db.transaction() as tx:
            new = replace(before.mark, era=7, seq=6)
            assert high_water.begin_era(tx, before, new, author="ann")
            held = asyncio.create_task(HighWater().hold(loop_db, before, "an older database"))
            await soon(lambda: bench.waiting_for_locks() == 1)
        await held
        assert holds_of(bench) == []

    async def test_a_new_database(self, bench: Bench, loop_db: AsyncDatabase) -> None:
        """A database that nobody knows anything of is new."""
        assert await HighWater(places=[Kept(), Kept()]).look(loop_db)
        assert holds_of(bench) == []

    @pytest.mark.parametrize("place", ["redis", "disk"])
    async def test_a_backup_from_before_there_were_marks(
        self, bench: Bench, loop_db: AsyncDatabase, loop_redis: Redis, tmp_path: Path, place: str
    ) -> None:
        """Migrated, it has a new identity: where another's mark alone is kept, all is held."""
        kept: Place = RedisMarks(loop_redis) if place == "redis" else MarkFile.in_folder(tmp_path)
        bench.campaign(ANNA)
        bench.execute("UPDATE high_water SET unmarked = true")
        assert not (await HighWater(places=[kept]).compare(loop_db)).why
        await kept.raise_to(mark(5))
        assert not await HighWater(places=[Kept(), kept]).look(loop_db)
        assert "another's is kept" in holds_of(bench)[0].detail
        begin_era(bench, era=7, seq=1)
        water = HighWater(places=[kept])
        assert await water.look(loop_db)
        await water.close()

    async def test_an_upgrade_in_place(self, bench: Bench, loop_db: AsyncDatabase) -> None:
        """A database from before there were marks that is the only one known goes on."""
        bench.execute("UPDATE high_water SET unmarked = true")
        bench.execute("UPDATE high_water SET ticked_at = now() - interval '1 day'")
        assert look(bench).unmarked
        water = HighWater(places=[Kept()])
        assert await water.look(loop_db)
        assert await water.look(loop_db)
        await water.close()
        assert not look(bench).unmarked, "counted up, it is like any other"
        assert holds_of(bench) == []

    async def test_a_new_database_beside_an_old_mark(
        self, bench: Bench, loop_db: AsyncDatabase, tmp_path: Path
    ) -> None:
        """A database that had its mark from its first day is new, whatever was served before."""
        kept = MarkFile.in_folder(tmp_path)
        await kept.raise_to(mark(5))
        bench.campaign(ANNA)
        water = HighWater(places=[kept])
        assert await water.look(loop_db)
        await water.close()
        assert holds_of(bench) == []

    async def test_no_mark_can_be_asked_for(self, loop_db: AsyncDatabase) -> None:
        """Who cannot ask what is known does not work: absent is not the same as lower."""
        water = HighWater(places=[Kept(error=MarkUnavailable("away"))])
        with pytest.raises(MarkUnavailable):
            await water.look(loop_db)
        assert water.seen is None

    async def test_away_later(self, bench: Bench, loop_db: AsyncDatabase) -> None:
        """Later a place may be away: what the process itself knows is enough."""
        place = Kept()
        water = HighWater(places=[place])
        assert await water.look(loop_db)
        place.error = MarkUnavailable("away")
        bench.execute("UPDATE high_water SET ticked_at = now() - interval '2 seconds'")
        assert await water.look(loop_db)
        await water.close()

    async def test_a_mark_that_makes_no_sense(self, bench: Bench, loop_db: AsyncDatabase) -> None:
        """It proves that there was one: with no other to go by, everything is held."""
        garbage = Kept(error=MarkUnreadable("garbage"))
        assert not await HighWater(places=[garbage, Kept()]).look(loop_db)
        assert "garbage" in holds_of(bench)[0].detail

    async def test_with_another_to_go_by(self, bench: Bench, loop_db: AsyncDatabase) -> None:
        """One readable mark is enough."""
        garbage = Kept(error=MarkUnreadable("garbage"))
        other = Kept(look(bench).mark)
        water = HighWater(places=[garbage, other])
        assert await water.look(loop_db)
        await water.close()

    async def test_a_mark_that_is_raised_meanwhile(
        self, bench: Bench, loop_db: AsyncDatabase
    ) -> None:
        """What another process counts while this one looks is no sign of an older database."""
        places = [Kept()]
        waters = [HighWater(places=places) for _ in range(8)]
        assert all([await water.look(loop_db) for water in waters])

        async def often(water: HighWater) -> bool:
            return all([await water.look(loop_db) for _ in range(40)])

        bench.execute("""
            CREATE FUNCTION long_ago() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN NEW.ticked_at = now() - interval '1 day'; RETURN NEW; END $$;
            CREATE TRIGGER hurry BEFORE UPDATE ON high_water
            FOR EACH ROW EXECUTE FUNCTION long_ago();
            UPDATE high_water SET ticked_at = now();
        """)
        assert all(await asyncio.gather(*map(often, waters)))
        assert holds_of(bench) == []
        assert look(bench).mark.seq > 100
        for water in waters:
            await water.close()


class TestWorkers:
    """A worker process looks whenever it looks at its lock."""

    async def test_a_worker_on_an_older_database(
        self, bench: Bench, loop_db: AsyncDatabase
    ) -> None:
        """It lives, and its gate stays closed until the recovery."""
        age(bench, 10)
        water = HighWater(places=[Kept(replace(look(bench).mark, seq=11))])
        gate = Gate()
        async with living(loop_db, NewWorker(name="one", slices=3), gate=gate, water=water):
            assert bench.db.run(workers.count_live) == 1
            assert not gate.is_open
            assert len(holds_of(bench)) == 1
            begin_era(bench, era=7, seq=12)
            await soon(lambda: gate.is_open)

    async def test_a_worker_whose_row_was_lost(self, bench: Bench, loop_db: AsyncDatabase) -> None:
        """A worker that lived through a restore is counted again."""
        async with living(loop_db, NewWorker(name="one", slices=3), gate=Gate()):
            bench.execute("DELETE FROM worker")
            bench.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND "
                "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
            await soon(lambda: bench.db.run(workers.count_live) == 1)

    async def test_without_redis(self, loop_db: AsyncDatabase) -> None:
        """While Redis is away a worker starts, and its gate stays closed."""
        place, gate = Kept(error=MarkUnavailable("away")), Gate()
        water = HighWater(places=[place])
        async with living(loop_db, NewWorker(name="one", slices=3), gate=gate, water=water):
            assert not gate.is_open
            place.error = None
            await soon(lambda: gate.is_open)

    async def test_the_pump_asks_the_guard(self, rig: Rig) -> None:
        """A worker's windows are refused when the database is older than it has seen."""
        campaign = rig.bench.campaign(ANNA)
        age(rig.bench, 10)
        water = HighWater(seen=replace(look(rig.bench), mark=replace(look(rig.bench).mark, seq=11)))
        rig = replace(rig, pump=replace(rig.pump, water=water))
        await rig.work()
        assert rig.gateway.recipients == []
        assert rig.bench.row(campaign).state == "pending"
        age(rig.bench, 11)
        await rig.work()
        assert rig.gateway.recipients == [ANNA]

    async def test_the_pump_waits_for_the_first_look(self, rig: Rig) -> None:
        """A worker that is let go at shutdown before it could look sends nothing."""
        rig.bench.campaign(ANNA)
        await replace(rig, pump=replace(rig.pump, water=HighWater())).work()
        assert rig.gateway.recipients == []


@dataclass
class Gate:
    """Tells whether work may begin."""

    is_open: bool = False

    def open(self) -> None:
        """Work may begin."""
        self.is_open = True

    def close(self) -> None:
        """Nothing new may begin."""
        self.is_open = False


@pytest.fixture(params=["redis", "disk"])
async def place(request: pytest.FixtureRequest, loop_redis: Redis, tmp_path: Path) -> Place:
    """Each place where marks are kept."""
    return RedisMarks(loop_redis) if request.param == "redis" else MarkFile.in_folder(tmp_path)


class TestPlaces:
    """Redis and the disk."""

    async def test_only_ever_raised(self, place: Place) -> None:
        """A lower mark changes nothing, and the answer tells the higher one."""
        assert await place.read(OURS) is None
        assert await place.raise_to(mark(5)) == mark(5)
        assert await place.raise_to(mark(4)) == mark(5)
        assert await place.raise_to(mark(5, timeline=2)) == mark(5)
        assert await place.raise_to(mark(6, timeline=None)) == mark(6, timeline=None)
        assert await place.raise_to(mark(1, era=1_764_000_000_000_000)) == await place.read(OURS)
        assert await place.raise_to(mark(7)) == mark(1, era=1_764_000_000_000_000)

    async def test_each_database_has_its_own(self, place: Place) -> None:
        """A mark says nothing about another database."""
        await place.raise_to(mark(5))
        assert await place.read(uuid4()) is None

    async def test_redis_away(self) -> None:
        """Redis that cannot be asked is no Redis without a mark."""
        async with connect_async("redis://127.0.0.1:1/0") as nobody:
            place = RedisMarks(nobody)
            with pytest.raises(MarkUnavailable):
                await place.read(OURS)
            with pytest.raises(MarkUnavailable):
                await place.raise_to(mark(1))

    async def test_garbage_in_redis(self, loop_redis: Redis) -> None:
        """What is no mark is told, and replaced by the next one."""
        await loop_redis.hset(high_water_key(OURS), mapping={"era": "x", "seq": "y"})
        place = RedisMarks(loop_redis)
        with pytest.raises(MarkUnreadable):
            await place.read(OURS)
        assert await place.raise_to(mark(1)) == await place.read(OURS) == mark(1)

    @pytest.mark.parametrize(
        "content",
        [b"", b"{", b"[]", b"null", b'{"seq": 1}', b"\xff\xfe", b'{"identity": 1, "timeline": 0}'],
    )
    async def test_garbage_on_disk(self, tmp_path: Path, content: bytes) -> None:
        """The same for a file that was torn or overwritten."""
        place = MarkFile.in_folder(tmp_path)
        await place.raise_to(mark(5))
        file = _file_in(tmp_path)
        file.write_bytes(content)
        with pytest.raises(MarkUnreadable):
            await place.read(OURS)
        assert await place.raise_to(mark(4)) == await place.read(OURS) == mark(4)

    async def test_a_folder_that_cannot_be_written(self, tmp_path: Path) -> None:
        """It is refused at the start, with the setting's name."""
        (tmp_path / "file").write_text("not a folder")
        with pytest.raises(ConfigurationError, match="SENDER_STATE_DIR"):
            MarkFile.in_folder(tmp_path / "file" / "state")

    async def test_a_disk_that_fails_later(self, tmp_path: Path) -> None:
        """A mark that was not kept is told; the file stays what it was."""
        place = MarkFile.in_folder(tmp_path / "state")
        await place.raise_to(mark(5))
        file = _file_in(tmp_path / "state")
        file.with_suffix(".new").mkdir()
        with pytest.raises(MarkUnavailable):
            await place.raise_to(mark(6))
        assert await place.read(OURS) == mark(5)

    async def test_many_writers(self, tmp_path: Path) -> None:
        """Of processes that share the folder the highest mark is kept, whoever writes last."""
        MarkFile.in_folder(tmp_path)
        spawn = multiprocessing.get_context("spawn")
        writers = [spawn.Process(target=_write, args=(tmp_path, n)) for n in range(3)]
        for writer in writers:
            writer.start()
        for writer in writers:
            await asyncio.to_thread(writer.join, 60)
        assert [writer.exitcode for writer in writers] == [0, 0, 0]
        assert await MarkFile.in_folder(tmp_path).read(OURS) == mark(62)


def _file_in(folder: Path) -> Path:
    (file,) = folder.glob("*.json")
    return file


def _write(folder: Path, first: int) -> None:
    place = MarkFile.in_folder(folder)
    for seq in range(first, first + 63, 3):
        asyncio.run(place.raise_to(mark(seq)))


def test_the_clock_of_a_look(bench: Bench) -> None:
    """A look tells the database's clock, and when it was last counted up."""
    age(bench, 1)
    seen = look(bench)
    assert seen.at - seen.ticked_at > timedelta(hours=23)
    assert abs(seen.at - datetime.now(UTC)) < timedelta(minutes=1)


def test_no_tick_while_held_as_older(bench: Bench) -> None:
    """Whoever counts up then knows no mark: when the backup was made stays to be seen."""
    age(bench, 1)
    was = look(bench)
    bench.db.run(high_water.hold, was, "older")
    bench.db.run(high_water.tick, was.mark, server=was.server)
    assert look(bench).ticked_at == was.ticked_at
    begin_era(bench, era=1)
    bench.execute("UPDATE high_water SET ticked_at = now() - interval '1 day'")
    now = look(bench)
    bench.db.run(high_water.tick, now.mark, server=now.server)
    assert look(bench).ticked_at > now.ticked_at
