"""The Redis set follows the consent log, and is rebuilt from Postgres when it is not whole."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis

from sender.domain.consent import Direction, NewConsentEvent, ReasonClass
from sender.mirroring import CURSOR, Mirror
from sender.storage import audit, consent, cursors, inbound, senders
from sender.suppression import RedisSets, SuppressionWriter, connect_sync
from sender.suppression.keys import INTSET_LIMIT
from sender.suppression.writing import Entry
from tests.bench import ANNA, BERT, SENDER, TENANT, Bench, consent_event, crowd

EVERYBODY = (TENANT, 0)
NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    """An empty Redis."""
    with connect_sync(redis_url) as client:
        yield client


@pytest.fixture
def sets(redis: Redis) -> RedisSets:
    """The sets on it."""
    return RedisSets(redis)


@pytest.fixture
def mirror(bench: Bench, sets: RedisSets) -> Mirror:
    """A mirror of the bench's database."""
    return Mirror(db=bench.db, sets=sets)


def _start(recipient: int = ANNA) -> NewConsentEvent:
    return consent_event(
        recipient=recipient,
        direction=Direction.OPT_IN,
        reason=None,
        provider_at=datetime.now(UTC) + timedelta(minutes=1),
    )


def _members(sets: RedisSets, scope: tuple[int, int] = EVERYBODY) -> int:
    found = sets.size(*scope)
    assert not found.cold
    return found.members


class TestRepair:
    """Rebuilding."""

    def test_a_cold_start(self, bench: Bench, mirror: Mirror, sets: RedisSets) -> None:
        """Every scope that a lookup may ask for is built, the empty ones included."""
        sender = bench.sender_id(SENDER)
        for who in crowd(30):
            bench.opt_out(who)
        bench.opt_out(ANNA, scope=sender)
        scopes = [(0, 0), EVERYBODY, (TENANT, sender)]
        assert mirror.repair(compare_counts=False) == scopes
        assert [_members(sets, scope) for scope in scopes] == [0, 30, 1]
        assert mirror.repair(compare_counts=True) == []

    def test_a_flush(self, bench: Bench, mirror: Mirror, sets: RedisSets, redis: Redis) -> None:
        """After a flush the sets are cold, and rebuilt at the next look."""
        bench.opt_out(ANNA)
        mirror.repair(compare_counts=False)
        redis.flushdb()
        assert sets.size(*EVERYBODY).cold
        assert EVERYBODY in mirror.repair(compare_counts=False)
        assert _members(sets) == 1

    def test_a_set_that_is_old(
        self, bench: Bench, mirror: Mirror, sets: RedisSets, redis: Redis
    ) -> None:
        """A set that looks whole but has another size than Postgres is rebuilt when counted."""
        bench.opt_out(ANNA)
        mirror.repair(compare_counts=False)
        SuppressionWriter(redis).remove([Entry(tenant_id=TENANT, scope=0, recipient=ANNA)])
        assert mirror.repair(compare_counts=False) == []
        assert mirror.repair(compare_counts=True) == [EVERYBODY]
        assert _members(sets) == 1

    def test_a_restored_snapshot(
        self, bench: Bench, mirror: Mirror, sets: RedisSets, redis: Redis
    ) -> None:
        """An old snapshot brings its old position back: what came since is followed again."""
        bench.opt_out(ANNA)
        mirror.repair(compare_counts=False)
        mirror.follow()
        snapshot = {key: redis.dump(key) for key in redis.keys("*")}
        bench.opt_out(BERT)
        bench.db.run(consent.append, _start(ANNA))
        mirror.follow()
        redis.flushdb()
        for key, content in snapshot.items():
            redis.restore(key, 0, content)
        assert mirror.repair(compare_counts=False) == []
        assert mirror.follow() == 2
        (bucket,) = redis.keys("{1}:suppressed:0:*")
        assert {int(one) for one in redis.smembers(bucket) if int(one) > 0} == {BERT}
        assert _members(sets) == 1

    def test_what_a_lookup_met(self, bench: Bench, mirror: Mirror, redis: Redis) -> None:
        """A lookup that met a lost bucket has the scope rebuilt, however many buckets there are."""
        for who in crowd(30):
            bench.opt_out(who)
        mirror.repair(compare_counts=False)
        redis.hset("{1}:suppressed:0", "met_cold", redis.hget("{1}:suppressed:0", "generation"))
        assert mirror.repair(compare_counts=False) == [EVERYBODY]
        assert mirror.repair(compare_counts=False) == []

    def test_a_set_that_outgrew_its_buckets(
        self, bench: Bench, mirror: Mirror, sets: RedisSets
    ) -> None:
        """A set built for a few that has become large is built anew, with more buckets."""
        mirror.repair(compare_counts=False)
        for who in crowd(INTSET_LIMIT + 1):
            bench.opt_out(who)
        mirror.follow()
        assert mirror.repair(compare_counts=False) == [EVERYBODY]
        assert _members(sets) == INTSET_LIMIT + 1

    def test_a_position_of_another_history(
        self, bench: Bench, mirror: Mirror, sets: RedisSets
    ) -> None:
        """Where Postgres came back from a dump, transaction ids begin anew: all is rebuilt."""
        mirror.repair(compare_counts=False)
        sets.note_position(1 << 50)
        bench.opt_out(ANNA)
        assert mirror.follow() == 0
        assert EVERYBODY in mirror.repair(compare_counts=False)
        assert _members(sets) == 1
        bench.opt_out(BERT)
        assert mirror.follow() >= 1
        assert _members(sets) == 2

    def test_a_new_sender(self, bench: Bench, mirror: Mirror) -> None:
        """A sender that is entered later gets its set as well."""
        mirror.repair(compare_counts=False)
        sender = bench.sender_id(SENDER)
        assert mirror.repair(compare_counts=False) == [(TENANT, sender)]

    def test_two_reasons_are_one_member(self, bench: Bench, mirror: Mirror) -> None:
        """A person suppressed for two reasons is one member, and no reason for a rebuild."""
        bench.opt_out(ANNA)
        bench.opt_out(ANNA, reason=ReasonClass.MANUAL)
        mirror.repair(compare_counts=False)
        assert mirror.repair(compare_counts=True) == []


