"""Ways out of ``sending``: settle, put back, and what is learned later."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import Any
from uuid import UUID, uuid4

import pytest

from sender.domain.message import TRANSITIONS, Guarded, State, sources_of
from sender.domain.outcome import Accepted
from sender.storage.database import AsyncDatabase
from sender.storage.messages import Evidence
from sender.storage.settling import Move, Oddity, Way
from tests.answers import settle
from tests.bench import ANNA, BERT, NOBODY, Bench, crowd, new_sid

#: Settles moves; how many rows took something from it.
Settling = Callable[[Sequence[Move]], int]


@pytest.fixture(params=["settle", "settle_alone"])
def settling(request: pytest.FixtureRequest, bench: Bench) -> Settling:
    """Either way to settle: both come to the same."""
    if request.param == "settle":
        return partial(bench.db.run, bench.messages.settle)
    return partial(bench.db.run_alone, bench.messages.settle_alone)


#: Rows that go the same way share one, as settlement has it.
_way = cache(Way)


def _move(
    licence: Guarded, state: State = State.SENT, sid: str | None = None, **facts: Any
) -> Move:
    plain: dict[str, Any] = {"reason": "accepted"}
    way = _way(state=state, **plain | facts)
    return Move(message_id=licence.message_id, gen=licence.gen, way=way, sid=sid)


def _sent(licence: Guarded, number: int = 1) -> Move:
    return _move(licence, sid=new_sid(number), provider_status="queued")


def _learn(bench: Bench, message_id: UUID, state: State, **facts: Any) -> State | None:
    """Learn that a message is in a state; the state it is in then."""
    plain: dict[str, Any] = {
        "reason": "reported",
        "sid": new_sid(1),
        "provider_status": state.value,
        "provider_code": None,
    }
    evidence = Evidence(message_id=message_id, **plain | facts)
    known = bench.db.run(bench.messages.learn, [evidence], state, sources_of(state))
    return State(bench.message(message_id).state) if message_id in known else None


def _alarms(bench: Bench) -> list[tuple[str, str]]:
    found = bench.execute("SELECT kind, detail ->> 'sid' AS sid FROM alarm ORDER BY id")
    return [(row.kind, row.sid) for row in found]


async def test_an_accepted_row(bench: Bench, loop_db: AsyncDatabase) -> None:
    """It has the answer's SID and status, and keeps the generation that its guard gave it."""
    campaign = bench.campaign(ANNA)
    licence = bench.guard_all(campaign)[ANNA]
    await settle(bench, loop_db, licence, Accepted(sid=new_sid(1), provider_status="queued"))
    row = bench.row(campaign, ANNA)
    assert (row.state, row.reason, row.gen) == ("sent", "accepted", licence.gen)
    assert (row.sid, row.provider_status) == (new_sid(1), "queued")


