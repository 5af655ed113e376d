"""Answers on their way to Postgres: by the batch, in turn, and those that it cannot store."""

from collections.abc import Sequence
from typing import cast

import pytest

from sender.domain.outcome import Accepted
from sender.domain.provider import HandOff
from sender.settlement import Handed, Settlement
from sender.settling import LARGEST, Settler
from sender.storage.database import AsyncDatabase
from tests.bench import ANNA, BERT, Bench, new_sid
from tests.pump_rig import Rig


@pytest.mark.parametrize("status", ["queued\0", "\ud800", "\udc00queued"])
async def test_an_answer_that_cannot_be_stored_holds_up_no_other(
    rig: Rig, bench: Bench, status: str
) -> None:
    """A status of no text is its own message's doubt; what was answered beside it is stored."""
    campaign = bench.campaign(ANNA, BERT)
    licences = bench.guard_all(campaign)
    waits = [
        rig.pump.settler.submit(
            Handed(
                guarded=licences[who],
                hand_off=HandOff(
                    outcome=Accepted(sid=new_sid(who), provider_status=said),
                    began_at=licences[who].guarded_at,
                    clock_offset=None,
                ),
            )
        )
        for who, said in ((ANNA, status), (BERT, "queued"))
    ]
    for wait in waits:
        await wait
    states = {who: bench.message(licence.message_id).state for who, licence in licences.items()}
    assert states == {ANNA: "sending", BERT: "sent"}


class _Record:
    """Stores nothing; fails at the first batch if asked to."""

    def __init__(self, *, failing: bool = False) -> None:
        self.batches: list[Sequence[object]] = []
        self._failing = failing

    async def settle(self, _: object, batch: Sequence[object]) -> None:
        self.batches.append(batch)
        if self._failing and len(self.batches) == 1:
            raise LookupError


def _settler(record: _Record) -> Settler:
    return Settler(cast("Settlement", record), cast("AsyncDatabase", None))


def _answers(count: int) -> list[Handed]:
    return [cast("Handed", n) for n in range(count)]


async def test_answers_are_stored_in_turn() -> None:
    """Full batches and a rest; once the last of them is stored, so are all."""
    record, answers = _Record(), _answers(2 * LARGEST + 50)
    settler = _settler(record)
    waits = [settler.submit(one) for one in answers]
    await waits[-1]
    assert all(wait.done() for wait in waits)
    assert [len(batch) for batch in record.batches] == [LARGEST, LARGEST, 50]
    assert [one for batch in record.batches for one in batch] == answers


async def test_there_is_room_once_answers_are_stored() -> None:
    """More than a batch that waits holds up the next window, until it is stored."""
    record = _Record()
    settler = _settler(record)
    for one in _answers(LARGEST + 1):
        settler.submit(one)
    await settler.room()
    assert [len(batch) for batch in record.batches] == [LARGEST]


async def test_what_nobody_foresaw_is_told_and_ends_nothing() -> None:
    """A batch that cannot be stored for a fault of ours says so; those after it are stored."""
    record = _Record(failing=True)
    settler = _settler(record)
    waits = [settler.submit(one) for one in _answers(LARGEST + 1)]
    await waits[-1]
    with pytest.raises(LookupError):
        await waits[0]
    await settler.submit(_answers(1)[0])
    assert [len(batch) for batch in record.batches] == [LARGEST, 1, 1]
