"""An account's requests in flight: two limits at once, and what answers do to one of them."""

import asyncio
from datetime import timedelta

import pytest

from sender.domain.concurrency import FIRST
from sender.domain.outcome import Accepted, Outcome, Throttled
from sender.inflight import InFlight
from sender.permits import Permits

TAKEN = Accepted(sid="SM1", provider_status="queued")
TOO_MUCH = Throttled(code=20429, retry_after=None)
ASKED = Throttled(code=20429, retry_after=timedelta(seconds=2))
NOTHING = timedelta()
#: By the send clock: nobody waits for so long.
FAR = float("inf")


def _account(process: Permits) -> InFlight:
    return InFlight(process, chance=lambda: 0.0)


def _answer(account: InFlight, outcome: Outcome, *, at: float) -> timedelta:
    """One request that began a second ago."""
    return account.answered(outcome, begun=at - 1, at=at)


async def _settled() -> None:
    """Let everything that can run, run."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_both_limits_hold() -> None:
    """What is taken fits the account's allowance and the process's permits."""
    process = Permits(28)
    accounts = [_account(process) for _ in range(3)]
    wanted = (10, 32, 2)
    taken = [await one.take(many) for one, many in zip(accounts, wanted, strict=True)]
    assert taken == [10, FIRST, 2]


async def test_what_the_process_lacks_is_not_kept_from_the_account() -> None:
    """Permits of the account that found none of the process are its others' again."""
    process = Permits(20)
    one, other = _account(process), _account(process)
    assert await other.take(10) == 10
    assert await one.take(16) == 10
    one.give_back(10)
    other.give_back(10)
    assert await one.take(16) == 16


async def test_an_account_that_is_full_holds_up_no_other() -> None:
    """While one account waits for its answers, another one's windows begin."""
    process = Permits(64)
    one, other = _account(process), _account(process)
    assert await one.take(32) == FIRST
    waiting = asyncio.create_task(one.take(32))
    await _settled()
    assert not waiting.done()
    assert await other.take(32) == FIRST
    one.give_back(FIRST)
    assert await waiting == FIRST


async def test_who_leaves_either_line_takes_nothing() -> None:
    """A cancelled wait holds permits neither of the account nor of the process."""
    process = Permits(16)
    one, other = _account(process), _account(process)
    assert await other.take(16) == 16
    in_the_second, in_the_first = (asyncio.create_task(one.take(16)) for _ in range(2))
    await _settled()
    in_the_second.cancel()
    await _settled()
    in_the_first.cancel()
    await _settled()
    other.give_back(16)
    assert await one.take(16) == 16


async def test_a_closed_process() -> None:
    """While the process may begin nothing everybody waits; once it may, all go on."""
    process = Permits(64)
    account = _account(process)
    process.close()
    waiting = [asyncio.create_task(account.take(16)) for _ in range(3)]
    await _settled()
    assert not any(one.done() for one in waiting)
    process.open(for_good=True)
    for one in waiting:
        account.give_back(await one)
    assert await account.take(16) == 16


async def test_a_refusal_halves_it() -> None:
    """After a 429 no window begins before what is in flight has fallen below the new limit."""
    account = _account(Permits(64))
    taken = await account.take(16)
    for _ in range(taken):
        assert await account.begin(by=FAR)
    _answer(account, TOO_MUCH, at=10)
    assert account.limit == 8
    waiting = asyncio.create_task(account.take(16))
    for _ in range(11):
        account.end()
    await _settled()
    assert not waiting.done()
    account.end()
    assert await waiting == 4


async def test_who_waits_for_more_than_there_is_left() -> None:
    """A window that has waited in line since before the cut gets what there can be."""
    account = _account(Permits(64))
    taken = await account.take(16)
    waiting = asyncio.create_task(account.take(16))
    await _settled()
    for at in (10, 20, 30, 40):
        _answer(account, TOO_MUCH, at=at)
    assert account.limit == 1
    account.give_back(taken)
    assert await waiting == 1


async def test_it_grows_with_what_is_in_flight() -> None:
    """Answers raise the limit while it is used, and those in line go on at once."""
    account = _account(Permits(64))
    for _ in range(await account.take(16)):
        assert await account.begin(by=FAR)
    waiting = asyncio.create_task(account.take(16))
    await _settled()
    for number in range(16):
        _answer(account, TAKEN, at=10 + number)
    assert account.limit == 32
    assert await waiting == 16


