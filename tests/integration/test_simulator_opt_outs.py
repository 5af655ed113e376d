"""Opt-outs at the simulated provider: keywords, scopes, and both doors of 21610."""

import pytest
from simulator_rig import NUMBER, PERSON, POOL, SERVICE, simulated, until


async def test_a_from_send_to_an_opted_out_recipient_is_refused_at_once() -> None:
    """After STOP a From send is HTTP 400 with 21610: no row, no callback, but a log entry."""
    async with simulated() as rig:
        await rig.text_in("stop")
        refusal = await rig.refused(status_callback=rig.callback)
        (entry,) = await rig.log("create")
        stats = await rig.control("GET", "stats")
    assert (refusal.status, refusal.code) == (400, 21610)
    assert (entry["code"], entry["accepted"], entry["sid"]) == (21610, False, None)
    assert stats["messages"] == 2  # the STOP and its automatic reply
    assert rig.application.statuses() == []


async def test_a_service_send_to_an_opted_out_recipient_fails_later() -> None:
    """With a Messaging Service the create is accepted and 21610 comes as a status callback."""
    async with simulated() as rig:
        await rig.control("POST", "opt-outs", {"sender": SERVICE, "recipients": [PERSON]})
        message = await rig.create(messaging_service_sid=SERVICE, status_callback=rig.callback)
        await until(lambda: rig.application.received)
        row = await rig.fetch(message.sid)
    (hook,) = rig.application.received
    assert message.status == "accepted"
    assert (hook.params["MessageStatus"], hook.params["ErrorCode"]) == ("failed", "21610")
    assert hook.params["MessagingServiceSid"] == SERVICE
    assert (row.status, row.error_code, row.date_sent) == ("failed", 21610, None)


@pytest.mark.parametrize(("style", "service"), [("sync", SERVICE), ("async", None)])
async def test_the_door_can_be_forced(style: str, service: str | None) -> None:
    """block_style overrides which sends are refused at once and which fail later."""
    sender = {"messaging_service_sid": service} if service else {"from_": NUMBER}
    async with simulated() as rig:
        await rig.control("PATCH", "config", {"block_style": style})
        await rig.control("POST", "opt-outs", {"sender": service or NUMBER, "recipients": [PERSON]})
        if style == "sync":
            assert (await rig.refused(**sender)).code == 21610
        else:
            await rig.create(**sender, status_callback=rig.callback)
            await until(lambda: rig.application.statuses() == ["failed"])


async def test_with_the_block_off_nothing_stands_in_the_way() -> None:
    """Without opt-out handling a STOP is only a text: no reply, and the next send arrives."""
    async with simulated(provider_block=False) as rig:
        await rig.control("POST", "opt-outs", {"sender": NUMBER, "recipients": [PERSON]})
        await rig.text_in("STOP")
        await rig.create(status_callback=rig.callback)
        await until(lambda: "delivered" in rig.application.statuses())
        stats = await rig.control("GET", "stats")
    assert rig.application.texts() == ["STOP"]
    assert stats["messages"] == 2


async def test_a_block_covers_the_pair_outside_a_service() -> None:
    """STOP to one plain number leaves the account's other senders open."""
    async with simulated() as rig:
        await rig.text_in("STOP")
        assert (await rig.refused()).code == 21610
        assert (await rig.create(from_=POOL[0])).status == "queued"
        assert (await rig.create("+15551230002")).status == "queued"


async def test_a_block_covers_the_whole_service() -> None:
    """STOP to one number of a pool blocks every number of that pool for the recipient."""
    async with simulated() as rig:
        await rig.text_in("STOP", to=POOL[0])
        assert (await rig.refused(from_=POOL[1])).code == 21610
        assert (await rig.create()).status == "queued"
        assert await rig.control("GET", "opt-outs") == {SERVICE: [PERSON]}


async def test_start_counts_from_the_opted_out_state_only() -> None:
    """START lifts the block and is answered; from anybody else it is an ordinary text."""
    async with simulated() as rig:
        await rig.text_in("Yes")
        await rig.text_in("STOP")
        await rig.text_in("unstop")
        assert (await rig.create()).status == "queued"
        stats = await rig.control("GET", "stats")
    assert stats["messages"] == 3 + 2 + 1  # texts, replies to STOP and UNSTOP, the create


async def test_keywords_are_answered_as_rows_of_the_account() -> None:
    """The reply to a keyword is an outbound-reply row that the list shows."""
    async with simulated() as rig:
        await rig.text_in("HELP")
        log = await rig.log()
        page = await rig.listed(to=PERSON)
    assert [entry["kind"] for entry in log] == ["inbound"]
    (reply,) = page
    assert (reply.direction, reply.from_, reply.status) == ("outbound-reply", NUMBER, "delivered")


async def test_opt_outs_can_be_lifted_by_the_test() -> None:
    """DELETE takes a block away as if it had never been."""
    async with simulated() as rig:
        blocked = {"sender": NUMBER, "recipients": [PERSON]}
        assert (await rig.control("POST", "opt-outs", blocked))["opt_outs"] == 1
        assert (await rig.control("DELETE", "opt-outs", blocked))["opt_outs"] == 0
        assert (await rig.create()).status == "queued"


async def test_the_inbound_webhook_has_every_parameter() -> None:
    """An inbound webhook carries Twilio's parameters, blank ones included, and no OptOutType."""
    async with simulated() as rig:
        answer = await rig.text_in(" Stop it & thanks ü\n", to=POOL[0])
    (hook,) = rig.application.received
    assert hook.params["MessageSid"] == hook.params["SmsSid"] == answer["message_sid"]
    assert hook.params["Body"] == " Stop it & thanks ü\n"
    assert (hook.params["From"], hook.params["To"]) == (PERSON, POOL[0])
    assert hook.params["MessagingServiceSid"] == SERVICE
    assert (hook.params["FromCity"], hook.params["ToZip"]) == ("", "")
    assert hook.params["NumMedia"] == "0"
    assert "OptOutType" not in hook.params
    assert [attempt["status"] for attempt in answer["attempts"]] == [200]


async def test_advanced_opt_out_tags_the_webhook() -> None:
    """OptOutType comes for keywords of a service with Advanced Opt-Out, custom ones included."""
    async with simulated(advanced_opt_out=frozenset({SERVICE})) as rig:
        await rig.text_in("Optout", to=POOL[0])
        await rig.text_in("arrêt", to=POOL[0], opt_out_type="STOP")
        await rig.text_in("hello", to=POOL[0])
        stats = await rig.control("GET", "stats")
    tags = [hook.params.get("OptOutType") for hook in rig.application.received]
    assert tags == ["STOP", "STOP", None]
    assert stats["messages"] == 3  # its replies do not show up in the log
