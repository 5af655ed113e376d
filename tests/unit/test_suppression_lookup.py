"""What the suppression set answers, whatever happens to it."""

from collections.abc import AsyncIterator

import fakeredis
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sender.errors import PacingUnavailable
from sender.suppression import LARGEST_WINDOW, SuppressionLookup, Verdict
from sender.suppression.keys import LARGEST_NUMBER, bucket_key, pointer_key, sentinel
from tests.suppression_servers import (
    ALL_SENDERS,
    ONE_SENDER,
    OPEN,
    PLATFORM,
    SCOPES,
    Server,
    fake_server,
)

ANNA, BERT, CARL = 14155550100, 447700900123, 8613800138000

#: Numbers that collide often, next to any number at all.
NUMBERS = st.one_of(st.integers(1, 600), st.integers(1, LARGEST_NUMBER))


class LookupRules:
    """Held on both back ends."""

    async def test_answers_in_the_order_asked(self, server: Server) -> None:
        """A verdict belongs to the recipient at the same place."""
        server.build_all()
        server.add(ALL_SENDERS, BERT)
        assert await server.verdicts(ANNA, BERT, CARL) == (
            Verdict.CLEAR,
            Verdict.SUPPRESSED,
            Verdict.CLEAR,
        )

    @pytest.mark.parametrize("scope", SCOPES)
    async def test_any_scope_suppresses(self, server: Server, scope: tuple[int, int]) -> None:
        """A suppression by the platform, the tenant or for the sender is enough."""
        server.build_all()
        server.add(scope, ANNA)
        assert await server.verdicts(ANNA) == (Verdict.SUPPRESSED,)

    async def test_other_scopes_do_not(self, server: Server) -> None:
        """A suppression for one sender says nothing about the tenant's others."""
        server.build_all()
        server.add(ONE_SENDER, ANNA)
        assert await server.verdicts(ANNA, scopes=(PLATFORM, ALL_SENDERS)) == (Verdict.CLEAR,)

    async def test_removed_is_clear(self, server: Server) -> None:
        """A recipient who opted in again is no longer in the set."""
        server.build(ALL_SENDERS, [ANNA])
        server.remove(ALL_SENDERS, ANNA)
        assert await server.verdicts(ANNA, scopes=(ALL_SENDERS,)) == (Verdict.CLEAR,)

    async def test_never_built_is_cold(self, server: Server) -> None:
        """A scope that was never built here is unknown, not empty."""
        server.build(PLATFORM)
        server.build(ALL_SENDERS)
        assert await server.verdicts(ANNA) == (Verdict.COLD,)

    async def test_a_hit_beats_cold(self, server: Server) -> None:
        """A recipient suppressed in one scope is so even while another scope is cold."""
        server.build(ALL_SENDERS, [ANNA])
        assert await server.verdicts(ANNA, BERT) == (Verdict.SUPPRESSED, Verdict.COLD)

    async def test_flushed_is_cold(self, server: Server) -> None:
        """After a flush nobody is said to be clear."""
        server.build_all()
        server.add(ALL_SENDERS, ANNA)
        server.sync.flushdb()
        assert await server.verdicts(ANNA, BERT) == (Verdict.COLD, Verdict.COLD)

    async def test_lost_bucket_is_cold(self, server: Server) -> None:
        """An evicted bucket makes its own recipients unknown and no others."""
        generation = server.build(ALL_SENDERS, range(1, 1000), count=1000)
        server.sync.delete(bucket_key(pointer_key(*ALL_SENDERS), generation, 5))
        buckets = int(server.sync.hget(pointer_key(*ALL_SENDERS), "buckets"))
        said = await server.verdicts(*range(1, 1000), scopes=(ALL_SENDERS,))
        assert said == tuple(
            Verdict.COLD if number % buckets == 5 else Verdict.SUPPRESSED
            for number in range(1, 1000)
        )

    async def test_writing_does_not_warm(self, server: Server) -> None:
        """A number added to a lost bucket is suppressed; its neighbours stay unknown."""
        generation = server.build(ALL_SENDERS, [ANNA])
        server.sync.delete(bucket_key(pointer_key(*ALL_SENDERS), generation, 0))
        server.add(ALL_SENDERS, BERT)
        assert await server.verdicts(ANNA, BERT, scopes=(ALL_SENDERS,)) == (
            Verdict.COLD,
            Verdict.SUPPRESSED,
        )

    async def test_foreign_bucket_is_cold(self, server: Server) -> None:
        """A bucket that carries another generation's sentinel is not believed to be whole."""
        generation = server.build(ALL_SENDERS)
        key = bucket_key(pointer_key(*ALL_SENDERS), generation, 0)
        server.sync.delete(key)
        server.sync.sadd(key, sentinel(generation - 1))
        assert await server.verdicts(ANNA, scopes=(ALL_SENDERS,)) == (Verdict.COLD,)

    async def test_forgotten_scripts(self, server: Server) -> None:
        """A server that lost its scripts is given them again."""
        server.build_all()
        await server.verdicts(ANNA)
        server.sync.script_flush()
        assert await server.verdicts(ANNA) == (Verdict.CLEAR,)

    async def test_broken_key(self, server: Server) -> None:
        """An error of Redis is no answer: nothing may be sent."""
        server.build_all()
        server.sync.delete(pointer_key(*ALL_SENDERS))
        server.sync.set(pointer_key(*ALL_SENDERS), "not a hash")
        with pytest.raises(PacingUnavailable):
            await server.check(ANNA)

    @settings(
        max_examples=40,
        deadline=None,
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,  # the test empties the server itself
            HealthCheck.differing_executors,  # one body, two back ends
        ],
    )
    @given(
        built=st.sets(NUMBERS, max_size=60),
        count=st.integers(0, 5000),
        writes=st.lists(st.tuples(st.booleans(), NUMBERS), max_size=30),
        asked=st.sets(NUMBERS, max_size=30),
    )
    async def test_exact(
        self,
        server: Server,
        built: set[int],
        count: int,
        writes: list[tuple[bool, int]],
        asked: set[int],
    ) -> None:
        """A warm set says "suppressed" of exactly the numbers in it, however it is cut up."""
        server.sync.flushdb()
        server.build(ALL_SENDERS, built, count=count)
        expected = set(built)
        for added, number in writes:
            (server.add if added else server.remove)(ALL_SENDERS, number)
            (expected.add if added else expected.discard)(number)
        everybody = sorted(asked | built | {number for _, number in writes})
        said = await server.verdicts(*everybody, scopes=(ALL_SENDERS,))
        assert {n for n, v in zip(everybody, said, strict=True) if v is Verdict.SUPPRESSED} == (
            expected
        )
        assert Verdict.COLD not in said


