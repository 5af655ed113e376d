"""The simulated Message resource, seen through the real SDK."""

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta

import pytest
from simulator_rig import CONFIG, NUMBER, PERSON, POOL, SERVICE, simulated, until
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.rest import Client


async def test_create_from_a_number_answers_queued() -> None:
    """A From send is answered 201 with a queued message in Twilio's types."""
    async with simulated(sent_after_ms=60_000) as rig:
        message = await rig.create(body="Hello €", validity_period=600)
    assert message.sid.startswith("SM")
    assert len(message.sid) == 34
    assert (message.status, message.direction) == ("queued", "outbound-api")
    assert (message.from_, message.to, message.body) == (NUMBER, PERSON, "Hello €")
    assert (message.num_segments, message.num_media) == ("1", "0")
    assert message.error_code is None
    assert message.price is None
    assert message.date_sent is None
    assert message.date_created.microsecond == 0
    assert abs(message.date_created - datetime.now(UTC)) < timedelta(seconds=5)


async def test_create_with_a_service_answers_accepted_without_sender() -> None:
    """A Messaging Service chooses its sender later, and keeps it per recipient."""
    async with simulated() as rig:
        first = await rig.create(messaging_service_sid=SERVICE)
        again = await rig.create(messaging_service_sid=SERVICE, status_callback=rig.callback)
        assert (first.status, first.from_, first.num_segments) == ("accepted", None, "0")
        await until(lambda: "delivered" in rig.application.statuses())
        senders = {(await rig.fetch(sid)).from_ for sid in (first.sid, again.sid)}
    assert len(senders) == 1
    assert senders <= set(POOL)


async def test_delivery_is_told_in_order_and_never_the_initial_status() -> None:
    """Callbacks are sent, then delivered, to the URL byte for byte; the row follows."""
    async with simulated() as rig:
        message = await rig.create(status_callback=rig.callback)
        await until(lambda: len(rig.application.received) == 2)
        assert rig.application.statuses() == ["sent", "delivered"]
        last = rig.application.received[-1]
        assert last.path == "/status?message=7&b=%2B1&a="
        assert last.params["MessageSid"] == message.sid
        assert (last.params["From"], last.params["To"]) == (NUMBER, PERSON)
        row = await rig.fetch(message.sid)
    assert row.status == "delivered"
    assert row.price == "-0.00790"
    assert row.date_sent is not None


@pytest.mark.parametrize(
    ("to", "params", "code"),
    [
        ("", {}, 21604),
        (PERSON, {"from_": ""}, 21603),
        (PERSON, {"body": ""}, 21602),
        (PERSON, {"body": "x" * 1601}, 21617),
        ("0123", {}, 21211),
        (NUMBER, {}, 21211),
        (PERSON, {"status_callback": "ftp://host/"}, 21609),
        (PERSON, {"status_callback": "http://under_score/"}, 21609),
        (PERSON, {"validity_period": 0}, 21624),
        (PERSON, {"validity_period": 36_001}, 21624),
        (PERSON, {"from_": "+15559999999"}, 21659),
        (PERSON, {"messaging_service_sid": "MG1"}, 21701),
        (PERSON, {"schedule_type": "fixed"}, 20001),
        ("+15005550001", {}, 21211),
        ("+15005550002", {}, 21612),
        ("+15005550003", {}, 21408),
        ("+15005550004", {}, 21610),
        ("+15005550009", {}, 21614),
        (PERSON, {"from_": "+15005550001"}, 21212),
        (PERSON, {"from_": "+15005550007"}, 21606),
        (PERSON, {"from_": "+15005550008"}, 21611),
    ],
)
async def test_a_bad_create_is_refused_as_twilio_does(
    to: str, params: dict[str, object], code: int
) -> None:
    """Each mistake and each magic number has its code, HTTP 400, no row, and a log entry."""
    async with simulated() as rig:
        refusal = await rig.refused(to, **params)
        (entry,) = await rig.log("create")
        rows = await rig.listed()
    assert (refusal.code, refusal.status) == (code, 400)
    assert (entry["code"], entry["http_status"], entry["accepted"]) == (code, 400, False)
    assert rows == []


async def test_the_magic_sender_needs_no_configuration() -> None:
    """Twilio's test sender is accepted though it is not a number of the account."""
    async with simulated() as rig:
        message = await rig.create(from_="+15005550006")
    assert message.status == "queued"


async def test_only_the_accounts_credentials_are_let_in() -> None:
    """The AuthToken and an API key pass; anything else is 401 with 20003, and logged."""
    async with simulated() as rig:
        key = Client(*next(iter(CONFIG.api_keys.items())), CONFIG.account_sid)
        key.api.base_url = rig.url
        await asyncio.to_thread(key.messages.list)
        key.http_client.session.close()
        rig.client.password = "wrong"
        rig.client.auth = (CONFIG.account_sid, "wrong")
        refusal = await rig.refused()
        with pytest.raises(TwilioRestException) as fetching:
            await rig.fetch("SM1")
        (entry,) = await rig.log("create")
    assert (refusal.code, refusal.status) == (20003, 401)
    assert (fetching.value.code, fetching.value.status) == (20003, 401)
    assert (entry["code"], entry["accepted"]) == (20003, False)


