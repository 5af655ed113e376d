"""A hand-off over real HTTP: every fault of the wire gives exactly one outcome, and one request."""

import asyncio
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from uuid import UUID

import pytest
from gateway_wire import (
    Request,
    Script,
    WireServer,
    error,
    message,
    partial,
    raw,
    reply,
    wire_server,
)

from sender.domain.message import OutboundText
from sender.domain.number_health import NumberFault
from sender.domain.outcome import (
    Accepted,
    Ambiguous,
    NotBegun,
    OptedOut,
    Outcome,
    RefusalKind,
    Refused,
    Throttled,
)
from sender.domain.provider import HandOff
from sender.errors import ConfigurationError
from sender.gateway import Credentials, TwilioGateway
from sender.gateway.answers import unfinished
from sender.gateway.transport import Exchange, LeanHttpClient
from sender.send_clock import send_clock

CREDENTIALS = Credentials.from_api_key("AC" + "0" * 32, "SK" + "1" * 32, "secret")
SID = "SM" + "a" * 32
MESSAGE_ID = UUID(int=7)
TEXT = OutboundText(
    message_id=MESSAGE_ID,
    sender="+15550000001",
    recipient=15550000002,
    body="50% off + más & more",
    validity=timedelta(hours=1),
)
CALLBACK_BASE = "https://sms.example.com/hooks/"


async def send(
    url: str, text: OutboundText = TEXT, *, limit: float = 5.0, connect: float = 5.0
) -> HandOff:
    """One hand-off through a gateway of its own."""
    async with TwilioGateway.open(
        CREDENTIALS, base_url=url, status_callback_base=CALLBACK_BASE
    ) as gateway:
        now = send_clock()
        return await gateway.send(text, deadline=now + limit, connect_by=now + connect)


async def outcome_of(script: Script, *, limit: float = 5.0) -> tuple[Outcome, WireServer]:
    """The outcome of one hand-off to a server that follows a script."""
    async with wire_server(script) as wire:
        return (await send(wire.url, limit=limit)).outcome, wire


async def test_a_message_is_accepted_and_the_request_says_all_twilio_needs() -> None:
    """A create carries recipient, sender, body, validity and our message id in the callback."""
    outcome, wire = await outcome_of(reply(201, message(SID)))

    assert outcome == Accepted(sid=SID, provider_status="queued")
    [request] = wire.requests
    assert request.target == f"/2010-04-01/Accounts/{CREDENTIALS.account_sid}/Messages.json"
    assert request.form == {
        "To": "+15550000002",
        "From": "+15550000001",
        "Body": "50% off + más & more",
        "StatusCallback": f"https://sms.example.com/hooks/twilio/status/{MESSAGE_ID}"
        "#ct=2000&rt=4000&rc=5&rp=all",
        "ValidityPeriod": "3600",
    }
    assert request.headers["authorization"].startswith("basic ")


async def test_a_messaging_service_is_named_as_such() -> None:
    """A sender that is a Messaging Service SID goes into its own field, without a From."""
    text = OutboundText(
        message_id=MESSAGE_ID,
        sender="MG" + "2" * 32,
        recipient=15550000002,
        body="hi",
        validity=timedelta(days=3),
    )
    async with wire_server(reply(201, message(SID))) as wire:
        await send(wire.url, text)

    form = wire.requests[0].form
    assert form["MessagingServiceSid"] == "MG" + "2" * 32
    assert "From" not in form
    assert form["ValidityPeriod"] == "36000", "clamped to what Twilio accepts"


