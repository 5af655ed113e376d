"""Questions to Twilio over real HTTP: fetch, list, cancel."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import parse_qs, urlsplit

import pytest
from gateway_wire import Request, Script, WireServer, error, message, raw, reply, wire_server

from sender.errors import ProviderRefused, ProviderUnavailable
from sender.gateway import Credentials, TwilioGateway

CREDENTIALS = Credentials.from_auth_token("AC" + "0" * 32, "token")
SID = "SM" + "a" * 32
CREATED = datetime(2023, 8, 24, 5, 1, 45, tzinfo=UTC)


@asynccontextmanager
async def asking(script: Script) -> AsyncIterator[tuple[TwilioGateway, WireServer]]:
    """A gateway whose Twilio follows a script."""
    async with (
        wire_server(script) as wire,
        TwilioGateway.open(
            CREDENTIALS, base_url=wire.url, status_callback_base="https://sms.example.com"
        ) as gateway,
    ):
        yield gateway, wire


async def test_a_message_is_fetched_with_its_times_in_utc() -> None:
    """A record carries the provider's status, code and creation time, aware."""
    answer = message(SID, status="failed", error_code=21610, **{"from": None})
    async with asking(reply(200, answer)) as (gateway, wire):
        record = await gateway.fetch(SID)

    assert record is not None
    assert (record.sid, record.status, record.error_code) == (SID, "failed", 21610)
    assert record.date_created == CREATED
    assert record.from_ is None
    assert wire.requests[0].target.endswith(f"/Messages/{SID}.json")


async def test_only_twilio_can_say_that_a_message_does_not_exist() -> None:
    """Twilio's 20404 is an answer; the 404 of something in between is none."""
    async with asking(error(404, 20404)) as (gateway, _):
        assert await gateway.fetch(SID) is None
    async with asking(reply(404, "<html>no</html>")) as (gateway, _):
        with pytest.raises(ProviderUnavailable, match="HTTP 404"):
            await gateway.fetch(SID)


@pytest.mark.parametrize(
    "script",
    [
        reply(500, "oops"),
        reply(200, "{garbage"),
        reply(200, {"sid": SID}),
        reply(302, "", "Location: /x"),
        error(401, 20003),
    ],
    ids=["500", "garbage", "no date", "redirect", "401"],
)
async def test_an_unreadable_answer_is_no_answer(script: Script) -> None:
    """A question without a readable answer raises one error, with its cause."""
    async with asking(script) as (gateway, _):
        with pytest.raises(ProviderUnavailable) as caught:
            await gateway.fetch(SID)
    assert caught.value.__cause__ is not None


async def test_a_list_follows_pages_and_keeps_only_our_messages_since() -> None:
    """Doubts are resolved by every page of what we sent to the recipient since, no more."""
    old = "Thu, 24 Aug 2023 05:01:44 +0000"
    pages = {
        "": ([message(SID), message("SM" + "b" * 32, direction="inbound")], "/next?PageToken=P%2F"),
        "P/": ([message("SM" + "c" * 32), message("SM" + "d" * 32, date_created=old)], None),
    }

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        query = parse_qs(urlsplit(request.target).query)
        messages, following = pages[query.get("PageToken", [""])[0]]
        writer.write(raw(200, _page(messages, following)))

    async with asking(script) as (gateway, wire):
        records = await gateway.list_to(15550000002, CREATED)

    assert [record.sid[2] for record in records] == ["a", "c"]
    assert wire.requests[0].target.endswith("?To=%2B15550000002&PageSize=1000")
    assert wire.requests[1].target == "/next?PageToken=P%2F", "followed verbatim"


async def test_inbound_messages_are_asked_for_in_utc() -> None:
    """A time in another zone becomes the UTC day, because the SDK drops zones."""
    since = datetime(2023, 8, 24, 1, 0, tzinfo=timezone(timedelta(hours=2)))
    messages = [message(SID), message("SM" + "b" * 32, direction="inbound")]
    async with asking(reply(200, _page(messages, None))) as (gateway, wire):
        records = await gateway.list_from(15550000002, since)

    assert [record.sid[2] for record in records] == ["b"]
    query = parse_qs(urlsplit(wire.requests[0].target).query)
    assert query["DateSent>"] == ["2023-08-23T00:00:00Z"]