class TestSettle:
    """What settlement decided, written down."""

    def test_an_accepted_row(self, bench: Bench, settling: Settling) -> None:
        """An accepted row is sent, keeps its SID and the provider's word, and has no lease."""
        campaign = bench.campaign(ANNA)
        licence = bench.guard_all(campaign)[ANNA]
        assert settling([_sent(licence)]) == 1
        row = bench.row(campaign)
        assert (row.state, row.reason, row.sid, row.provider_status) == (
            "sent",
            "accepted",
            new_sid(1),
            "queued",
        )
        assert (row.gen, row.lease_until) == (1, None)

    def test_another_generation_is_left_alone(self, bench: Bench, settling: Settling) -> None:
        """A settlement that names another generation changes nothing."""
        campaign = bench.campaign(ANNA)
        licence = bench.guard_all(campaign)[ANNA]
        other = Guarded(
            message_id=licence.message_id, gen=licence.gen + 1, guarded_at=licence.guarded_at
        )
        assert not settling([_sent(other)])
        assert bench.row(campaign).state == "sending"

    def test_settling_twice_is_harmless(self, bench: Bench, settling: Settling) -> None:
        """A settlement repeated after a lost answer changes nothing."""
        campaign = bench.campaign(*crowd(3))
        first, second, third = bench.guard_all(campaign).values()
        moves = [
            _sent(first),
            _move(second, State.PENDING, reason="throttled"),
            _move(third, State.IN_DOUBT, reason="read_timeout"),
        ]
        assert settling(moves) == 3
        before = bench.execute("SELECT * FROM message ORDER BY id")
        assert not settling(moves)
        assert bench.execute("SELECT * FROM message ORDER BY id") == before

    def test_a_throttled_row_rests(self, bench: Bench, settling: Settling) -> None:
        """A throttled row is pending again, one generation later, and due when it has rested."""
        campaign = bench.campaign(ANNA)
        licence = bench.guard_all(campaign)[ANNA]
        rest = timedelta(seconds=30)
        move = _move(licence, State.PENDING, reason="throttled", provider_code=20429, rest=rest)
        settling([move])
        row = bench.row(campaign)
        assert (row.state, row.reason, row.gen, row.owner) == ("pending", "throttled", 2, None)
        assert timedelta(seconds=20) < row.next_at - datetime.now(UTC) <= rest
        span: dict[str, Any] = {
            "campaign_id": campaign,
            "after": UUID(int=0),
            "last": UUID(int=2**128 - 1),
        }
        assert not bench.db.run(bench.messages.due, limit=9, **span)
        bench.execute("UPDATE message SET next_at = now()")
        assert [one.gen for one in bench.db.run(bench.messages.due, limit=9, **span)] == [2]

    def test_an_old_refusal_does_not_stick(self, bench: Bench, settling: Settling) -> None:
        """The code of an earlier 429 does not stand beside a message that was accepted later."""
        campaign = bench.campaign(ANNA)
        first = bench.guard_all(campaign)[ANNA]
        throttled = _move(first, State.PENDING, reason="throttled", provider_code=20429)
        settling([throttled])
        second = bench.guard_all(campaign)[ANNA]
        settling([_sent(second)])
        assert (bench.row(campaign).state, bench.row(campaign).provider_code) == ("sent", None)

    def test_a_batch(self, bench: Bench, settling: Settling) -> None:
        """A batch settles every row by its own move."""
        people = crowd(50)
        campaign = bench.campaign(*people)
        licences = bench.guard_all(campaign)
        moves = [
            _sent(licences[who], who)
            if who % 2
            else _move(licences[who], State.FAILED, reason="bad_number", provider_code=21211)
            for who in people
        ]
        assert settling(moves) == 50
        for who in people:
            row = bench.row(campaign, who)
            expected = ("sent", None, new_sid(who)) if who % 2 else ("failed", 21211, None)
            assert (row.state, row.provider_code, row.sid) == expected

    def test_a_batch_in_no_order(self, bench: Bench, settling: Settling) -> None:
        """Each row gets what its own move says, wherever in the batch that is."""
        people = crowd(40)
        campaign = bench.campaign(*people)
        licences = bench.guard_all(campaign)
        ways: list[dict[str, Any]] = [
            {"state": State.SENT, "provider_status": "queued"},
            {"state": State.SENT, "provider_status": "accepted"},
            {"state": State.IN_DOUBT, "reason": "http_500", "provider_code": 500},
            {"state": State.FAILED, "reason": "content", "provider_code": 21617},
        ]
        shared = [Way(**{"reason": "accepted", **way}) for way in ways]
        moves = []
        for n, who in enumerate(people):
            way = ways[n % 4]
            sid = new_sid(who) if way["state"] is State.SENT else None
            move = _move(licences[who], sid=sid, **way)
            moves.append(replace(move, way=shared[n % 4]) if n % 3 else move)
        stale = replace(moves[7], gen=moves[7].gen + 1)
        mixed = [*moves[::3], *moves[2::3], stale, *moves[1::3]]
        mixed.remove(moves[7])
        assert settling(mixed) == len(people) - 1
        for who, move in zip(people, moves, strict=True):
            row = bench.row(campaign, who)
            if move is moves[7]:
                assert row.state == "sending"
                continue
            said = move.way
            told = (row.state, row.reason, row.provider_status, row.provider_code)
            assert told == (said.state, said.reason, said.provider_status, said.provider_code)
            assert row.sid == move.sid

    def test_a_batch_that_goes_one_way(self, bench: Bench, settling: Settling) -> None:
        """Each row by its own generation, in whatever order; a stale licence moves none."""
        people = crowd(40)
        campaign = bench.campaign(*people)
        bench.execute("UPDATE message SET gen = 2 * (recipient % 5)")
        licences = bench.guard_all(campaign)
        stale = people[7]
        moves = [
            replace(_sent(licences[who], who), gen=licences[who].gen + 2 * (who == stale))
            for who in people
        ]
        assert settling([*moves[::3], *moves[2::3], *moves[1::3]]) == len(people) - 1
        for who in people:
            row = bench.row(campaign, who)
            if who == stale:
                assert (row.state, row.sid) == ("sending", None)
            else:
                assert (row.state, row.sid, row.gen) == ("sent", new_sid(who), licences[who].gen)

    def test_a_row_that_is_there_twice(self, bench: Bench, settling: Settling) -> None:
        """Its latest licence counts, and no other row is held up by it."""
        campaign = bench.campaign(ANNA, BERT)
        licences = bench.guard_all(campaign)
        before = replace(licences[ANNA], gen=licences[ANNA].gen - 1)
        assert settling([_sent(before, 1), _sent(licences[BERT], 2), _sent(licences[ANNA], 3)]) == 2
        sids = {who: bench.row(campaign, who).sid for who in (ANNA, BERT)}
        assert sids == {ANNA: new_sid(3), BERT: new_sid(2)}

    def test_a_batch_of_as_many_ways_as_rows(self, bench: Bench, settling: Settling) -> None:
        """Rows that were refused for now rest each as long as it does."""
        people = crowd(20)
        campaign = bench.campaign(*people)
        licences = bench.guard_all(campaign)
        rests = {who: timedelta(seconds=60 + n) for n, who in enumerate(people)}
        moves = [
            _move(licences[who], State.PENDING, reason="throttled", rest=rests[who])
            for who in people
        ]
        assert settling(moves[::-1]) == len(people)
        due = [bench.row(campaign, who).next_at for who in people]
        assert due == sorted(due)
        assert due[-1] - due[0] == timedelta(seconds=len(people) - 1)
        assert {bench.row(campaign, who).state for who in people} == {"pending"}

    @pytest.mark.parametrize("sid", ['S"M', "S\\M", "S{M},NULL", "NULL", "", "SM ü'"])
    def test_what_the_provider_calls_it(self, bench: Bench, settling: Settling, sid: str) -> None:
        """A SID is stored as it came, and is none of the batch's others'."""
        campaign = bench.campaign(ANNA, BERT)
        licences = bench.guard_all(campaign)
        moves = [_move(licences[ANNA], sid=sid), _sent(licences[BERT], 2)]
        assert settling(moves) == 2
        assert bench.row(campaign).sid == sid
        assert bench.row(campaign, BERT).sid == new_sid(2)

    def test_nothing_to_settle(self, bench: Bench, settling: Settling) -> None:
        """An empty batch is no error."""
        assert settling([]) == 0