async def test_many_at_once() -> None:
    """Under any interleaving of cuts and answers everybody is served, and nothing gets lost."""
    process = Permits(20)
    accounts = [_account(process) for _ in range(3)]
    answers, in_flight, most = 0, 0, 0

    async def window(account: InFlight, wanted: int) -> None:
        nonlocal answers, in_flight, most
        taken = await account.take(wanted)
        in_flight += taken
        most = max(most, in_flight)
        for _ in range(taken):
            assert await account.begin(by=FAR)
            await asyncio.sleep(0)
            answers += 1
            _answer(account, TAKEN if answers % 7 else TOO_MUCH, at=2.0 * answers)
            in_flight -= 1
            account.end()

    async with asyncio.timeout(20):
        await asyncio.gather(*(window(accounts[n % 3], 1 + n % 32) for n in range(90)))
    assert most <= 20
    assert await process.take(20) == 20


class TestAhead:
    """Rows that are guarded before there are slots for their requests."""

    async def test_half_of_the_allowance_more(self) -> None:
        """More rows are let through than requests, which still wait for their slots."""
        account = InFlight(Permits(64, ahead=32), ahead=32)
        assert await account.take(32) == FIRST + FIRST // 2
        begun = [asyncio.create_task(account.begin(by=FAR)) for _ in range(24)]
        await _settled()
        assert sum(one.done() for one in begun) == FIRST
        account.end()
        await _settled()
        assert sum(one.done() for one in begun) == FIRST + 1

    async def test_not_where_answers_are_slow(self) -> None:
        """An account that takes seconds to answer would let guards grow old."""
        account = InFlight(Permits(64, ahead=32), ahead=32)
        for at in range(10, 60):
            account.answered(TOO_MUCH, begun=at - 9, at=at)
        taken = await account.take(32)
        assert taken == account.limit

    async def test_again_where_they_have_become_fast(self) -> None:
        """At an account that takes all there is, its pace alone says what is guarded ahead."""
        account = InFlight(Permits(FIRST, ahead=8), ahead=8)
        for took, guarded in ((9.0, FIRST), (0.05, FIRST + 8), (9.0, FIRST)):
            for at in range(50):
                account.answered(TAKEN, begun=at - took, at=at)
            taken = await account.take(FIRST + 8)
            assert taken == guarded
            account.give_back(taken)

    async def test_whose_slot_does_not_come_in_time(self) -> None:
        """A row that finds no slot gives its permit back."""
        account = InFlight(Permits(16, ahead=8), ahead=8)
        for _ in range(await account.take(24)):
            await account.begin(by=0)
        assert account.limit == FIRST
        assert await account.take(24) == 8

    async def test_all_accounts_share_the_process(self) -> None:
        """Requests of all accounts together are no more than the process may make."""
        process = Permits(20, ahead=16)
        accounts = [InFlight(process, ahead=16) for _ in range(2)]
        begun = []
        for account in accounts:
            rows = await account.take(16)
            begun += [asyncio.create_task(account.begin(by=FAR)) for _ in range(rows)]
        await _settled()
        assert len(begun) == 32
        assert sum(one.done() for one in begun) == 20
        for one in begun:
            one.cancel()


class TestPauses:
    """What the fleet is told."""

    def test_only_when_a_cut_was_not_enough(self) -> None:
        """The first refusals cut; those of the next round pause everybody, told once."""
        account = _account(Permits(64))
        for begun, times_told in ((1.0, 0), (3.0, 1)):
            told = [account.answered(ASKED, begun=begun, at=begun + 1 + n / 1000) for n in range(8)]
            assert told.count(ASKED.retry_after) == times_told
            assert told.count(NOTHING) == 8 - times_told

    def test_again_when_it_is_longer(self) -> None:
        """A longer pause, or one asked for later, is told."""
        account = _account(Permits(64))
        _answer(account, ASKED, at=1)
        for at, seconds, told in ((3, 2, True), (5, 9, True), (7, 2, False), (15, 5, True)):
            asked = Throttled(code=20429, retry_after=timedelta(seconds=seconds))
            assert bool(_answer(account, asked, at=at)) is told

    @pytest.mark.parametrize("outcome", [TAKEN, TOO_MUCH, ASKED])
    def test_mostly_none(self, outcome: Outcome) -> None:
        """One answer alone tells nobody anything."""
        assert _answer(_account(Permits(64)), outcome, at=2) == NOTHING


async def test_who_leaves_a_line_for_slots_takes_nothing_along() -> None:
    """A wait that is cancelled gives back its permit, and the account's slot if it had that."""
    process = Permits(1, ahead=1)
    one, other = (InFlight(process, ahead=1, chance=lambda: 0.0) for _ in range(2))
    assert await one.take(1) == 1
    assert await one.begin(by=FAR)
    assert await other.take(1) == 1
    waiting = asyncio.create_task(other.begin(by=FAR))
    await _settled()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    one.end()
    assert await other.take(1) == 1
    assert await other.begin(by=FAR)
