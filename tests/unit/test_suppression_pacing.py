"""How the lookup's tokens are taken, owed and given back."""

import asyncio
import math
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from sender.suppression import Pace, SuppressionLookup, Verdict
from sender.suppression.keys import pacing_key, pause_key
from tests.bench import eventually
from tests.suppression_servers import (
    ALL_SENDERS,
    SENDER,
    SLOW,
    TENANT,
    Server,
    fake_server,
)

#: Time one segment takes at the slow rate.
INTERVAL = timedelta(seconds=1 / SLOW)


def slow(*, burst: int, sender_id: int = SENDER, tenant_id: int = TENANT) -> Pace:
    """A pace at which only the burst goes while a test runs."""
    return Pace(tenant_id=tenant_id, sender_id=sender_id, rate=SLOW, burst=burst)


class PacingRules:
    """Held on both back ends."""

    async def test_burst_then_wait(self, server: Server) -> None:
        """After a pause the burst goes at once, and the next segment waits for its token."""
        admission = await server.check(*range(1, 11), pace=slow(burst=4))
        assert admission.admitted == 4
        assert INTERVAL * 0.9 < admission.wait <= INTERVAL

    async def test_all_admitted(self, server: Server) -> None:
        """A window that goes as a whole has nothing to wait for."""
        admission = await server.check(1, 2, pace=slow(burst=4))
        assert (admission.admitted, admission.wait) == (2, timedelta())

    async def test_segments_are_counted(self, server: Server) -> None:
        """Tokens are segments: two messages of two take four."""
        admission = await server.check(*range(1, 11), pace=slow(burst=4), segments=[2] * 10)
        assert admission.admitted == 2

    async def test_suppressed_take_no_tokens(self, server: Server) -> None:
        """Recipients who are not texted leave the tokens to the others."""
        server.build_all()
        server.add(ALL_SENDERS, 1, 2, 3)
        admission = await server.check(1, 2, 3, 4, 5, 6, pace=slow(burst=2))
        assert admission.verdicts[:3] == (Verdict.SUPPRESSED,) * 3
        assert admission.admitted == 2

    async def test_cold_take_tokens(self, server: Server) -> None:
        """Cold recipients may be texted if Postgres says so, hence they are paced."""
        admission = await server.check(1, 2, 3, pace=slow(burst=2))
        assert admission.verdicts == (Verdict.COLD,) * 3
        assert admission.admitted == 2

    async def test_long_message_owes(self, server: Server) -> None:
        """A message longer than the burst goes when one token is there, and owes the rest."""
        pace = slow(burst=1)
        first = await server.check(1, 2, pace=pace, segments=[10, 1])
        assert first.admitted == 1
        assert INTERVAL * 9 < first.wait <= INTERVAL * 10

    async def test_refusal_takes_nothing(self, server: Server) -> None:
        """Asking in vain does not put the next token off."""
        pace = slow(burst=1)
        await server.check(1, pace=pace)
        waits = [(await server.check(2, pace=pace)).wait for _ in range(3)]
        assert waits == sorted(waits, reverse=True)
        assert all(timedelta() < wait <= INTERVAL for wait in waits)

    async def test_time_brings_tokens(self, server: Server) -> None:
        """Two intervals later two more segments go."""
        pace = slow(burst=3)
        await server.check(1, 2, 3, pace=pace)
        self.age(server, 2 * INTERVAL)
        assert (await server.check(4, 5, 6, 7, pace=pace)).admitted == 2

    async def test_no_more_than_the_burst(self, server: Server) -> None:
        """However long the pause, only one burst goes at once."""
        pace = slow(burst=3)
        await server.check(1, 2, 3, pace=pace)
        self.age(server, 50 * INTERVAL)
        assert (await server.check(*range(1, 20), pace=pace)).admitted == 3

    async def test_given_back(self, server: Server) -> None:
        """Tokens of messages that did not go serve others."""
        pace = slow(burst=3)
        await server.check(1, 2, 3, pace=pace)
        await SuppressionLookup(server.asyncio).give_back(pace, segments=2)
        assert (await server.check(4, 5, 6, 7, pace=pace)).admitted == 2

    async def test_given_back_to_a_full_bucket(self, server: Server) -> None:
        """Tokens given back to an expired bucket do not add to the burst."""
        pace = slow(burst=3)
        await SuppressionLookup(server.asyncio).give_back(pace, segments=2)
        assert (await server.check(*range(1, 20), pace=pace)).admitted == 3

    async def test_clock_set_back(self, server: Server) -> None:
        """A server's clock that was set back a year stops a sender for a burst, not for a year."""
        pace = Pace(tenant_id=TENANT, sender_id=SENDER, rate=10, burst=10)
        await server.check(1, pace=pace)
        self.age(server, -timedelta(days=365))
        assert (await server.check(2, pace=pace)).wait < timedelta(seconds=10)

    async def test_each_sender_its_own(self, server: Server) -> None:
        """Senders do not take each other's tokens, whatever tenant they belong to."""
        paces = [
            slow(burst=1),
            slow(burst=1, sender_id=SENDER + 1),
            slow(burst=1, tenant_id=TENANT + 1),
        ]
        assert [(await server.check(1, pace=pace)).admitted for pace in paces] == [1, 1, 1]

    async def test_key_expires(self, server: Server) -> None:
        """A sender at rest leaves nothing behind in Redis."""
        await server.check(1, 2, pace=slow(burst=2))
        left = server.sync.pttl(pacing_key(TENANT, SENDER))
        assert 0 < left <= 2 * INTERVAL / timedelta(milliseconds=1) + 2

    async def test_shared_by_all_workers(self, server: Server) -> None:
        """Windows checked at the same time share one burst."""
        pace = slow(burst=25)
        answers = await asyncio.gather(*(server.check(1, 2, 3, 4, pace=pace) for _ in range(10)))
        assert sum(answer.admitted for answer in answers) == 25

    def age(self, server: Server, by: timedelta) -> None:
        """Let time pass for the sender's bucket, without waiting."""
        key = pacing_key(TENANT, SENDER)
        taken = int(server.sync.get(key))
        server.sync.set(key, taken - round(by / timedelta(microseconds=1)))


