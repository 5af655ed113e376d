"""Answers that Postgres cannot store as they came."""

import pytest

from sender.domain.outcome import Accepted
from sender.domain.provider import HandOff
from sender.settlement import Handed
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
