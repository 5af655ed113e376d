"""A thousand STOPs at the webhook app at once, and the status callbacks among them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest
from sqlalchemy import text

from tests.bench import ACCOUNT, OTHER_SENDER, SENDER, Bench, crowd, new_sid, soon
from tests.browser import Browser, running, settings_at
from workers.webhooks import create_app

STOPS = 1_000
CALLBACKS = 50
#: How often is asked again, and the seconds in between.
PATIENCE, PAUSE = 500, 0.2


@pytest.fixture
async def twilio(bench: Bench, database_url: str, redis_url: str) -> AsyncIterator[Browser]:
    """Twilio, calling the app."""
    async with running(
        create_app(settings=lambda: settings_at(database_url, redis_url))
    ) as browser:
        yield browser


def _stop(number: int) -> dict[str, str]:
    return {
        "MessageSid": new_sid(1_000_000 + number),
        "AccountSid": ACCOUNT,
        "From": f"+{number}",
        "To": SENDER,
        "Body": "STOP",
    }


def _delivered(number: int, sender: str) -> dict[str, str]:
    return {
        "AccountSid": ACCOUNT,
        "MessageSid": new_sid(number),
        "MessageStatus": "delivered",
        "To": f"+{number}",
        "From": sender,
    }


@contextmanager
def _nothing_can_be_stored(bench: Bench) -> Iterator[None]:
    """Every transaction that stores a text waits."""
    with bench.db.transaction() as tx:
        tx.execute(text("LOCK TABLE inbound"))
        yield


async def test_callbacks_flow_while_a_thousand_stops_wait(bench: Bench, twilio: Browser) -> None:
    """STOPs that cannot be stored yet, or not enforced yet, keep no callback waiting.

    And none of them is lost: with Twilio's repeats each is answered 200 in the end, once.
    """
    people = crowd(STOPS + CALLBACKS)
    held = _under_way(bench, people[:STOPS], SENDER)
    others = _under_way(bench, people[STOPS:], OTHER_SENDER)

    async def called_back(messages: dict[int, UUID], sender: str) -> set[int]:
        calls = (
            twilio.post(f"/twilio/status/{message_id}", _delivered(number, sender))
            for number, message_id in messages.items()
        )
        return {answer.status for answer in await asyncio.gather(*calls)}

    with _nothing_can_be_stored(bench):
        stops = [asyncio.create_task(_until_answered(twilio, number)) for number in held]
        await soon(lambda: _waiting_for_locks(bench))
        assert await called_back(others, OTHER_SENDER) == {204}
        assert not any(task.done() for task in stops)
    await _until_stored(bench, STOPS // 2)
    assert await called_back(held, SENDER) == {204}
    await asyncio.gather(*stops)

    assert bench.value("SELECT count(*) FROM consent_event") == STOPS
    assert bench.value("SELECT count(*) FROM enforcement WHERE enforced_at IS NULL") == 0


def _under_way(bench: Bench, people: list[int], sender: str) -> dict[int, UUID]:
    guarded = bench.guard_all(bench.campaign(*people, sender=sender))
    return {number: one.message_id for number, one in guarded.items()}


async def _until_answered(twilio: Browser, number: int) -> None:
    """Repeat a STOP as Twilio does, until it is answered 200."""
    for _ in range(PATIENCE):
        if (await twilio.post("/twilio/inbound", _stop(number))).status == 200:
            return
        await asyncio.sleep(PAUSE)
    raise AssertionError("a STOP was never answered 200")


async def _until_stored(bench: Bench, count: int) -> None:
    """Wait for so many STOPs, without keeping the app from its work by asking."""
    for _ in range(PATIENCE):
        if bench.value("SELECT count(*) FROM suppression") >= count:
            return
        await asyncio.sleep(PAUSE)
    raise AssertionError("the STOPs were never stored")


def _waiting_for_locks(bench: Bench) -> int:
    """Transactions that wait, by another connection than theirs."""
    return int(bench.value("SELECT count(*) FROM pg_locks WHERE NOT granted"))