class PauseRules:
    """Held on both back ends: an account that is left alone."""

    async def test_nothing_is_admitted(self, server: Server) -> None:
        """During a pause nobody goes, whatever tokens there are, and is told until when."""
        await _pause(server, seconds=60)
        answer = await server.check(1, 2, 3)
        assert (answer.admitted, answer.paused) == (0, True)
        assert timedelta(seconds=50) < answer.wait <= timedelta(seconds=60)

    async def test_it_takes_no_tokens(self, server: Server) -> None:
        """After the pause the bucket is as full as before."""
        await _pause(server, seconds=60)
        await server.check(1, 2, 3, pace=slow(burst=2))
        server.sync.delete(pause_key(TENANT))
        answer = await server.check(1, 2, 3, pace=slow(burst=2))
        assert (answer.admitted, answer.paused) == (2, False)

    async def test_hits_are_told_all_the_same(self, server: Server) -> None:
        """Who is suppressed is known during a pause, too, and leaves nothing to wait for."""
        server.build_all()
        server.add(ALL_SENDERS, 1)
        await _pause(server, seconds=60)
        assert (await server.check(1, 2)).verdicts == (Verdict.SUPPRESSED, Verdict.CLEAR)
        assert (await server.check(1)).wait == timedelta()

    async def test_it_holds_for_every_sender_of_the_tenant(self, server: Server) -> None:
        """A pause is the account's: for all of its senders, and for no other tenant's."""
        await _pause(server, seconds=60)
        theirs = slow(burst=1, sender_id=SENDER + 1)
        other = slow(burst=1, tenant_id=TENANT + 1)
        assert (await server.check(1, pace=theirs)).admitted == 0
        assert (await server.check(1, pace=other)).admitted == 1

    async def test_it_is_never_shortened(self, server: Server) -> None:
        """Of several pauses the longest holds, in whatever order they are told."""
        left = []
        for seconds in (20, 60, 5):
            await _pause(server, seconds=seconds)
            left.append(round(server.sync.pttl(pause_key(TENANT)) / 10_000))
        assert left == [2, 6, 6]

    async def test_it_ends_by_itself(self, server: Server) -> None:
        """A pause that is over holds nobody, and leaves nothing behind."""
        await SuppressionLookup(server.asyncio).pause(TENANT, timedelta(microseconds=1))
        eventually(lambda: not server.sync.exists(pause_key(TENANT)))
        assert (await server.check(1)).admitted == 1

    async def test_a_flush_ends_it(self, server: Server) -> None:
        """A lost pause lets the account be asked, and refuse, again."""
        await _pause(server, seconds=60)
        server.sync.flushdb()
        assert (await server.check(1)).admitted == 1


async def _pause(server: Server, *, seconds: int) -> None:
    await SuppressionLookup(server.asyncio).pause(TENANT, timedelta(seconds=seconds))


class TestOnFakeredis(PacingRules, PauseRules):
    """The rules, without a server."""

    @pytest.fixture
    async def server(self) -> AsyncIterator[Server]:
        """An empty fakeredis."""
        async with fake_server() as server:
            yield server


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 1), (math.inf, 1), (math.nan, 1), (1, 0)])
def test_pace_that_never_goes(rate: float, burst: int) -> None:
    """A pace at which nothing or everything would go is refused; a sender is stopped by a hold."""
    with pytest.raises(ValueError, match="must be"):
        Pace(tenant_id=TENANT, sender_id=SENDER, rate=rate, burst=burst)