JSON_500 = error(500, 20500)
HTML = "<html>Bad gateway</html>"


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        pytest.param(error(400, 21610), OptedOut(code=21610), id="21610"),
        pytest.param(
            error(400, 21211),
            Refused(kind=RefusalKind.BAD_NUMBER, code=21211, fault=NumberFault.INVALID),
            id="bad number",
        ),
        pytest.param(
            error(401, 20003), Refused(kind=RefusalKind.ACCOUNT, code=20003), id="account"
        ),
        pytest.param(
            error(429, 20429, "Retry-After: 7"),
            Throttled(code=20429, retry_after=timedelta(seconds=7)),
            id="429",
        ),
        pytest.param(reply(429, HTML), Throttled(code=429, retry_after=None), id="429 of a proxy"),
        pytest.param(
            reply(400, {"type": "t", "title": "x", "status": 400, "code": 21610}),
            OptedOut(code=21610),
            id="21610 as a problem document (RFC 9457)",
        ),
        pytest.param(JSON_500, Ambiguous(why="http_500", code=20500), id="500 JSON"),
        pytest.param(reply(500, HTML), Ambiguous(why="http_500", code=500), id="500 HTML"),
        pytest.param(reply(403, HTML), Ambiguous(why="http_403", code=403), id="4xx of a proxy"),
        pytest.param(reply(400, [1, 2]), Ambiguous(why="http_400", code=400), id="4xx, other JSON"),
        pytest.param(
            reply(307, "", "Location: /elsewhere"),
            Ambiguous(why="http_307", code=307),
            id="redirect",
        ),
        pytest.param(
            reply(201, "{garbage"), Ambiguous(why="unreadable_answer", code=201), id="garbage"
        ),
        pytest.param(
            reply(201, [1]), Ambiguous(why="unreadable_answer", code=201), id="JSON array"
        ),
        pytest.param(
            reply(201, {"status": "queued"}),
            Ambiguous(why="unreadable_answer", code=201),
            id="no SID",
        ),
        pytest.param(reply(201, ""), Ambiguous(why="unreadable_answer", code=201), id="empty"),
        pytest.param(partial(b"", close=True), Ambiguous(why="reset"), id="closed unanswered"),
        pytest.param(
            partial(b"not HTTP at all\r\n\r\n", close=True),
            Ambiguous(why="unreadable_answer"),
            id="not HTTP",
        ),
        pytest.param(
            partial(raw(201, '{"sid": "SM123"}')[:-6], close=True),
            Ambiguous(why="answer_cut_off", code=201),
            id="half a body, then closed",
        ),
    ],
)
async def test_every_answer_has_exactly_one_outcome(script: Script, expected: Outcome) -> None:
    """Whatever the provider answers, one request is made and one outcome comes back."""
    outcome, wire = await outcome_of(script)

    assert outcome == expected
    assert len(wire.requests) == 1


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (partial(b"", close=False), Ambiguous(why="read_timeout")),
        (partial(b"HTTP/1.1 201 Created\r\nX: ", close=False), Ambiguous(why="read_timeout")),
        (
            partial(raw(201, '{"sid": "SM123"}')[:-6], close=False),
            Ambiguous(why="answer_cut_off", code=201),
        ),
    ],
    ids=["silence", "slow headers", "slow body"],
)
async def test_the_deadline_ends_a_hang_as_in_doubt(script: Script, expected: Outcome) -> None:
    """An answer that is not complete by the deadline is ambiguous and not waited for."""
    outcome, wire = await outcome_of(script, limit=0.3)

    assert outcome == expected
    assert len(wire.requests) == 1