class TestSweeperWasFirst:
    """The row was called in doubt before its answer was settled."""

    def test_a_late_acceptance_counts(self, bench: Bench, settling: Settling) -> None:
        """The owner's late word that it was accepted ends the doubt."""
        campaign = bench.campaign(ANNA)
        licence = bench.guard_all(campaign)[ANNA]
        bench.put(campaign, "in_doubt", reason="worker_lost")
        settling([_sent(licence)])
        row = bench.row(campaign)
        assert (row.state, row.reason, row.sid) == ("sent", "accepted", new_sid(1))

    def test_never_back_to_pending(self, bench: Bench, settling: Settling) -> None:
        """Not even its owner's word that nothing was sent makes a doubted row pending again."""
        campaign = bench.campaign(ANNA)
        licence = bench.guard_all(campaign)[ANNA]
        bench.put(campaign, "in_doubt", reason="lease_ran_out")
        move = _move(licence, State.PENDING, reason="connect_refused")
        assert not settling([move])
        bench.db.run(
            bench.messages.put_back, {licence.message_id: licence.gen}, owner=NOBODY, reason="x"
        )
        assert bench.row(campaign).state == "in_doubt"

    def test_unknown_learns_only_the_sid(self, bench: Bench, settling: Settling) -> None:
        """After 48 hours even the owner's word only adds the SID."""
        campaign = bench.campaign(ANNA)
        licence = bench.guard_all(campaign)[ANNA]
        bench.put(campaign, "unknown", reason="read_timeout")
        settling([_sent(licence)])
        assert (bench.row(campaign).state, bench.row(campaign).sid) == ("unknown", new_sid(1))


class TestCallbackWasFirst:
    """The status callback overtook our own settlement."""

    @pytest.mark.parametrize("state", [State.SENT, State.DELIVERED, State.UNDELIVERED])
    def test_the_settlement_takes_nothing_back(
        self, bench: Bench, settling: Settling, state: State
    ) -> None:
        """What the callback said stays when our own acceptance is settled after it."""
        campaign = bench.campaign(ANNA)
        licence = bench.guard_all(campaign)[ANNA]
        assert _learn(bench, licence.message_id, state, provider_code=30003) is state
        before = bench.row(campaign)
        settling([_sent(licence)])
        assert bench.row(campaign) == before
        assert (before.sid, before.provider_status, before.provider_code) == (
            new_sid(1),
            state.value,
            30003,
        )

    def test_an_ambiguous_answer_takes_nothing_back(self, bench: Bench, settling: Settling) -> None:
        """A time-out settled after the callback raises no doubt."""
        campaign = bench.campaign(ANNA)
        licence = bench.guard_all(campaign)[ANNA]
        _learn(bench, licence.message_id, State.SENT)
        settling([_move(licence, State.IN_DOUBT, reason="reset")])
        assert bench.row(campaign).state == "sent"
        assert bench.value("SELECT count(*) FROM doubt") == 0


