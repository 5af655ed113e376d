"""Slots: so many requests at a time, taken in turn, and waited for until a given moment only."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

import pytest

from sender.slots import Line, Row, Slots
from tests.unit.slot_rows import WaitingRow, settled, states


@dataclass
class _Account:
    """Counts what it is told."""

    told: Counter[str] = field(default_factory=Counter)

    def begins(self) -> None:
        self.told["begins"] += 1

    def ends(self) -> None:
        self.told["ends"] += 1

    def came_too_late(self, row: Row) -> None:
        self.told["too late"] += 1
        row.turn_away()


async def test_no_more_than_there_are() -> None:
    """Who comes when all are taken waits, and is served in turn, whoever's it is."""
    rows, accounts = [WaitingRow() for _ in range(5)], [_Account(), _Account()]
    async with Slots.open(2) as slots:
        for number, row in enumerate(rows):
            slots.hand_off(row, accounts[number % 2])
        await settled()
        assert states(rows) == ["begun"] * 2 + ["waiting"] * 3
        rows[1].answer()
        await settled()
        assert states(rows) == ["begun", "ended", "begun", "waiting", "waiting"]
        for row in rows:
            row.answer()
        await settled()
        assert states(rows) == ["ended"] * 5
    assert [one.told for one in accounts] == [{"begins": n, "ends": n} for n in (3, 2)]


async def test_they_are_used_again() -> None:
    """A slot that had nothing to do takes the next row, and no task is begun for it."""
    account = _Account()
    async with Slots.open(2) as slots:
        before = len(asyncio.all_tasks())
        for _ in range(5):
            pair = [WaitingRow(), WaitingRow()]
            for row in pair:
                slots.hand_off(row, account)
                row.answer()
            await settled()
            assert states(pair) == ["ended", "ended"]
            assert len(asyncio.all_tasks()) == before + 2
    assert len(asyncio.all_tasks()) == before


async def test_nobody_waits_beyond_their_moment() -> None:
    """Whose moment passes is turned away; who has more time waits on."""
    now = 100.0
    account, first, late, patient = _Account(), WaitingRow(), WaitingRow(by=100.01), WaitingRow()
    async with Slots.open(1, clock=lambda: now) as slots:
        for row in (first, late, patient):
            slots.hand_off(row, account)
        await settled()
        now = 101.0
        async with asyncio.timeout(10):
            await late.turned_away.wait()
        assert states([first, late, patient]) == ["begun", "turned away", "waiting"]
        assert account.told == {"begins": 1, "too late": 1}
        first.answer()
        await settled()
        assert patient.state == "begun"
        patient.answer()
        await settled()


async def test_a_line_turns_away_in_turn() -> None:
    """Each at its own moment, as long as somebody waits."""
    now, gone = 0.0, asyncio.Queue[str]()
    line: Line[str] = Line(gone.put_nowait, lambda: now)
    for name, by in (("a", 1.0), ("b", 2.0), ("c", 2.0), ("d", 9.0)):
        line.join(name, by=by)
    assert line.first() == "a"
    now = 5.0
    async with asyncio.timeout(10):
        assert [await gone.get(), await gone.get()] == ["b", "c"]
    assert len(line) == 1


async def test_a_hand_off_that_breaks(capsys: pytest.CaptureFixture[str]) -> None:
    """Its slot goes on with the next row, and what it raised is told by its class alone."""
    account, broken, other = _Account(), WaitingRow(breaks=True), WaitingRow()
    async with Slots.open(1) as slots:
        for row in (broken, other):
            slots.hand_off(row, account)
            row.answer()
        await settled()
        assert other.state == "ended"
    assert account.told == {"begins": 2, "ends": 2}
    said = capsys.readouterr().out
    assert "RuntimeError" in said
    assert "foresaw" not in said


async def test_what_is_under_way_at_the_end_is_not_ended() -> None:
    """Closing ends slots with nothing to do; others go on as long as rows wait for them."""
    account, rows = _Account(), [WaitingRow(), WaitingRow()]
    before = len(asyncio.all_tasks())
    async with Slots.open(1) as slots:
        for row in rows:
            slots.hand_off(row, account)
        await settled()
    assert states(rows) == ["begun", "waiting"]
    for row in rows:
        row.answer()
    await settled()
    assert states(rows) == ["ended", "ended"]
    assert len(asyncio.all_tasks()) == before
