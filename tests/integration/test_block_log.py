"""Whom Twilio did not text because they have opted out, as its log and its alerts tell."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from simulator_rig import CONFIG, NUMBER, PERSON, Rig, simulated

from sender.errors import ProviderRefused, ProviderUnavailable
from sender.gateway import BlockLog, Credentials, GatewayFactory

KEY = Credentials.from_api_key(CONFIG.account_sid, *next(iter(CONFIG.api_keys.items())))
OTHER = "+15551230002"
LONG_AGO = datetime.now(UTC) - timedelta(days=1)


@asynccontextmanager
async def block_log(url: str, key: Credentials = KEY) -> AsyncIterator[BlockLog]:
    """The account's, over HTTP."""
    async with GatewayFactory.open(status_callback_base="", base_url=url) as factory:
        yield BlockLog(factory.client(key))


async def refuse(rig: Rig, *people: str) -> None:
    """Have requests to them refused with 21610, and one for another reason."""
    await rig.control("POST", "opt-outs", {"sender": NUMBER, "recipients": list(people)})
    for person in people:
        assert (await rig.refused(person)).code == 21610
    assert (await rig.refused("+1")).code == 21211


async def test_a_refused_request_is_known_by_its_alert() -> None:
    """Alone: it left no message. Who was to be texted is told by the alert itself."""
    async with simulated() as rig, block_log(rig.url) as log:
        await refuse(rig, PERSON)
        assert await rig.listed() == []
        found = await log.refusals(LONG_AGO)
        (one,) = found.requests
        assert (one.to, one.from_, one.service_sid) == (PERSON, NUMBER, "")
        assert abs(one.at - datetime.now(UTC)) < timedelta(minutes=1)
        assert found.left_out == 0
        assert (await log.refusals(datetime.now(UTC) + timedelta(minutes=1))).requests == ()


async def test_a_number_s_messages_come_newest_first() -> None:
    """By the page; failed ones among them, with their codes."""
    async with simulated() as rig, block_log(rig.url) as log:
        await rig.control("POST", "opt-outs", {"sender": NUMBER, "recipients": [PERSON]})
        await rig.control("PATCH", "config", {"block_style": "async"})
        failed = await rig.create(PERSON)
        sent = await rig.create(OTHER)
        await rig.until_status(failed.sid, "failed")
        pages = [page async for page in log.messages_from(NUMBER)]
    assert [[record.sid for record in page] for page in pages] == [[sent.sid, failed.sid]]
    assert pages[0][1].error_code == 21610


@asynccontextmanager
async def monitor(variables: str, status: int = 200) -> AsyncIterator[str]:
    """A monitor of two pages with an alert each, of which one says whom it is about."""

    async def listed(request: web.Request) -> web.Response:
        if status != 200:
            return web.json_response({"code": 20003, "status": status}, status=status)
        page = int(request.query.get("Page", 0))
        following = None if page else str(request.url.update_query(Page=1))
        alert = {"sid": f"NO{page}", "error_code": "21610"}
        meta = {"key": "alerts", "next_page_url": following}
        return web.json_response({"alerts": [alert], "meta": meta})

    async def fetched(request: web.Request) -> web.Response:
        sid = request.match_info["sid"]
        told = variables if sid == "NO0" else ""
        when = "2026-05-04T12:00:00Z"
        return web.json_response({"sid": sid, "date_generated": when, "request_variables": told})

    application = web.Application()
    application.router.add_get("/v1/Alerts", listed)
    application.router.add_get("/v1/Alerts/{sid}", fetched)
    async with TestServer(application) as server:
        yield str(server.make_url("")).rstrip("/")


async def test_an_alert_that_names_nobody_is_counted() -> None:
    """Twilio redacts some; all pages are read."""
    form = "MessagingServiceSid=MG1&To=%2B15551230001&Body=Hi"
    async with monitor(form) as url, block_log(url) as log:
        found = await log.refusals(LONG_AGO)
    assert [(one.sid, one.to, one.service_sid) for one in found.requests] == [
        ("NO0", PERSON, "MG1")
    ]
    assert found.left_out == 1


@pytest.mark.parametrize(("status", "error"), [(401, ProviderRefused), (503, ProviderUnavailable)])
async def test_no_answer_is_no_list(status: int, error: type[Exception]) -> None:
    """Whoever asked must ask again, or put the key right."""
    async with monitor("", status) as url, block_log(url) as log:
        with pytest.raises(error):
            await log.refusals(LONG_AGO)
