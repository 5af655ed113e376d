"""Campaigns that meet too many 21610s: told of, held when they jump, and the alerts delivered."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from gateway_wire import reply, wire_server

from sender.alerting import Alerting
from sender.domain.block_rate import BlockLimits
from sender.posting import Poster, signature
from sender.storage import holds
from sender.storage.database import AsyncDatabase
from sender.storage.holds import Level
from sender.watching import watch_blocks
from tests.bench import Bench, crowd

LIMITS = BlockLimits()


def _answered(bench: Bench, campaign: int, *, blocked: int, sent: int) -> None:
    """Guard the next rows: the first of them met a 21610, the others were accepted."""
    ids = [row.id for row in bench.due(campaign) if bench.message(row.id).state == "pending"]
    rows = [row for row in bench.due(campaign) if row.id in set(ids[: blocked + sent])]
    bench.execute("UPDATE slice SET started_at = now() WHERE campaign_id = :id", id=campaign)
    licences = bench.guard(rows)
    assert len(licences) == blocked + sent
    _end(bench, "suppressed", [one.message_id for one in licences[:blocked]])
    _end(bench, "sent", [one.message_id for one in licences[blocked:]])
    bench.execute(
        "INSERT INTO incident (tenant_id, campaign_id, message_id, sender_id, recipient, code,"
        " door, began_at, cause) "
        "SELECT 1, campaign_id, id, 1, recipient, 21610, 'create', guarded_at, 'unknown' "
        "FROM message WHERE id = ANY (:ids)",
        ids=[one.message_id for one in licences[:blocked]],
    )


def _end(bench: Bench, state: str, ids: Sequence[object]) -> None:
    bench.execute("UPDATE message SET state = :state WHERE id = ANY (:ids)", state=state, ids=ids)


def _alerts(bench: Bench) -> list[tuple[str, int, int]]:
    found = bench.execute("SELECT kind, detail FROM alert ORDER BY id")
    return [(row.kind, row.detail["blocks"], row.detail["answers"]) for row in found]


def _held(bench: Bench) -> list[str]:
    return [
        row.reason for row in bench.execute("SELECT reason FROM hold WHERE released_at IS NULL")
    ]


class TestRate:
    """The rate over a whole campaign."""

    def test_it_is_told_of_once(self, bench: Bench) -> None:
        """Over the threshold there is one alert, however long the campaign goes on."""
        campaign = bench.campaign(*crowd(400))
        _answered(bench, campaign, blocked=20, sent=180)
        watch_blocks(bench.db, LIMITS)
        assert _alerts(bench) == [("block_rate", 20, 200)]
        _answered(bench, campaign, blocked=10, sent=50)
        watch_blocks(bench.db, LIMITS)
        assert len(_alerts(bench)) == 1
        assert not _held(bench)

    @pytest.mark.parametrize(
        ("blocked", "limits"), [(19, LIMITS), (20, BlockLimits(alert_share=0.5))]
    )
    def test_it_is_not(self, bench: Bench, blocked: int, limits: BlockLimits) -> None:
        """A few, or a small share, are ordinary."""
        campaign = bench.campaign(*crowd(100))
        _answered(bench, campaign, blocked=blocked, sent=80)
        watch_blocks(bench.db, limits)
        assert not _alerts(bench)

    def test_it_is_judged_again_when_they_grow(self, bench: Bench) -> None:
        """A campaign that was below is judged anew once there are a tenth more."""
        campaign = bench.campaign(*crowd(300))
        limits = BlockLimits(alert_share=0.2)
        _answered(bench, campaign, blocked=20, sent=85)
        watch_blocks(bench.db, limits)
        _answered(bench, campaign, blocked=2, sent=1)
        watch_blocks(bench.db, limits)
        assert _alerts(bench) == [("block_rate", 22, 108)]

    def test_what_comes_after_the_end(self, bench: Bench) -> None:
        """A campaign that has just ended is told of as well: 21610s in callbacks come late."""
        campaign = bench.campaign(*crowd(60))
        _answered(bench, campaign, blocked=60, sent=0)
        bench.execute("UPDATE campaign SET state = 'COMPLETED', completed_at = now()")
        assert watch_blocks(bench.db, LIMITS) == 0
        assert _alerts(bench) == [("block_rate", 60, 60)]


class TestJump:
    """The rate over the latest answers."""

    def test_it_is_held(self, bench: Bench) -> None:
        """A jump holds the campaign with its reason, and is told of; nothing more begins."""
        campaign = bench.campaign(*crowd(400))
        _answered(bench, campaign, blocked=0, sent=200)
        _answered(bench, campaign, blocked=50, sent=20)
        assert watch_blocks(bench.db, LIMITS) == 1
        assert _held(bench) == ["provider_blocks"]
        assert bench.value("SELECT detail FROM hold").startswith("50 of its last 70 messages")
        assert ("block_jump", 50, 70) in _alerts(bench)
        assert not bench.guard_all(campaign)
        assert bench.guard_all(bench.campaign())
        assert watch_blocks(bench.db, LIMITS) == 0

    def test_a_steady_share_is_no_jump(self, bench: Bench) -> None:
        """As many, but spread over more answers, are told of and not held."""
        campaign = bench.campaign(*crowd(400))
        for _ in range(10):
            _answered(bench, campaign, blocked=5, sent=25)
        assert watch_blocks(bench.db, LIMITS) == 0
        assert [kind for kind, *_ in _alerts(bench)] == ["block_rate"]

    def test_a_release_forgives_what_was_before(self, bench: Bench) -> None:
        """After it only what began since counts."""
        campaign = bench.campaign(*crowd(200))
        _answered(bench, campaign, blocked=50, sent=0)
        assert watch_blocks(bench.db, LIMITS) == 1
        bench.db.run(holds.release, Level.CAMPAIGN, campaign, author="ann")
        _answered(bench, campaign, blocked=49, sent=0)
        assert watch_blocks(bench.db, LIMITS) == 0
        _answered(bench, campaign, blocked=1, sent=0)
        assert watch_blocks(bench.db, LIMITS) == 1

    def test_never(self, bench: Bench) -> None:
        """A share of nothing never holds."""
        campaign = bench.campaign(*crowd(50))
        _answered(bench, campaign, blocked=50, sent=0)
        assert watch_blocks(bench.db, BlockLimits(hold_share=0)) == 0


@dataclass
class _Receiver:
    """Whom alerts are posted to: takes them, or says why not."""

    says: str = ""
    bodies: list[bytes] = field(default_factory=list)

    async def post(self, url: str, body: bytes, *, secret: str, at: datetime) -> str:
        """One POST."""
        assert (url, secret) == ("https://example.com/alerts", "s3cret")
        assert at.tzinfo is UTC
        self.bodies.append(body)
        return self.says


class TestDelivery:
    """Alerts on their way."""

    @pytest.fixture
    def receiver(self) -> _Receiver:
        """One that takes what comes."""
        return _Receiver()

    @pytest.fixture
    def alerting(self, bench: Bench, loop_db: AsyncDatabase, receiver: _Receiver) -> Alerting:
        """With one alert to deliver."""
        campaign = bench.campaign(*crowd(60))
        _answered(bench, campaign, blocked=20, sent=40)
        watch_blocks(bench.db, LIMITS)
        url = "https://example.com/alerts"
        return Alerting(db=loop_db, poster=receiver, url=url, secret="s3cret")

    async def test_it_is_delivered_once(
        self, bench: Bench, alerting: Alerting, receiver: _Receiver
    ) -> None:
        """What was taken is not posted again; it names the campaign, and no number."""
        assert await alerting.deliver() == 1
        assert await alerting.deliver() == 0
        (body,) = receiver.bodies
        told = json.loads(body)
        assert (told["kind"], told["tenant"]) == ("block_rate", "default")
        assert told["campaign"]["name"] == "Spring"
        assert told["detail"] == {"blocks": 20, "answers": 60, "share": 0.3333}
        assert b"1415555" not in body
        assert bench.value("SELECT delivered_at IS NOT NULL FROM alert")

    async def test_it_is_tried_again(
        self, bench: Bench, alerting: Alerting, receiver: _Receiver
    ) -> None:
        """What was not taken is posted again, each time later; after a day no more."""
        receiver.says = "HTTP 500"
        assert await alerting.deliver() == 0
        pause = bench.value("SELECT next_try - now() FROM alert")
        assert timedelta(seconds=5) < pause < timedelta(seconds=11)
        assert await alerting.deliver() == 0
        assert len(receiver.bodies) == 1
        bench.execute("UPDATE alert SET next_try = now(), created_at = now() - interval '1 day'")
        await alerting.deliver()
        assert len(receiver.bodies) == 2
        row = bench.execute("SELECT tries, next_try, error FROM alert")[0]
        assert (row.tries, row.next_try, row.error) == (2, None, "HTTP 500")

    async def test_old_ones_are_not_told(
        self, bench: Bench, alerting: Alerting, receiver: _Receiver
    ) -> None:
        """What was kept while there was no address is no news once there is one."""
        bench.execute("UPDATE alert SET created_at = now() - interval '2 days'")
        await alerting.deliver()
        assert not receiver.bodies
        assert bench.value("SELECT next_try FROM alert") is None

    async def test_over_http(self, alerting: Alerting) -> None:
        """The whole way: what arrives is signed and is what was told."""
        async with wire_server(reply(200, "")) as wire, Poster.open(allow_private=True) as poster:
            told = replace(alerting, poster=poster, url=f"{wire.url}/alerts")
            assert await told.deliver() == 1
        (request,) = wire.requests
        assert (request.method, request.target) == ("POST", "/alerts")
        assert json.loads(request.body)["kind"] == "block_rate"
        headers = {name.lower(): value for name, value in request.headers.items()}
        at = datetime.fromtimestamp(int(headers["sender-signature"][2:].partition(",")[0]), UTC)
        assert headers["sender-signature"] == signature("s3cret", request.body, at=at)

    async def test_without_an_address(
        self, bench: Bench, loop_db: AsyncDatabase, alerting: Alerting, receiver: _Receiver
    ) -> None:
        """Nobody is told, and the alert is kept for the report."""
        silent = Alerting(db=loop_db, poster=receiver, url="", secret="")
        assert await silent.deliver() == 0
        assert not receiver.bodies
        assert alerting.url
        assert bench.value("SELECT count(*) FROM alert") == 1