class TestWhatPostgresKeeps:
    """For others to look at: up to where the last change was followed."""

    def _kept(self, bench: Bench) -> int | None:
        return bench.db.run(cursors.read, CURSOR)

    def test_a_change(self, bench: Bench, mirror: Mirror) -> None:
        """It is there from the first build, and beyond each change that was followed."""
        assert self._kept(bench) is None
        mirror.repair(compare_counts=False)
        assert self._kept(bench) is not None
        bench.opt_out(ANNA)
        mirror.follow()
        assert (self._kept(bench) or 0) > bench.db.run(audit.newest_consent)

    def test_nothing(self, bench: Bench, mirror: Mirror, sets: RedisSets) -> None:
        """Where nothing has changed nothing is written, or that would be followed for ever."""
        mirror.repair(compare_counts=False)
        bench.execute("SELECT pg_current_xact_id()")
        mirror.follow()
        kept = self._kept(bench)
        assert (sets.position() or 0) > (kept or 0)
        mirror.follow()
        assert self._kept(bench) == kept

    def test_a_database_made_anew(self, bench: Bench, mirror: Mirror, sets: RedisSets) -> None:
        """Where it is missing, and the sets have followed, it is written again."""
        mirror.repair(compare_counts=False)
        bench.execute("DELETE FROM cursor_position")
        assert mirror.repair(compare_counts=False) == []
        assert self._kept(bench) == sets.position()


class TestFollow:
    """Changes, one by one."""

    def test_nothing_before_the_first_build(self, bench: Bench, mirror: Mirror) -> None:
        """Before the first rebuild there is nothing to follow."""
        bench.opt_out(ANNA)
        assert mirror.follow() == 0

    def test_an_opt_out(self, bench: Bench, mirror: Mirror, sets: RedisSets) -> None:
        """What the log gains is in the set after the next round, once."""
        mirror.repair(compare_counts=False)
        bench.opt_out(ANNA)
        bench.opt_out(BERT)
        assert mirror.follow() == 2
        assert _members(sets) == 2
        assert mirror.follow() == 0

    def test_a_start(self, bench: Bench, mirror: Mirror, sets: RedisSets) -> None:
        """A person who may be texted again leaves the set."""
        mirror.repair(compare_counts=False)
        bench.opt_out(ANNA)
        mirror.follow()
        bench.db.run(consent.append, _start())
        mirror.follow()
        assert _members(sets) == 0

    def test_a_time_that_became_known(self, bench: Bench, mirror: Mirror, sets: RedisSets) -> None:
        """That a STOP is older than the START is followed when it is learnt."""
        bench.stop(ANNA, sid="SM1")
        bench.text("START", ANNA, sid="SM2")
        mirror.repair(compare_counts=False)
        mirror.follow()
        assert _members(sets) == 1
        with bench.db.transaction() as tx:
            for minutes, sid in enumerate(("SM1", "SM2")):
                inbound.set_provider_time(tx, sid, NOON + timedelta(minutes=minutes))
            consent.lock_person(tx, tenant_id=TENANT, recipient=ANNA)
            consent.refold(tx, tenant_id=TENANT, recipient=ANNA)
        assert mirror.follow() == 1
        assert _members(sets) == 0

    def test_the_current_fold_counts(self, bench: Bench, mirror: Mirror, sets: RedisSets) -> None:
        """Read late, a stretch of the log is written as things stand now."""
        mirror.repair(compare_counts=False)
        bench.db.run(consent.append, _start())
        bench.opt_out(ANNA)
        mirror.follow()
        assert _members(sets) == 0

    def test_a_late_commit(self, bench: Bench, mirror: Mirror, sets: RedisSets) -> None:
        """An opt-out that commits after later ones is followed all the same."""
        mirror.repair(compare_counts=False)
        with bench.db.transaction() as slow:
            consent.append(slow, consent_event(recipient=ANNA))
            bench.opt_out(BERT)
            mirror.follow()
        mirror.follow()
        assert _members(sets) == 2

    def test_the_platforms_list(self, bench: Bench, mirror: Mirror, sets: RedisSets) -> None:
        """Platform-wide opt-outs are in the platform's set."""
        mirror.repair(compare_counts=False)
        bench.opt_out(ANNA, tenant_id=0)
        mirror.follow()
        assert (_members(sets, (0, 0)), _members(sets)) == (1, 0)

    def test_a_scope_of_its_own(self, bench: Bench, mirror: Mirror, sets: RedisSets) -> None:
        """An opt-out from one sender is in that sender's set only."""
        sender = bench.sender_id(SENDER)
        mirror.repair(compare_counts=False)
        bench.opt_out(ANNA, scope=sender)
        mirror.follow()
        assert (_members(sets, (TENANT, sender)), _members(sets)) == (1, 0)
        assert (TENANT, sender) in bench.db.run(senders.all_scopes)