class TestOnFakeredis(LookupRules):
    """The rules, without a server."""

    @pytest.fixture
    async def server(self) -> AsyncIterator[Server]:
        """An empty fakeredis."""
        async with fake_server() as server:
            yield server


async def test_decoding_client() -> None:
    """A client that decodes replies gets the same answer."""
    state = fakeredis.FakeServer()
    async with fakeredis.FakeAsyncRedis(server=state, decode_responses=True) as asyncio:
        admission = await SuppressionLookup(asyncio).check(
            pace=OPEN, scopes=SCOPES, recipients=[ANNA], segments=[1]
        )
    assert admission.verdicts == (Verdict.COLD,)


async def test_unreachable() -> None:
    """Without Redis there is no pacing, so the check raises."""
    state = fakeredis.FakeServer()
    state.connected = False
    async with fakeredis.FakeAsyncRedis(server=state) as asyncio:
        with pytest.raises(PacingUnavailable):
            await SuppressionLookup(asyncio).check(
                pace=OPEN, scopes=SCOPES, recipients=[ANNA], segments=[1]
            )


@pytest.mark.parametrize(
    ("scopes", "recipients", "segments"),
    [
        pytest.param((), [ANNA], [1], id="no scope would mean clear"),
        pytest.param(SCOPES, [ANNA], [], id="no segments"),
        pytest.param(SCOPES, [ANNA], [0], id="a message of no segments"),
        pytest.param(SCOPES, [ANNA] * 3, [1, 0, 1], id="one of no segments among others"),
        pytest.param(SCOPES, [LARGEST_NUMBER + 1], [1], id="sixteen digits"),
        pytest.param(SCOPES, [ANNA, LARGEST_NUMBER + 1], [1, 1], id="sixteen digits at the end"),
        pytest.param(SCOPES, [0], [1], id="zero"),
        pytest.param(SCOPES, [ANNA, 0, ANNA], [1] * 3, id="zero among others"),
        pytest.param(SCOPES, [ANNA] * (LARGEST_WINDOW + 1), [1] * (LARGEST_WINDOW + 1), id="large"),
    ],
)
async def test_malformed_window(
    scopes: tuple[tuple[int, int], ...], recipients: list[int], segments: list[int]
) -> None:
    """A window that would be answered wrongly is refused before it is asked."""
    async with fake_server() as server:
        with pytest.raises(ValueError, match=r"\w"):
            await SuppressionLookup(server.asyncio).check(
                pace=OPEN, scopes=scopes, recipients=recipients, segments=segments
            )


async def test_empty_window() -> None:
    """A window of nobody is admitted at once, without asking."""
    async with fake_server() as server:
        admission = await server.check()
    assert (admission.verdicts, admission.admitted) == ((), 0)
