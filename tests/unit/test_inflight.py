"""An account's requests in flight: two limits at once, and what answers do to one of them."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from sender.domain.concurrency import FIRST
from sender.domain.outcome import Accepted, Outcome, Throttled
from sender.inflight import InFlight
from sender.permits import Permits
from sender.slots import Slots
from tests.unit.slot_rows import WaitingRow, settled

TAKEN = Accepted(sid="SM1", provider_status="queued")
TOO_MUCH = Throttled(code=20429, retry_after=None)
ASKED = Throttled(code=20429, retry_after=timedelta(seconds=2))
NOTHING = timedelta()


def _accounts(process: Permits, count: int, *, ahead: int = 0) -> list[InFlight]:
    slots = Slots(process.total)
    return [InFlight(process, slots, ahead=ahead, chance=lambda: 0.0) for _ in range(count)]


def _account(process: Permits, *, ahead: int = 0) -> InFlight:
    (account,) = _accounts(process, 1, ahead=ahead)
    return account


def _hand_off(account: InFlight, count: int) -> list[WaitingRow]:
    """So many rows, with permits that were taken."""
    rows = [WaitingRow() for _ in range(count)]
    for row in rows:
        account.hand_off(row)
    return rows


def _count(rows: Sequence[WaitingRow], state: str) -> int:
    return sum(row.state == state for row in rows)


def _answer(account: InFlight, outcome: Outcome, *, at: float) -> timedelta:
    """One request that began a second ago."""
    return account.answered(outcome, begun=at - 1, at=at)


async def test_both_limits_hold() -> None:
    """What is taken fits the account's allowance and the process's permits."""
    process = Permits(28)
    accounts = _accounts(process, 3)
    wanted = (10, 32, 2)
    taken = [await one.take(many) for one, many in zip(accounts, wanted, strict=True)]
    assert taken == [10, FIRST, 2]


async def test_what_the_process_lacks_is_not_kept_from_the_account() -> None:
    """Permits of the account that found none of the process are its others' again."""
    process = Permits(20)
    one, other = _accounts(process, 2)
    assert await other.take(10) == 10
    assert await one.take(16) == 10
    one.give_back(10)
    other.give_back(10)
    assert await one.take(16) == 16


async def test_an_account_that_is_full_holds_up_no_other() -> None:
    """While one account waits for its answers, another one's windows begin."""
    process = Permits(64)
    one, other = _accounts(process, 2)
    assert await one.take(32) == FIRST
    waiting = asyncio.create_task(one.take(32))
    await settled()
    assert not waiting.done()
    assert await other.take(32) == FIRST
    one.give_back(FIRST)
    assert await waiting == FIRST


async def test_who_leaves_either_line_takes_nothing() -> None:
    """A cancelled wait holds permits neither of the account nor of the process."""
    process = Permits(16)
    one, other = _accounts(process, 2)
    assert await other.take(16) == 16
    in_the_second, in_the_first = (asyncio.create_task(one.take(16)) for _ in range(2))
    await settled()
    in_the_second.cancel()
    await settled()
    in_the_first.cancel()
    await settled()
    other.give_back(16)
    assert await one.take(16) == 16


async def test_a_closed_process() -> None:
    """While the process may begin nothing everybody waits; once it may, all go on."""
    process = Permits(64)
    account = _account(process)
    process.close()
    waiting = [asyncio.create_task(account.take(16)) for _ in range(3)]
    await settled()
    assert not any(one.done() for one in waiting)
    process.open(for_good=True)
    for one in waiting:
        account.give_back(await one)
    assert await account.take(16) == 16


async def test_a_refusal_halves_it() -> None:
    """After a 429 no window begins before what is in flight has fallen below the new limit."""
    account = _account(Permits(64))
    rows = _hand_off(account, await account.take(16))
    await settled()
    _answer(account, TOO_MUCH, at=10)
    assert account.limit == 8
    waiting = asyncio.create_task(account.take(16))
    for row in rows[:11]:
        row.answer()
    await settled()
    assert not waiting.done()
    rows[11].answer()
    assert await waiting == 4


async def test_who_waits_for_more_than_there_is_left() -> None:
    """A window that has waited in line since before the cut gets what there can be."""
    account = _account(Permits(64))
    taken = await account.take(16)
    waiting = asyncio.create_task(account.take(16))
    await settled()
    for at in (10, 20, 30, 40):
        _answer(account, TOO_MUCH, at=at)
    assert account.limit == 1
    account.give_back(taken)
    assert await waiting == 1