async def test_a_refused_connection_is_not_begun() -> None:
    """A port nobody listens on proves that nothing was written."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    hand_off = await send(f"http://127.0.0.1:{port}")

    assert hand_off.outcome == NotBegun(why="connect_refused")
    assert hand_off.clock_offset is None


async def test_a_failed_tls_handshake_is_not_begun() -> None:
    """A server that does not speak TLS has seen no byte of the request."""
    async with await asyncio.start_server(_talk_plainly, "127.0.0.1", 0) as plain:
        port = plain.sockets[0].getsockname()[1]
        hand_off = await send(f"https://127.0.0.1:{port}")

    assert hand_off.outcome == NotBegun(why="tls")


async def _talk_plainly(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(raw(400, "plain HTTP only"))
    await writer.drain()
    writer.close()


async def test_a_connection_that_is_not_ready_in_time_is_not_begun() -> None:
    """The time to connect covers the TLS handshake: a silent server is given up by connect_by."""
    silent = await asyncio.start_server(_hold, "127.0.0.1", 0)
    async with silent:
        port = silent.sockets[0].getsockname()[1]
        hand_off = await send(f"https://127.0.0.1:{port}", connect=0.3)

    assert hand_off.outcome == NotBegun(why="connect_timeout")


async def _hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


async def test_waiting_for_a_free_connection_counts_as_connecting() -> None:
    """With the pool exhausted, a hand-off is given up unbegun instead of queueing past its time."""
    async with (
        wire_server(partial(b"", close=False)) as wire,
        TwilioGateway.open(
            CREDENTIALS,
            base_url=wire.url,
            status_callback_base=CALLBACK_BASE,
            max_connections=1,
        ) as gateway,
    ):
        now = send_clock()
        first, second = await asyncio.gather(
            gateway.send(TEXT, deadline=now + 1.0, connect_by=now + 1.0),
            gateway.send(TEXT, deadline=now + 1.0, connect_by=now + 0.2),
        )

    assert first.outcome == Ambiguous(why="read_timeout")
    assert second.outcome == NotBegun(why="connect_timeout")
    assert len(wire.requests) == 1


async def test_too_late_touches_no_network() -> None:
    """A hand-off asked for after connect_by is not begun, and no connection is opened."""
    async with wire_server(reply(201, message(SID))) as wire:
        hand_off = await send(wire.url, connect=-0.001)

    assert hand_off.outcome == NotBegun(why="too_late")
    assert wire.connections == 0


async def test_the_last_look_is_where_the_bytes_are_written() -> None:
    """A host that sleeps with a connection in hand writes nothing to it, and says so."""
    times = iter([0.0, 3600.0])  # before the connection, at the write
    async with wire_server(reply(201, message(SID))) as wire, LeanHttpClient() as http:
        with Exchange(connect_by=2.0, deadline=10.0, clock=lambda: next(times)) as current:
            with pytest.raises(TimeoutError) as late:
                await http.request("POST", wire.url, data={"Body": "Sale"})

            assert unfinished(late.value, current) == NotBegun(why="too_late")
        with Exchange(connect_by=send_clock() + 5, deadline=send_clock() + 5):
            await http.request("POST", wire.url, data={"Body": "Next"})

    assert [request.form["Body"] for request in wire.requests] == ["Next"]


async def test_a_body_that_cannot_be_encoded_is_our_bug() -> None:
    """A lone surrogate cannot be written down: proven not sent, final, and not raised."""
    text = OutboundText(
        message_id=MESSAGE_ID, sender="+1555", recipient=1555, body="\ud800", validity=timedelta(1)
    )
    async with wire_server(reply(201, message(SID))) as wire:
        hand_off = await send(wire.url, text)

    assert hand_off.outcome == Refused(kind=RefusalKind.BUG, code=0)
    assert wire.requests == []


async def test_the_clock_offset_comes_from_the_date_header() -> None:
    """The provider's clock minus ours is told with every answer, refusals included."""
    ahead = datetime.now(UTC) + timedelta(hours=1)
    header = "Date: " + format_datetime(ahead, usegmt=True)
    before = datetime.now(UTC)
    async with wire_server(error(400, 21610, header)) as wire:
        hand_off = await send(wire.url)

    assert hand_off.clock_offset is not None
    assert timedelta(minutes=59) < hand_off.clock_offset <= timedelta(hours=1)
    assert before <= hand_off.began_at <= datetime.now(UTC)


async def test_two_hundred_at_a_time_get_their_own_answers() -> None:
    """Concurrent hand-offs never get each other's SID: 200 requests, 200 SIDs."""

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.01)
        sid = "SM" + request.form["Body"].rjust(32, "0")
        writer.write(reply_bytes(sid))

    def reply_bytes(sid: str) -> bytes:
        return raw(201, f'{{"sid": "{sid}", "status": "queued"}}')

    async with (
        wire_server(script) as wire,
        TwilioGateway.open(
            CREDENTIALS, base_url=wire.url, status_callback_base=CALLBACK_BASE
        ) as gateway,
    ):
        limit = send_clock() + 20.0
        texts = [
            OutboundText(
                message_id=UUID(int=n),
                sender="+1555",
                recipient=15550000000 + n,
                body=str(n),
                validity=timedelta(hours=1),
            )
            for n in range(200)
        ]
        done = await asyncio.gather(
            *(gateway.send(text, deadline=limit, connect_by=limit) for text in texts)
        )

    assert [hand_off.outcome for hand_off in done] == [
        Accepted(sid="SM" + text.body.rjust(32, "0"), provider_status="queued") for text in texts
    ]
    assert len(wire.requests) == 200


async def test_cancellation_is_not_swallowed() -> None:
    """Only the caller's own cancellation escapes a hand-off."""
    async with wire_server(partial(b"", close=False)) as wire:
        task = asyncio.create_task(send(wire.url))
        async with asyncio.timeout(5):
            while not wire.requests:  # noqa: ASYNC110  # polled with a bound: the server has no event
                await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("url", ["api.twilio.com", "ftp://api.twilio.com", ""])
async def test_a_url_that_is_no_url_is_refused_at_once(url: str) -> None:
    """A wrong base URL is a configuration error, not a connection failure per message."""
    with pytest.raises(ConfigurationError):
        await send(url)
