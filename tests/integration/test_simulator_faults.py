"""Faults of the simulated provider, and the log that tells the truth about them."""

import asyncio
import json
from contextlib import suppress
from pathlib import Path

import pytest
import requests
from simulator_rig import CONFIG, PERSON, simulated, until
from twilio.base.exceptions import TwilioRestException

OTHER = "+15551230002"


@pytest.mark.parametrize(
    ("fault", "accepted"),
    [("accept_and_drop", True), ("hang", True), ("drop_before_accept", False)],
)
async def test_a_connection_dies_without_an_answer(fault: str, *, accepted: bool) -> None:
    """The client cannot tell whether the message was accepted; the log can."""
    async with simulated(faults={fault: 1.0}, hang_seconds=0.05) as rig:
        with pytest.raises(requests.ConnectionError):
            await rig.create()
        (entry,) = await rig.log("create")
        rows = await asyncio.to_thread(rig.client.messages.list, to=PERSON)
    assert (entry["fault"], entry["http_status"], entry["accepted"]) == (fault, None, accepted)
    assert [row.sid for row in rows] == ([entry["sid"]] if accepted else [])


@pytest.mark.parametrize(
    ("fault", "status", "code", "accepted"),
    [
        ("error_500_after_accept", 500, 20500, True),
        ("error_503", 503, 503, False),
        ("throttle_429", 429, 20429, False),
    ],
)
async def test_an_answer_is_an_error(fault: str, status: int, code: int, *, accepted: bool) -> None:
    """A 500 may hide an accepted message; a 429 and a load balancer's 503 never do."""
    async with simulated(faults={fault: 1.0}) as rig:
        with pytest.raises(TwilioRestException) as error:
            await rig.create()
        (entry,) = await rig.log("create")
        stats = await rig.control("GET", "stats")
    assert (error.value.status, error.value.code) == (status, code)
    assert (entry["fault"], entry["http_status"], entry["accepted"]) == (fault, status, accepted)
    assert stats["messages"] == int(accepted)
    assert stats["counts"][f"fault_{fault}"] == 1


async def test_a_429_says_when_to_come_back() -> None:
    """A throttled request is answered with Retry-After."""
    async with simulated(faults={"throttle_429": 1.0}, retry_after_seconds=3) as rig:
        path = f"/2010-04-01/Accounts/{CONFIG.account_sid}/Messages.json"
        headers = {"Authorization": requests.auth._basic_auth_str(*rig.client.auth)}
        async with rig.session.post(rig.url + path, data={"To": PERSON}, headers=headers) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (429, "3")


async def test_a_fault_can_be_aimed_at_one_recipient_once() -> None:
    """A rule's fault strikes the next create for its recipient and nobody else's."""
    async with simulated() as rig:
        await rig.control("POST", "script", [{"to": PERSON, "fault": "error_503"}])
        await rig.create(OTHER)
        assert (await rig.refused()).status == 503
        assert (await rig.create()).status == "queued"


async def test_an_asynchronous_failure_can_be_aimed_at_one_recipient() -> None:
    """A rule's async_failure decides how its message ends."""
    async with simulated() as rig:
        await rig.control("POST", "script", [{"to": PERSON, "async_failure": 21610}])
        message = await rig.create(status_callback=rig.callback)
        await until(lambda: rig.application.statuses() == ["failed"])
        assert (await rig.fetch(message.sid)).error_code == 21610


async def test_a_stop_can_come_during_a_request_that_gets_lost() -> None:
    """One rule can both text in and spoil the answer."""
    rule = {"to": PERSON, "inbound": "STOP", "fault": "accept_and_drop"}
    async with simulated() as rig:
        await rig.control("POST", "script", [rule])
        with pytest.raises(requests.ConnectionError):
            await rig.create()
        (entry,) = await rig.log("create")
        assert rig.application.texts() == ["STOP"]
    assert (entry["accepted"], entry["fault"], entry["script"]) == (
        True,
        "accept_and_drop",
        "during",
    )