async def test_every_answer_tells_date_and_concurrency() -> None:
    """A client can learn the provider's clock and load from any answer."""
    async with simulated() as rig, rig.session.get(f"{rig.url}/2010-04-01/nothing") as response:
        assert response.status == 401
        assert "Date" in response.headers
        assert response.headers["Twilio-Concurrent-Requests"] == "0"


async def test_an_unknown_message_is_404() -> None:
    """Fetching what does not exist is 20404."""
    async with simulated() as rig:
        with pytest.raises(TwilioRestException) as refusal:
            await rig.fetch("SMffffffffffffffffffffffffffffffff")
    assert (refusal.value.code, refusal.value.status) == (20404, 404)


async def test_the_list_pages_newest_first_while_rows_arrive() -> None:
    """Following next_page_uri yields every row once, though new ones arrive in between."""
    async with simulated() as rig:
        created = [(await rig.create(body=str(number))).sid for number in range(5)]
        page = await asyncio.to_thread(rig.client.messages.page, page_size=2)
        listed = [message.sid for message in page]
        await rig.create(body="later")
        while page.next_page_url:
            page = await asyncio.to_thread(page.next_page)
            listed += [message.sid for message in page]
    assert listed == list(reversed(created))


async def test_the_list_filters_by_number_and_time_sent() -> None:
    """To, From and the inclusive DateSent bounds select; a row never sent has no time."""
    async with simulated(sent_after_ms=60_000) as rig:
        unsent = await rig.create()
        text = (await rig.text_in("hi there"))["message_sid"]

        async def listed(**filters: object) -> list[str]:
            return [message.sid for message in await rig.listed(**filters)]

        now = datetime.now(UTC)
        assert await listed(to=PERSON) == [unsent.sid]
        assert await listed(to=NUMBER) == [text]
        assert await listed(from_=PERSON) == [text]
        assert await listed(date_sent_after=now - timedelta(minutes=1)) == [text]
        assert await listed(date_sent_before=now - timedelta(minutes=1)) == []
        assert await listed(date_sent=now.date()) == [text]
        row = await rig.fetch(text)
    assert (row.direction, row.status, row.body) == ("inbound", "received", "hi there")


async def test_a_page_above_1000_is_refused() -> None:
    """PageSize above the API's maximum is 20007."""
    async with simulated() as rig:
        with pytest.raises(TwilioException) as refusal:
            await asyncio.to_thread(rig.client.messages.list, limit=1001)
    answer = refusal.value.args[1]
    assert answer.status_code == 400
    assert json.loads(answer.text)["code"] == 20007


async def test_a_message_is_canceled_only_before_it_leaves() -> None:
    """Cancel works while queued, tells the application, and is 30409 afterwards."""
    async with simulated(sent_after_ms=300) as rig:
        message = await rig.create(status_callback=rig.callback)
        canceled = await asyncio.to_thread(
            rig.client.messages(message.sid).update, status="canceled"
        )
        with pytest.raises(TwilioRestException) as refusal:
            await asyncio.to_thread(rig.client.messages(message.sid).update, status="canceled")
        await until(lambda: rig.application.received)
        other = await rig.create(status_callback=rig.callback)
        await until(lambda: len(rig.application.received) == 3)
        assert (await rig.fetch(message.sid)).status == "canceled"
        assert (await rig.fetch(other.sid)).status == "delivered"
    assert canceled.status == "canceled"
    assert refusal.value.code == 30409
    assert rig.application.statuses() == ["canceled", "sent", "delivered"]


async def test_a_body_can_be_redacted() -> None:
    """An empty Body empties the stored text."""
    async with simulated() as rig:
        message = await rig.create()
        await asyncio.to_thread(rig.client.messages(message.sid).update, body="")
        assert (await rig.fetch(message.sid)).body == ""


async def test_the_log_has_every_create_with_its_times() -> None:
    """Accepted and refused requests are logged with arrival, answer and what they asked."""
    async with simulated() as rig:
        before = time.time()
        message = await rig.create(body="One", status_callback=rig.callback)
        await rig.refused("+15005550001", body="Two", messaging_service_sid=SERVICE)
        first, second = await rig.log("create")
        later = await rig.control("GET", f"log?after={second['seq']}")
    assert first["sid"] == message.sid
    assert (first["to"], first["from"], first["body"]) == (PERSON, NUMBER, "One")
    assert (first["http_status"], first["accepted"]) == (201, True)
    assert first["status_callback"] == rig.callback
    assert before <= first["arrived_at"] <= first["answered_at"] <= second["arrived_at"]
    assert (second["messaging_service_sid"], second["accepted"]) == (SERVICE, False)
    assert all(entry["kind"] == "status" for entry in later["entries"])


async def test_a_message_that_is_put_off_can_be_canceled_until_then() -> None:
    """What the provider puts off stays scheduled, says so, and is canceled when asked."""
    async with simulated(put_off_rate=1) as rig:
        message = await rig.create(status_callback=rig.callback)
        await rig.until_status(message.sid, "scheduled")
        await asyncio.to_thread(rig.client.messages(message.sid).update, status="canceled")
        assert (await rig.fetch(message.sid)).status == "canceled"
        await until(lambda: len(rig.application.received) == 2)
    assert rig.application.statuses() == ["scheduled", "canceled"]