async def test_what_one_person_sent_us() -> None:
    """One person's messages to any of our senders, and none of ours to them."""
    messages = [message(SID), message("SM" + "b" * 32, direction="inbound")]
    async with asking(reply(200, _page(messages, None))) as (gateway, wire):
        records = await gateway.list_from(15550000002, CREATED)

    assert [record.sid[2] for record in records] == ["b"]
    query = parse_qs(urlsplit(wire.requests[0].target).query)
    assert (query["From"], "To" in query) == (["+15550000002"], False)


async def test_a_whole_log_comes_by_the_page() -> None:
    """Messages of both directions since then, each page as it is asked for."""
    old = message("SM" + "c" * 32, date_created="Thu, 24 Aug 2023 05:01:44 +0000")
    pages = [
        _page([message(SID), old], "/next?PageToken=P"),
        _page([message("SM" + "b" * 32, direction="inbound")], None),
    ]

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(raw(200, pages[1 if request.target.startswith("/next") else 0]))

    async with asking(script) as (gateway, wire):
        found = [page async for page in gateway.pages_since(CREATED)]

    assert [[record.sid[2] for record in page] for page in found] == [["a"], ["b"]]
    query = parse_qs(urlsplit(wire.requests[0].target).query)
    assert (query["DateSent>"], query["PageSize"]) == (["2023-08-24T00:00:00Z"], ["1000"])


async def test_a_log_that_breaks_off() -> None:
    """A page that does not come raises, after those that came."""

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        page = raw(200, _page([message(SID)], "/next?PageToken=P"))
        writer.write(raw(503, "") if request.target.startswith("/next") else page)

    async with asking(script) as (gateway, _):
        pages = gateway.pages_since(CREATED)
        assert len(await anext(pages)) == 1
        with pytest.raises(ProviderUnavailable, match="HTTP 503"):
            await anext(pages)


@pytest.mark.parametrize(
    ("script", "refused"),
    [
        (error(401, 20003), True),
        (error(403, 20005), True),
        (reply(403, "<html>blocked by a proxy</html>"), False),
        (error(429, 20429), False),
        (error(500, 20500), False),
    ],
    ids=["credentials", "suspended", "a proxy's 403", "too many", "500"],
)
async def test_a_log_that_is_closed(script: Script, refused: bool) -> None:  # noqa: FBT001
    """Only Twilio's own word says that an account is not let in; all else passes."""
    async with asking(script) as (gateway, _):
        with pytest.raises(ProviderUnavailable) as caught:
            _ = [page async for page in gateway.pages_since(CREATED)]
    assert isinstance(caught.value, ProviderRefused) is refused


async def test_a_list_that_breaks_off_is_no_list() -> None:
    """Half the pages would look like an absence, so they raise."""
    script = reply(503, "")
    async with asking(script) as (gateway, _):
        with pytest.raises(ProviderUnavailable, match="HTTP 503"):
            await gateway.list_to(15550000002, CREATED)


async def test_a_message_is_canceled_unless_it_is_too_late() -> None:
    """Cancel says whether it took; too late is an answer, an error is not."""
    async with asking(reply(200, message(SID, status="canceled"))) as (gateway, wire):
        assert await gateway.cancel(SID) is True
    assert wire.requests[0].form == {"Status": "canceled"}
    async with asking(error(409, 30409)) as (gateway, _):
        assert await gateway.cancel(SID) is False
    async with asking(reply(500, "")) as (gateway, _):
        with pytest.raises(ProviderUnavailable):
            await gateway.cancel(SID)


def _page(messages: list[dict[str, object]], following: str | None) -> str:
    return json.dumps({"messages": messages, "next_page_uri": following, "page": 0})