async def test_it_grows_with_what_is_in_flight() -> None:
    """Answers raise the limit while it is used, and those in line go on at once."""
    account = _account(Permits(64))
    _hand_off(account, await account.take(16))
    waiting = asyncio.create_task(account.take(16))
    await settled()
    for number in range(16):
        _answer(account, TAKEN, at=10 + number)
    assert account.limit == 32
    assert await waiting == 16


async def test_many_at_once() -> None:
    """Under any interleaving of cuts and answers everybody is served, and nothing gets lost."""
    process = Permits(20)
    accounts = _accounts(process, 3)
    answers, in_flight, most = 0, 0, 0

    class Row(WaitingRow):
        """One that is answered at once."""

        def __init__(self, account: InFlight) -> None:
            super().__init__()
            self.account = account

        async def hand_off(self) -> None:
            nonlocal answers, in_flight, most
            in_flight += 1
            most = max(most, in_flight)
            await asyncio.sleep(0)
            answers += 1
            _answer(self.account, TAKEN if answers % 7 else TOO_MUCH, at=2.0 * answers)
            in_flight -= 1

    async def window(account: InFlight, wanted: int) -> int:
        taken = await account.take(wanted)
        for _ in range(taken):
            account.hand_off(Row(account))
        return taken

    async with asyncio.timeout(20):
        begun = await asyncio.gather(*(window(accounts[n % 3], 1 + n % 32) for n in range(90)))
        assert await process.take(20) == 20
    assert most <= 20
    assert answers == sum(begun)


class TestAhead:
    """Rows that are guarded before there are slots for their requests."""

    async def test_half_of_the_allowance_more(self) -> None:
        """More rows are let through than requests, which still wait for their slots."""
        account = _account(Permits(64, ahead=32), ahead=32)
        rows = _hand_off(account, await account.take(32))
        await settled()
        assert len(rows) == FIRST + FIRST // 2
        assert _count(rows, "begun") == FIRST
        rows[0].answer()
        await settled()
        assert _count(rows, "begun") == FIRST
        assert _count(rows, "waiting") == FIRST // 2 - 1

    async def test_an_allowance_that_grows_lets_them_begin(self) -> None:
        """They need not wait for an answer to end."""
        account = _account(Permits(64, ahead=32), ahead=32)
        rows = _hand_off(account, await account.take(32))
        await settled()
        for number in range(3):
            _answer(account, TAKEN, at=10 + number)
        await settled()
        assert _count(rows, "begun") == FIRST + 3

    async def test_not_where_answers_are_slow(self) -> None:
        """An account that takes seconds to answer would let guards grow old."""
        account = _account(Permits(64, ahead=32), ahead=32)
        for at in range(10, 60):
            account.answered(TOO_MUCH, begun=at - 9, at=at)
        taken = await account.take(32)
        assert taken == account.limit

    async def test_again_where_they_have_become_fast(self) -> None:
        """At an account that takes all there is, its pace alone says what is guarded ahead."""
        account = _account(Permits(FIRST, ahead=8), ahead=8)
        for took, guarded in ((9.0, FIRST), (0.05, FIRST + 8), (9.0, FIRST)):
            for at in range(50):
                account.answered(TAKEN, begun=at - took, at=at)
            taken = await account.take(FIRST + 8)
            assert taken == guarded
            account.give_back(taken)

    async def test_whose_slot_does_not_come_in_time(self) -> None:
        """A row that the account has no room for is turned away, and its permit is back."""
        account = _account(Permits(16, ahead=8), ahead=8)
        rows = [WaitingRow(by=0.0) for _ in range(await account.take(24))]
        for row in rows:
            account.hand_off(row)
        async with asyncio.timeout(10):
            assert await account.take(24) == 8
        assert (_count(rows, "begun"), _count(rows, "turned away")) == (FIRST, 8)

    async def test_all_accounts_share_the_process(self) -> None:
        """Requests of all accounts together are no more than the process may make."""
        process = Permits(20, ahead=16)
        rows = []
        for account in _accounts(process, 2, ahead=16):
            rows += _hand_off(account, await account.take(16))
        await settled()
        assert (_count(rows, "begun"), _count(rows, "waiting")) == (20, 12)
        for row in rows:
            row.answer()
        await settled()
        assert _count(rows, "ended") == 32

    async def test_whom_the_process_has_no_slot_for_in_time(self) -> None:
        """It takes along neither its permit nor what the account had let in of it."""
        one, other = _accounts(Permits(1, ahead=1), 2, ahead=1)
        (first,) = _hand_off(one, await one.take(1))
        for _ in range(2):
            assert await other.take(1) == 1
            late = WaitingRow(by=0.0)
            other.hand_off(late)
            async with asyncio.timeout(10):
                await late.turned_away.wait()
        first.answer()
        await settled()
        (last,) = _hand_off(other, await other.take(1))
        await settled()
        assert last.state == "begun"


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
