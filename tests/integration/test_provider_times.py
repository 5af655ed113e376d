"""Provider times of STOPs and STARTs: fetched, and folded anew."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from sender.domain.consent import Suppression
from sender.domain.provider import MessageRecord
from sender.errors import ProviderUnavailable
from sender.gateway.codes import callback_verdict
from sender.reconcile import ProviderTimes
from sender.storage.database import AsyncDatabase
from tests.bench import ACCOUNT, ANNA, SENDER, TENANT, Bench

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)


@dataclass
class _Log:
    """Twilio's log: when each message was received."""

    times: dict[str, datetime]
    away: bool = False
    asked: list[str] = field(default_factory=list)

    async def of(self, _tenant_id: int) -> "_Log":
        """Every tenant's log."""
        return self

    async def fetch(self, sid: str) -> MessageRecord | None:
        """One record."""
        self.asked.append(sid)
        if self.away:
            raise ProviderUnavailable("away")
        return _record(sid, self.times[sid]) if sid in self.times else None


@dataclass
class _Cache:
    """Remembers what it was told."""

    added: list[int] = field(default_factory=list)
    forgotten: list[tuple[tuple[int, int], int]] = field(default_factory=list)

    async def add(self, entries: list[Suppression]) -> None:
        """These hit."""
        self.added += [entry.recipient for entry in entries]

    async def forget(self, scopes: list[tuple[int, int]], recipients: list[int]) -> None:
        """These do not."""
        self.forgotten += [(scope, recipient) for scope in scopes for recipient in recipients]


def _record(sid: str, at: datetime) -> MessageRecord:
    return MessageRecord(
        sid=sid,
        account_sid=ACCOUNT,
        direction="inbound",
        from_=f"+{ANNA}",
        to=SENDER,
        body="STOP",
        status="received",
        error_code=None,
        date_created=at,
        service_sid=None,
        num_media=0,
        verdict=callback_verdict("received", None, toll_free=False),
    )


@pytest.fixture
def cache() -> _Cache:
    """A set that remembers."""
    return _Cache()


def _times(db: AsyncDatabase, log: _Log, cache: _Cache) -> ProviderTimes:
    return ProviderTimes(db=db, providers=log, cache=cache)  # type: ignore[arg-type]  # lists only


async def test_a_start_counts_once_it_is_dated(
    bench: Bench, loop_db: AsyncDatabase, cache: _Cache
) -> None:
    """When both times are known the later START lifts, in Postgres and in the set."""
    bench.sender_id()
    bench.stop(sid="SM1")
    bench.text("START", sid="SM2")
    log = _Log({"SM1": NOON, "SM2": NOON + timedelta(seconds=1)})
    assert await _times(loop_db, log, cache).fetch() == 2
    assert not bench.is_suppressed()
    assert ((TENANT, 0), ANNA) in cache.forgotten
    assert await _times(loop_db, log, cache).fetch() == 0
    assert sorted(log.asked) == ["SM1", "SM2"]


async def test_an_older_start_lifts_nothing(
    bench: Bench, loop_db: AsyncDatabase, cache: _Cache
) -> None:
    """A START that was sent before the STOP changes nothing, whatever order they arrived in."""
    bench.stop(sid="SM1")
    bench.text("START", sid="SM2")
    log = _Log({"SM1": NOON, "SM2": NOON - timedelta(seconds=1)})
    assert await _times(loop_db, log, cache).fetch() == 2
    assert bench.is_suppressed()
    assert ANNA in cache.added


@pytest.mark.parametrize(("away", "lookups"), [(False, 20), (True, 100)])
async def test_what_twilio_cannot_tell(  # one row of a table
    bench: Bench, loop_db: AsyncDatabase, cache: _Cache, *, away: bool, lookups: int
) -> None:
    """Without an answer the STOP stays latest and is asked about later, however often it failed."""
    bench.stop(sid="SM1")
    bench.execute("UPDATE inbound SET lookups = :n", n=lookups)
    assert await _times(loop_db, _Log({}, away=away), cache).fetch() == 0
    assert bench.is_suppressed()
    wait = bench.value("SELECT next_lookup - now() FROM inbound")
    assert timedelta(minutes=50) < wait <= timedelta(hours=1)


async def test_a_stop_whose_record_is_gone(
    bench: Bench, loop_db: AsyncDatabase, cache: _Cache
) -> None:
    """A STOP that Twilio has no record of is dated when we received it: a later START lifts it."""
    bench.stop(sid="SM1")
    bench.execute("UPDATE inbound SET lookups = 35")
    assert await _times(loop_db, _Log({}), cache).fetch() == 1
    assert bench.value("SELECT provider_at = received_at FROM inbound")
    assert bench.is_suppressed()
