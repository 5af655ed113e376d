"""Webhooks under adversity: retries, duplicates, disorder, loss, and pools that never mix."""

import pytest
from simulator_rig import NUMBER, PERSON, simulated, until


async def test_by_default_a_failed_webhook_is_not_tried_again() -> None:
    """Twilio's default retries connection failures only: a 503 to a STOP is the end of it."""
    async with simulated() as rig:
        rig.application.answers += [503]
        answer = await rig.text_in("STOP")
    assert [attempt["status"] for attempt in answer["attempts"]] == [503]


@pytest.mark.parametrize(
    ("fragment", "answers", "attempts"),
    [
        ("rc=5&rp=all", [503, 404, 200], [503, 404, 200]),
        ("rc=1&rp=5xx", [500, 500, 200], [500, 500]),
        ("rc=3&rp=4xx", [503], [503]),
        ("rc=3&rp=4xx,5xx", [503, 404], [503, 404, 200]),
        ("rc=0&rp=all", [500], [500]),
    ],
)
async def test_the_fragment_asks_for_retries(
    fragment: str, answers: list[int], attempts: list[int]
) -> None:
    """Rc and rp in the fragment decide; the fragment is neither sent nor signed."""
    async with simulated() as rig:
        config = await rig.control("GET", "config")
        url = f"{config['inbound_url']}#{fragment}"
        await rig.control("PATCH", "config", {"inbound_url": url})
        rig.application.answers += answers
        answer = await rig.text_in("STOP")
        (entry,) = await rig.log("inbound")
    assert [attempt["status"] for attempt in answer["attempts"]] == attempts
    assert entry["attempts"] == answer["attempts"]
    assert entry["acknowledged"] == (attempts[-1] == 200)
    assert len({hook.token for hook in rig.application.received}) == 1
    assert {hook.path for hook in rig.application.received} == {"/inbound"}


async def test_an_answer_that_takes_too_long_is_a_failure() -> None:
    """Rt bounds the wait for an answer, tt the whole; a lost webhook is logged as such."""
    async with simulated() as rig:
        slow = rig.callback.split("/status")[0] + "/slow#rt=100&rp=rt&rc=5&tt=250"
        await rig.control("PATCH", "config", {"inbound_url": slow})
        answer = await rig.text_in("STOP")
    assert len(answer["attempts"]) >= 2
    assert {attempt["failure"] for attempt in answer["attempts"]} == {"rt"}


async def test_a_refused_connection_is_tried_again_by_default() -> None:
    """The default policy covers connection failures, once."""
    async with simulated(inbound_url="http://127.0.0.1:1/") as rig:
        answer = await rig.text_in("STOP")
    assert [attempt["failure"] for attempt in answer["attempts"]] == ["ct", "ct"]


async def test_webhooks_are_duplicated_on_request() -> None:
    """duplicate_rate posts a webhook twice, each with its own log entry."""
    async with simulated(duplicate_rate=1) as rig:
        await rig.text_in("STOP")
        await until(lambda: len(rig.application.received) == 2)
        first, second = await rig.log("inbound")
    assert first["message_sid"] == second["message_sid"]
    assert second["duplicate"]


async def test_callbacks_are_reordered_on_request() -> None:
    """reorder_rate lets the final callback overtake sent."""
    async with simulated(reorder_rate=1) as rig:
        await rig.create(status_callback=rig.callback)
        await until(lambda: len(rig.application.received) == 2)
    assert rig.application.statuses() == ["delivered", "sent"]


async def test_callbacks_get_lost_and_receipts_missing_on_request() -> None:
    """A lost callback still changes the row; without a receipt a message stays sent."""
    async with simulated(lost_callback_rate=1) as rig:
        message = await rig.create(status_callback=rig.callback)
        await rig.until_status(message.sid, "delivered")
        await rig.control("PATCH", "config", {"lost_callback_rate": 0, "no_receipt_rate": 1})
        other = await rig.create(status_callback=rig.callback)
        await until(lambda: rig.application.received)
        assert (await rig.fetch(other.sid)).status == "sent"
    assert rig.application.statuses() == ["sent"]


async def test_messages_fail_asynchronously_on_request() -> None:
    """async_failures chooses an ErrorCode; carrier errors are undelivered, others failed."""
    async with simulated(async_failures={30003: 1.0}) as rig:
        await rig.create(status_callback=rig.callback)
        await until(lambda: len(rig.application.received) == 2)
        await rig.control("PATCH", "config", {"async_failures": {"30001": 1}})
        await rig.create(status_callback=rig.callback)
        await until(lambda: len(rig.application.received) == 3)
    assert rig.application.statuses() == ["sent", "undelivered", "failed"]
    codes = [hook.params.get("ErrorCode") for hook in rig.application.received]
    assert codes == [None, "30003", "30001"]


async def test_a_stop_never_queues_behind_status_callbacks() -> None:
    """With every status connection stuck, an inbound message is still posted at once."""
    async with simulated(status_connections=1) as rig:
        slow = rig.callback.split("/status")[0] + "/slow"
        for _ in range(3):
            await rig.create(status_callback=slow)
        await until(lambda: rig.application.received)
        answer = await rig.text_in("STOP")
        stats = await rig.control("GET", "stats")
    assert [attempt["status"] for attempt in answer["attempts"]] == [200]
    assert stats["status_webhooks_waiting"] > 0


@pytest.mark.parametrize(
    ("when", "accepted", "order"),
    [("before_answer", False, True), ("during", True, True), ("after", True, False)],
)
async def test_a_scripted_person_says_stop_around_a_create(
    when: str, *, accepted: bool, order: bool
) -> None:
    """The STOP's webhook arrives before the create is answered, or after, as scripted."""
    rule = {"to": PERSON, "when": when, "inbound": "STOP", "hold_ms": 200}
    async with simulated() as rig:
        await rig.control("POST", "script", [rule])
        if accepted:
            await rig.create()
        else:
            assert (await rig.refused()).code == 21610
        await until(lambda: rig.application.texts() == ["STOP"])
        assert (await rig.refused()).code == 21610
        create = (await rig.log("create"))[0]
        (stop,) = await rig.log("inbound")
    assert (stop["origin"], create["script"]) == ("script", when)
    assert create["accepted"] is accepted
    assert create["arrived_at"] <= stop["queued_at"]
    assert (stop["first_attempt_at"] < create["answered_at"]) is order


async def test_a_scripted_person_says_stop_while_the_request_is_on_its_way() -> None:
    """The STOP reaches the application, and is acknowledged, before the request arrives."""
    rule = {"to": PERSON, "when": "on_the_way", "inbound": "STOP", "hold_ms": 300}
    async with simulated() as rig:
        await rig.control("POST", "script", [rule])
        assert (await rig.refused()).code == 21610
        (create,) = await rig.log("create")
        (stop,) = await rig.log("inbound")
    assert stop["attempts"][0]["finished_at"] < create["arrived_at"]
    assert create["script"] == "on_the_way"


async def test_a_scripted_person_changes_their_mind() -> None:
    """A rule's follow-ups come after the first text; the rule applies once."""
    follow_up = {"after_ms": 30, "inbound": "START"}
    rule = {"to": PERSON, "inbound": "STOP", "hold_ms": 0, "then": [follow_up]}
    async with simulated() as rig:
        await rig.control("POST", "script", [rule])
        await rig.create()
        await until(lambda: rig.application.texts() == ["STOP", "START"])
        assert (await rig.create()).from_ == NUMBER
    assert rig.application.texts() == ["STOP", "START"]