async def test_creates_above_the_concurrency_limit_are_throttled() -> None:
    """With one request allowed in flight, the second gets 20429 and is not processed."""
    async with simulated(concurrency_limit=1, latency_ms=300) as rig:
        results = await asyncio.gather(rig.create(), rig.create(OTHER), return_exceptions=True)
        entries = await rig.log("create")
    refusals = [result for result in results if isinstance(result, TwilioRestException)]
    assert [refusal.code for refusal in refusals] == [20429]
    assert sorted(entry["accepted"] for entry in entries) == [False, True]


async def test_the_same_seed_spoils_the_same_recipients() -> None:
    """Faults depend on seed and recipient, not on the order in which requests arrive."""
    people = [f"+1555123{number:04d}" for number in range(30)]

    async def throttled(seed: int, order: list[str]) -> set[str]:
        async with simulated(seed=seed, faults={"throttle_429": 0.5}) as rig:
            for person in order:
                with suppress(TwilioRestException):
                    await rig.create(person)
            return {entry["to"] for entry in await rig.log("create") if not entry["accepted"]}

    first = await throttled(1, people)
    assert first == await throttled(1, people[::-1])
    assert first != await throttled(2, people)
    assert 0 < len(first) < len(people)


async def test_the_log_file_has_what_the_log_has(tmp_path: Path) -> None:
    """Every request and webhook is one JSON line; of equal seq the last line counts."""
    path = tmp_path / "log.jsonl"
    async with simulated(log_path=path) as rig:
        await rig.create(status_callback=rig.callback)
        await rig.refused("+15005550001")
        await rig.text_in("STOP")
        await rig.fetch((await rig.log("create"))[0]["sid"])
        await rig.until_acknowledged("status", 2)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    entries = {line["seq"]: line for line in lines}
    kinds = sorted(entry["kind"] for entry in entries.values())
    assert kinds == ["create", "create", "fetch", "inbound", "status", "status"]
    assert sorted(entries) == list(range(1, 7))
    assert all(
        entry["acknowledged"]
        for entry in entries.values()
        if entry["kind"] in ("inbound", "status")
    )


async def test_an_accepted_message_is_on_disk_before_it_is_answered(tmp_path: Path) -> None:
    """While the answer is held back, the file already tells of the acceptance."""
    path = tmp_path / "log.jsonl"
    async with simulated(log_path=path, latency_ms=400) as rig:
        creating = asyncio.create_task(rig.create())
        await until(path.exists)
        line = json.loads(path.read_text().splitlines()[0])
        assert not creating.done()
        message = await creating
    assert (line["accepted"], line["sid"]) == (True, message.sid)
    assert line["answered_at"] is None


async def test_settings_that_make_no_sense_are_refused() -> None:
    """A PATCH with an unknown name or an impossible rate is 400 and changes nothing."""
    async with simulated() as rig:
        before = await rig.control("GET", "config")
        for change in (
            {"latncy_ms": 1},
            {"faults": {"hang": 2}},
            {"faults": {"boom": 0.1}},
            {"faults": {"hang": 0.6, "error_503": 0.6}},
        ):
            async with rig.session.patch(f"{rig.url}/_simulator/config", json=change) as answer:
                assert answer.status == 400
        assert await rig.control("GET", "config") == before


async def test_a_reset_forgets_everything_but_the_configuration() -> None:
    """After a reset there are no rows, blocks, rules, or entries, and the first behaviour."""
    async with simulated(latency_ms=1) as rig:
        await rig.text_in("STOP")
        await rig.control("PATCH", "config", {"latency_ms": 7})
        await rig.control("POST", "script", [{"to": PERSON, "fault": "hang"}])
        await rig.control("POST", "reset")
        stats = await rig.control("GET", "stats")
        assert (stats["messages"], stats["opt_outs"], stats["rules"]) == (0, 0, 0)
        assert await rig.log() == []
        assert (await rig.control("GET", "config"))["latency_ms"] == 1
        assert (await rig.create()).status == "queued"
