"""The benches' provider: our gateway takes it for Twilio, and it tells what it was asked for."""

from array import array
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
import pytest_asyncio
from twilio.request_validator import RequestValidator

from benchmarks.callbacks import STATUSES, Callback, signature
from benchmarks.provider import Manners
from benchmarks.rig import ACCOUNT, NUMBER, TOKEN, RunningProvider, running_provider
from sender.domain.message import OutboundText
from sender.domain.outcome import Accepted
from sender.gateway import Credentials, TwilioGateway
from sender.send_clock import send_clock
from tests.bench import ANNA, BERT, soon


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProvider]:
    """One for all tests here."""
    folder: Path = tmp_path_factory.mktemp("provider")
    with running_provider(folder) as running:
        running.suppress(array("Q", [BERT]))
        yield running


@pytest_asyncio.fixture
async def gateway(provider: RunningProvider) -> AsyncIterator[TwilioGateway]:
    """Whose status callbacks go to the provider itself, which says thanks."""
    async with TwilioGateway.open(
        Credentials.from_auth_token(ACCOUNT, TOKEN),
        status_callback_base=provider.url,
        base_url=provider.url,
    ) as opened:
        yield opened


async def send(gateway: TwilioGateway, recipient: int, body: str = "Hallo, 20 % für Dich") -> str:
    """Send one; its SID."""
    text = OutboundText(
        message_id=UUID(int=recipient),
        sender=NUMBER,
        recipient=recipient,
        body=body,
        validity=timedelta(minutes=10),
    )
    deadline = send_clock() + 10
    outcome = (await gateway.send(text, deadline=deadline, connect_by=deadline)).outcome
    assert isinstance(outcome, Accepted)
    return outcome.sid


async def test_messages_are_accepted_each_under_a_sid_of_its_own(
    provider: RunningProvider, gateway: TwilioGateway
) -> None:
    """The SDK reads its answers; nothing speaks against the history."""
    provider.reset(Manners(latency_ms=1))
    assert len({await send(gateway, ANNA), await send(gateway, ANNA, "another")}) == 2
    report = provider.report()
    assert (report["asked"], report["answered"]) == (2, 2)
    assert (report["doubles"], report["leaks"]) == (0, 0)
    assert list(provider.history().recipients) == [ANNA, ANNA]


async def test_a_leak_and_a_double_are_seen(
    provider: RunningProvider, gateway: TwilioGateway
) -> None:
    """Whoever is on the list was leaked to; the same text again is a double."""
    provider.reset()
    for recipient in (ANNA, BERT, ANNA):
        await send(gateway, recipient)
    report = provider.report()
    assert (report["doubles"], report["leaks"]) == (1, 1)


async def test_there_is_nothing_in_its_log(gateway: TwilioGateway) -> None:
    """Scrubs and pullers are answered, and find nobody."""
    since = datetime.now(UTC) - timedelta(days=1)
    assert await gateway.list_to(ANNA, since) == []
    assert [page async for page in gateway.pages_since(since)] == [[]]
    assert await gateway.fetch("SM" + "0" * 32) is None


async def test_every_message_is_followed_by_its_callbacks(
    provider: RunningProvider, gateway: TwilioGateway
) -> None:
    """Each is posted once, and answered."""
    provider.reset(Manners(callbacks=True))
    await send(gateway, ANNA)
    await soon(lambda: provider.progress()["acknowledged"] == len(STATUSES))


def test_callbacks_are_signed_as_twilio_does() -> None:
    """The SDK's validator computes the same."""
    fields = {"To": "+14155552001", "MessageStatus": "sent", "AccountSid": ACCOUNT}
    callback = Callback("http://127.0.0.1:8000/twilio/status/1", fields)
    assert signature(TOKEN, callback) == RequestValidator(TOKEN).compute_signature(
        callback.url, fields
    )
