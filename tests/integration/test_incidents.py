"""Incidents: opened through every door, traced anew as more becomes known, with their history."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from sender.domain.consent import Suppression
from sender.domain.inbound import InboundText
from sender.domain.provider import MessageRecord
from sender.enforcement import BlockReport
from sender.errors import ProviderUnavailable
from sender.gateway.codes import callback_verdict
from sender.inbound import Inbound
from sender.investigating import PAUSES, Investigation
from sender.reconcile import ProviderTimes
from sender.storage.database import AsyncDatabase, DatabaseError
from tests.bench import ACCOUNT, ANNA, BERT, ENFORCEMENT, OTHER_SENDER, SENDER, Bench, new_sid

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)


def _record(sid: str, at: datetime, body: str = "STOP", **facts: Any) -> MessageRecord:
    """A text of Anna's in Twilio's log."""
    plain: dict[str, Any] = {
        "sid": sid,
        "account_sid": ACCOUNT,
        "direction": "inbound",
        "from_": f"+{ANNA}",
        "to": SENDER,
        "body": body,
        "status": "received",
        "error_code": None,
        "date_created": at.replace(microsecond=0),
        "service_sid": None,
        "num_media": 0,
        "verdict": callback_verdict("received", None, toll_free=False),
    }
    return MessageRecord(**plain | facts)


@dataclass
class _Log:
    """Twilio's log of what people texted, or its absence."""

    records: list[MessageRecord] = field(default_factory=list)
    away: bool = False
    asked: list[int] = field(default_factory=list)

    async def of(self, _tenant_id: int) -> "_Log":
        """Every tenant's log."""
        return self

    async def list_from(self, recipient: int, since: datetime) -> list[MessageRecord]:
        """What that person texted."""
        self.asked.append(recipient)
        if self.away:
            raise ProviderUnavailable("away")
        return [one for one in self.records if one.date_created >= since]

    async def fetch(self, sid: str) -> MessageRecord | None:
        """One record."""
        return next((one for one in self.records if one.sid == sid), None)


class _NoCache:
    """A Redis set nobody asks."""

    async def add(self, entries: list[Suppression]) -> None:
        """Not kept."""

    async def forget(self, scopes: object, recipients: object) -> None:
        """Not kept."""


def _blocked(bench: Bench, recipient: int = ANNA, *, ago: timedelta = timedelta()) -> UUID:
    """A message that was refused with 21610 some time ago; its id."""
    campaign = bench.campaign(recipient)
    began_at = datetime.now(UTC) - ago
    message_id = bench.put(campaign, "sending", recipient, guarded_at=began_at)
    report = BlockReport(
        message_id=message_id, code=21610, door="create", began_at=began_at, provider_at=began_at
    )
    bench.db.run(ENFORCEMENT.record_block, report)
    bench.execute("UPDATE incident SET created_at = began_at WHERE message_id = :id", id=message_id)
    return message_id


def _cause(bench: Bench) -> str:
    return str(bench.value("SELECT cause FROM incident"))


def _history(bench: Bench) -> list[tuple[str, str]]:
    """What it was, one after another, and what led to it."""
    found = bench.execute("SELECT cause, because FROM incident_cause ORDER BY id")
    return [(row.cause, row.because) for row in found]


class TestLateEvidence:
    """A cause that is known only later."""

    async def test_a_stop_out_of_twilios_log(self, bench: Bench, loop_db: AsyncDatabase) -> None:
        """A STOP that was pulled, however soon, shows that its webhook was missed."""
        _blocked(bench, ago=10 * SECOND)
        stop = _record("SM1", datetime.now(UTC) - 25 * SECOND)
        bench.db.run(Inbound(enforcement=ENFORCEMENT).apply, InboundText.from_record(stop))
        await ProviderTimes(db=loop_db, providers=_Log([stop]), cache=_NoCache()).fetch()
        assert _history(bench)[-1] == ("webhook_missed", "keyword_dated")

    async def test_a_stop_that_is_dated(self, bench: Bench, loop_db: AsyncDatabase) -> None:
        """A webhook that came an hour late was missed, which its time at Twilio shows."""
        _blocked(bench, ago=HOUR)
        bench.stop(sid="SM1")
        log = _Log([_record("SM1", datetime.now(UTC) - 2 * HOUR)])
        await ProviderTimes(db=loop_db, providers=log, cache=_NoCache()).fetch()
        assert _history(bench) == [
            ("imported_opted_out", "opened"),
            ("webhook_missed", "keyword_dated"),
        ]
        detail = bench.value("SELECT detail FROM incident")
        assert detail["stop"] == "SM1"
        assert detail["late_by_ms"] == pytest.approx(2 * 3_600_000, rel=0.01)

    def test_a_race(self, bench: Bench) -> None:
        """A STOP that arrives just after its 21610 turns the incident into a race."""
        _blocked(bench)
        bench.stop(sid="SM1")
        assert _history(bench)[1:] == [("raced_stop", "stop_received")]

    def test_it_is_told_once(self, bench: Bench) -> None:
        """The same evidence again changes nothing."""
        _blocked(bench)
        for _ in range(2):
            bench.stop(sid="SM1")
        assert len(_history(bench)) == 2

    def test_old_incidents_stay(self, bench: Bench) -> None:
        """What is a month old is not traced anew."""
        _blocked(bench)
        bench.execute("UPDATE incident SET began_at = now() - interval '31 days'")
        bench.stop(sid="SM1")
        assert len(_history(bench)) == 1

    @pytest.mark.parametrize(
        "statement", ["UPDATE incident_cause SET cause = 'x'", "DELETE FROM incident_cause"]
    )
    def test_the_history_is_append_only(self, bench: Bench, statement: str) -> None:
        """What a cause once was is never changed or taken away."""
        _blocked(bench)
        with pytest.raises(DatabaseError, match="append-only"):
            bench.execute(statement)