class TestAgainstWhatIsKnown:
    """An answer that comes after something else was learnt."""

    def test_a_person_had_found_it_not_sent(self, bench: Bench, settling: Settling) -> None:
        """The provider's late acceptance beats the verdict: the row is sent, and that is odd."""
        campaign = bench.campaign(ANNA)
        licence = bench.guard_all(campaign)[ANNA]
        bench.put(campaign, "failed", reason="verdict_not_sent")
        assert settling([_sent(licence)]) == 1
        assert _alarms(bench) == [(Oddity.CONTRADICTS_VERDICT, _sent(licence).sid)]
        row = bench.row(campaign)
        assert (row.state, row.reason, row.sid) == ("sent", "accepted", new_sid(1))
        assert not settling([_sent(licence)])

    @pytest.mark.parametrize("state", [State.PENDING, State.IN_DOUBT, State.FAILED])
    def test_nothing_less_beats_a_verdict(
        self, bench: Bench, settling: Settling, state: State
    ) -> None:
        """What proves no acceptance leaves a person's verdict alone, and the row ended."""
        campaign = bench.campaign(ANNA)
        licence = bench.guard_all(campaign)[ANNA]
        bench.put(campaign, "failed", reason="verdict_not_sent")
        assert not settling([_move(licence, state, reason="reset")])
        assert bench.row(campaign).reason == "verdict_not_sent"

    @pytest.mark.parametrize(
        ("state", "end"),
        [("sending", "sent"), ("in_doubt", "sent"), ("sent", "sent"), ("delivered", "delivered")],
    )
    def test_another_sid(self, bench: Bench, settling: Settling, state: str, end: str) -> None:
        """The first SID stays; a second one is odd, whatever the row had come to."""
        campaign = bench.campaign(ANNA)
        licence = bench.guard_all(campaign)[ANNA]
        bench.put(campaign, state, sid=new_sid(1))
        assert settling([_sent(licence, 2)]) == 1
        assert _alarms(bench) == [(Oddity.SECOND_SID, _sent(licence, 2).sid)]
        assert (bench.row(campaign).state, bench.row(campaign).sid) == (end, new_sid(1))


class TestBesideCallbacks:
    """What was answered is settled while callbacks tell of the same rows."""

    def test_they_wait_for_each_other(self, bench: Bench) -> None:
        """Both take rows in one order: they never come to hold what the other waits for."""
        people = crowd(200)
        campaign = bench.campaign(*people)
        alone = bench.db.engine.execution_options(isolation_level="AUTOCOMMIT")

        def settle_all(moves: Sequence[Move]) -> None:
            with alone.connect() as connection:  # a deadlock is raised here, and not got over
                bench.messages.settle_alone(connection, moves)

        def learn_all(evidence: Sequence[Evidence]) -> None:
            with bench.db.engine.begin() as tx:
                bench.messages.learn(tx, evidence, State.DELIVERED, sources_of(State.DELIVERED))

        for _ in range(30):
            licences = bench.guard_all(campaign)
            told = [
                Evidence(
                    message_id=licence.message_id,
                    reason="reported",
                    sid=new_sid(who),
                    provider_status="delivered",
                    provider_code=None,
                )
                for who, licence in licences.items()
            ]
            # Neither gets its rows in the order that it locks them in.
            moves = [_sent(licence, who) for who, licence in reversed(licences.items())]
            with ThreadPoolExecutor(2) as pool:
                for under_way in (pool.submit(settle_all, moves), pool.submit(learn_all, told)):
                    under_way.result()
            assert set(bench.states(campaign).values()) == {"delivered"}
            bench.execute("UPDATE message SET state = 'pending', sid = NULL")
        assert _alarms(bench) == []


