"""The gateway against the simulator: the two doors of a 21610, records, and signed webhooks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit
from uuid import UUID

from aiohttp import web
from aiohttp.test_utils import TestServer
from simulator_rig import CONFIG, NUMBER, PERSON, POOL, SERVICE, Rig, simulated, until

from sender.domain.message import OutboundText
from sender.domain.number_health import NumberFault
from sender.domain.outcome import Accepted, OptedOut, Outcome, RefusalKind, Refused
from sender.domain.provider import ServiceRecord
from sender.domain.receipt import Receipt, ReceiptMeaning
from sender.gateway import (
    Credentials,
    SignatureVerifier,
    TwilioGateway,
    parse_form,
    receipt_from_form,
)
from sender.send_clock import send_clock

API_KEY = Credentials.from_api_key(CONFIG.account_sid, *next(iter(CONFIG.api_keys.items())))


async def hand_off(gateway: TwilioGateway, *, to: str = PERSON, sender: str = NUMBER) -> Outcome:
    """The outcome of one message."""
    text = OutboundText(
        message_id=UUID(int=7),
        sender=sender,
        recipient=int(to[1:]),
        body="Sale! 🎉",
        validity=timedelta(hours=1),
    )
    limit = send_clock() + 5
    return (await gateway.send(text, deadline=limit, connect_by=limit)).outcome


@asynccontextmanager
async def gateway_to(rig: Rig, callback_base: str = "") -> AsyncIterator[TwilioGateway]:
    """A gateway to the rig's simulator."""
    base = callback_base or rig.callback.split("/status")[0]
    async with TwilioGateway.open(API_KEY, base_url=rig.url, status_callback_base=base) as gateway:
        yield gateway


async def test_a_message_is_accepted_recorded_and_listed() -> None:
    """What was handed off is found again by SID and by recipient, by nobody else's."""
    before = datetime.now(UTC) - timedelta(seconds=2)
    async with simulated() as rig, gateway_to(rig) as gateway:
        outcome = await hand_off(gateway)
        assert isinstance(outcome, Accepted)
        record = await gateway.fetch(outcome.sid)
        listed = await gateway.list_to(int(PERSON[1:]), before)
        later = await gateway.list_to(int(PERSON[1:]), datetime.now(UTC) + timedelta(hours=1))
        missing = await gateway.fetch("SM" + "f" * 32)

    assert record is not None
    assert (record.to, record.from_, record.body) == (PERSON, NUMBER, "Sale! 🎉")
    assert [found.sid for found in listed] == [outcome.sid]
    assert later == []
    assert missing is None


async def test_twilios_magic_numbers_have_their_outcomes() -> None:
    """The recipients of Twilio's test credentials answer as its documentation says."""
    expected = {
        "+15005550001": Refused(kind=RefusalKind.BAD_NUMBER, code=21211, fault=NumberFault.INVALID),
        "+15005550002": Refused(kind=RefusalKind.UNROUTABLE, code=21612),
        "+15005550003": Refused(kind=RefusalKind.UNROUTABLE, code=21408),
        "+15005550004": OptedOut(code=21610),
        "+15005550009": Refused(
            kind=RefusalKind.BAD_NUMBER, code=21614, fault=NumberFault.LANDLINE
        ),
    }
    async with simulated() as rig, gateway_to(rig) as gateway:
        outcomes = {to: await hand_off(gateway, to=to) for to in expected}

    assert outcomes == expected


async def test_a_person_who_said_stop_is_seen_at_both_doors() -> None:
    """After STOP a From send is refused with 21610, a service's comes back in a callback."""
    async with receipts() as (received, url), simulated() as rig, gateway_to(rig, url) as gateway:
        since = datetime.now(UTC) - timedelta(seconds=2)
        await rig.text_in("STOP")
        await rig.text_in("STOP", to=CONFIG.services[SERVICE][0])
        at_create = await hand_off(gateway)
        by_service = await hand_off(gateway, sender=SERVICE)
        await until(lambda: received)
        theirs = await gateway.list_from(int(PERSON[1:]), since)

    assert at_create == OptedOut(code=21610)
    assert isinstance(by_service, Accepted)
    assert received[-1].sid == by_service.sid
    assert received[-1].message_id == UUID(int=7)
    assert received[-1].verdict.meaning is ReceiptMeaning.OPTED_OUT
    assert {(text.body, text.from_) for text in theirs} == {("STOP", PERSON)}
    assert {text.to for text in theirs} == {NUMBER, CONFIG.services[SERVICE][0]}


async def test_a_sent_message_cannot_be_canceled() -> None:
    """Too late is an answer."""
    async with simulated() as rig, gateway_to(rig) as gateway:
        outcome = await hand_off(gateway)
        assert isinstance(outcome, Accepted)
        await rig.until_status(outcome.sid, "delivered")
        assert await gateway.cancel(outcome.sid) is False


@asynccontextmanager
async def receipts() -> AsyncIterator[tuple[list[Receipt], str]]:
    """A webhook application behind a proxy path; only signed callbacks become receipts."""
    received: list[Receipt] = []
    verifiers: list[SignatureVerifier] = []

    async def status(request: web.Request) -> web.Response:
        form = parse_form(await request.read())
        behind_the_proxy = request.raw_path.removeprefix("/hooks")
        if not verifiers[0].verify(behind_the_proxy, form, request.headers):
            return web.Response(status=403)
        received.append(receipt_from_form(UUID(urlsplit(request.path).path[-36:]), form))
        return web.Response()

    application = web.Application()
    application.router.add_post("/hooks/twilio/status/{message_id}", status)
    async with TestServer(application) as server:
        url = str(server.make_url("/hooks"))
        verifiers.append(SignatureVerifier([CONFIG.auth_token], url))
        yield received, url


async def test_without_a_public_address_twilio_is_not_asked_to_call() -> None:
    """Who cannot be called sends all the same, and asks."""
    async with (
        simulated() as rig,
        TwilioGateway.open(API_KEY, base_url=rig.url, status_callback_base="") as gateway,
    ):
        outcome = await hand_off(gateway)
        assert isinstance(outcome, Accepted)
        await rig.until_status(outcome.sid, "delivered")
        (create,) = await rig.log("create")
        assert rig.application.statuses() == []
        assert create["http_status"] == 201


async def test_a_service_and_its_numbers() -> None:
    """A Messaging Service has the numbers of its pool; one that is not there is none."""
    async with simulated() as rig, gateway_to(rig) as gateway:
        found = await gateway.service(SERVICE)
        missing = await gateway.service("MG" + "f" * 32)
    assert found == ServiceRecord(numbers=POOL, receives=True)
    assert missing is None