class TestListLostData:
    """The gravest cause."""

    def test_somebody_is_told_once(self, bench: Bench) -> None:
        """A 21610 of somebody whose opt-out was enforced is told of, once a campaign."""
        campaign = bench.campaign(ANNA, BERT)
        for recipient in (ANNA, BERT):
            event = bench.opt_out(recipient, source_id=str(recipient))
            assert bench.enforced(event)
            began_at = datetime.now(UTC) + SECOND
            message_id = bench.put(campaign, "sending", recipient, guarded_at=began_at)
            report = BlockReport(
                message_id=message_id,
                code=21610,
                door="create",
                began_at=began_at,
                provider_at=began_at,
            )
            for _ in range(2):
                bench.db.run(ENFORCEMENT.record_block, report)
        assert _history(bench) == [("list_lost_data", "opened")] * 2
        assert [row.kind for row in bench.execute("SELECT kind FROM alert")] == ["list_lost_data"]


class TestInvestigation:
    """Asking Twilio's log."""

    @pytest.fixture
    def log(self) -> _Log:
        """Twilio's log, empty."""
        return _Log()

    @pytest.fixture
    def investigation(self, loop_db: AsyncDatabase, log: _Log) -> Investigation:
        """One that asks this log."""
        return Investigation(db=loop_db, providers=log)

    @staticmethod
    def _make_due(bench: Bench) -> None:
        bench.execute("UPDATE incident SET next_look = now() WHERE next_look IS NOT NULL")

    async def test_not_at_once(self, bench: Bench, log: _Log, investigation: Investigation) -> None:
        """Twilio's log is asked a minute later, when it shows what crossed our request."""
        _blocked(bench)
        assert await investigation.investigate() == 0
        assert not log.asked

    async def test_a_stop_we_never_heard_of(
        self, bench: Bench, log: _Log, investigation: Investigation
    ) -> None:
        """Twilio's log has the STOP and we do not: the webhook was missed, and that ends it."""
        _blocked(bench)
        stopped = datetime.now(UTC) - HOUR
        log.records = [_record("SM9", stopped), _record("SM8", stopped - HOUR, "hello")]
        self._make_due(bench)
        assert await investigation.investigate() == 1
        assert _history(bench)[1:] == [("webhook_missed", "provider_log")]
        row = bench.execute("SELECT log, looked_at, next_look FROM incident")[0]
        assert [one["sid"] for one in row.log] == ["SM9"]
        assert row.looked_at is not None
        assert row.next_look is None
        assert not bench.value("SELECT count(*) FROM inbound")

    async def test_a_stop_to_somebody_else(
        self, bench: Bench, log: _Log, investigation: Investigation
    ) -> None:
        """A STOP to another address than the sender's is that of another sender or system."""
        _blocked(bench)
        log.records = [_record("SM9", datetime.now(UTC) - HOUR, to=OTHER_SENDER)]
        self._make_due(bench)
        await investigation.investigate()
        assert _cause(bench) == "other_sender"

    async def test_it_is_asked_again(
        self, bench: Bench, log: _Log, investigation: Investigation
    ) -> None:
        """What Twilio's log cannot explain yet is asked for again, ever later, then no more."""
        _blocked(bench)
        for looks in range(1, len(PAUSES) + 2):
            self._make_due(bench)
            await investigation.investigate()
            assert len(log.asked) == looks
        self._make_due(bench)
        assert await investigation.investigate() == 0
        assert len(_history(bench)) == 1

    async def test_twilio_away(self, bench: Bench, log: _Log, investigation: Investigation) -> None:
        """A look without an answer is made again, and keeps nobody from the others."""
        _blocked(bench)
        _blocked(bench, BERT)
        log.away = True
        self._make_due(bench)
        assert await investigation.investigate() == 0
        assert sorted(log.asked) == [ANNA, BERT]
        assert bench.value("SELECT min(next_look) > now() FROM incident")
        log.away = False
        self._make_due(bench)
        assert await investigation.investigate() == 2

    async def test_a_race_is_looked_up_once(
        self, bench: Bench, log: _Log, investigation: Investigation
    ) -> None:
        """What is proven is asked about once, for the record."""
        _blocked(bench)
        bench.stop(sid=new_sid(1))
        log.records = [_record(new_sid(1), datetime.now(UTC))]
        self._make_due(bench)
        assert await investigation.investigate() == 1
        assert _cause(bench) == "raced_stop"
        assert bench.value("SELECT next_look FROM incident") is None