class TestPutBack:
    """Rows whose request provably was not begun."""

    def test_the_owner_may(self, bench: Bench) -> None:
        """Its owner puts a row back, one generation later, due at once."""
        campaign = bench.campaign(ANNA)
        licence = bench.guard_all(campaign, owner=7)[ANNA]
        mine = {licence.message_id: licence.gen}
        bench.db.run(bench.messages.put_back, mine, owner=7, reason="guard_broke")
        row = bench.row(campaign)
        assert (row.state, row.reason, row.gen, row.owner, row.lease_until) == (
            "pending",
            "guard_broke",
            2,
            None,
            None,
        )
        assert set(bench.guard_all(campaign)) == {ANNA}

    def test_several_in_no_order(self, bench: Bench) -> None:
        """Each by its own generation."""
        people = crowd(9)
        campaign = bench.campaign(*people)
        bench.execute("UPDATE message SET gen = 2 * (recipient % 4)")
        licences = bench.guard_all(campaign, owner=7)
        mine = {one.message_id: one.gen for one in reversed(licences.values())}
        mine[licences[people[3]].message_id] += 2
        bench.db.run(bench.messages.put_back, mine, owner=7, reason="guard_broke")
        states = {who: bench.row(campaign, who).state for who in people}
        assert states == {who: "sending" if who == people[3] else "pending" for who in people}

    @pytest.mark.parametrize(("gen", "owner"), [(1, 8), (0, 7), (2, 7)])
    def test_nobody_else_may(self, bench: Bench, gen: int, owner: int) -> None:
        """Another worker, or another generation, puts nothing back."""
        campaign = bench.campaign(ANNA)
        licence = bench.guard_all(campaign, owner=7)[ANNA]
        bench.db.run(
            bench.messages.put_back, {licence.message_id: gen}, owner=owner, reason="guard_broke"
        )
        assert bench.row(campaign).state == "sending"

    def test_a_licence_is_void_after_it(self, bench: Bench, settling: Settling) -> None:
        """A settlement under the licence that was given back changes nothing."""
        campaign = bench.campaign(ANNA)
        licence = bench.guard_all(campaign)[ANNA]
        mine = {licence.message_id: licence.gen}
        bench.db.run(bench.messages.put_back, mine, owner=NOBODY, reason="guard_broke")
        assert not settling([_sent(licence)])


class TestLearn:
    """Later evidence."""

    @pytest.mark.parametrize("source", list(State))
    def test_the_table_is_obeyed(self, bench: Bench, source: State) -> None:
        """Evidence moves a row exactly where the transition table says."""
        campaign = bench.campaign(ANNA)
        for target in State:
            message_id = bench.put(campaign, source.value)
            allowed = target in TRANSITIONS[source]
            assert _learn(bench, message_id, target) is (target if allowed else source)

    def test_the_latest_word_of_the_provider(self, bench: Bench) -> None:
        """A status that comes too late to move the row does not replace the newer one."""
        campaign = bench.campaign(ANNA)
        message_id = bench.put(campaign, "sent", sid=new_sid(1), provider_status="queued")
        _learn(bench, message_id, State.DELIVERED)
        assert _learn(bench, message_id, State.SENT) is State.DELIVERED
        assert bench.row(campaign).provider_status == "delivered"

    def test_no_such_row(self, bench: Bench) -> None:
        """Evidence about a message we do not have is told as such."""
        assert _learn(bench, uuid4(), State.SENT) is None


class TestSuppressAndRefuse:
    """Pending rows that are settled without a request."""

    def test_the_reason_is_postgress(self, bench: Bench) -> None:
        """A suppressed row carries the oldest suppression's reason; an unsuppressed one stays."""
        campaign = bench.campaign(ANNA, BERT)
        bench.opt_out(ANNA)
        ids = [row.id for row in bench.due(campaign)]
        settled = bench.db.run(bench.messages.suppress, ids)
        assert settled == {bench.row(campaign, ANNA).id}
        assert bench.row(campaign, ANNA).reason == "stop"
        assert bench.row(campaign, BERT).state == "pending"

    def test_a_row_under_way_stays(self, bench: Bench) -> None:
        """A row that is being sent is not called suppressed, nor failed."""
        campaign = bench.campaign(ANNA)
        bench.guard_all(campaign)
        bench.opt_out(ANNA)
        ids = [row.id for row in bench.due(campaign)]
        assert not bench.db.run(bench.messages.suppress, ids)
        bench.db.run(bench.messages.refuse, ids, reason="unfit_body")
        assert bench.row(campaign).state == "sending"

    def test_an_unfit_row_fails(self, bench: Bench) -> None:
        """A row whose body cannot be made fails with its reason."""
        campaign = bench.campaign(ANNA)
        ids = [row.id for row in bench.due(campaign)]
        bench.db.run(bench.messages.refuse, ids, reason="unfit_body")
        row = bench.row(campaign)
        assert (row.state, row.reason) == ("failed", "unfit_body")
