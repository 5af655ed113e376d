"""``sender incidents``, ``trace`` and ``campaign report``, as somebody types them."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from sender.api import connect
from sender.cli import app
from sender.config import Settings
from sender.domain.block_rate import BlockLimits
from sender.domain.incident import Cause
from sender.enforcement import BlockReport
from sender.errors import InvalidRecipient, NotFound
from sender.storage.alerts import AlertKind
from sender.watching import watch_blocks
from tests.bench import (
    ANNA,
    BERT,
    CARL,
    ENFORCEMENT,
    OTHER_SENDER,
    OTHER_TENANT,
    SENDER,
    Bench,
    crowd,
    new_sid,
)

Result = Any  # typer names no class for it
Say = Callable[..., Result]


@pytest.fixture(params=["80", "120"])
def say(bench: Bench, request: pytest.FixtureRequest) -> Say:
    """Runs ``sender`` with these words, in terminals of two widths."""
    settings = {
        "DATABASE_URL": bench.url,
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "COLUMNS": request.param,
    }

    def run(*words: object) -> Result:
        result = CliRunner(env=settings).invoke(app, [str(word) for word in words])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert all(len(line) <= int(request.param) for line in result.stdout.splitlines())
        return result

    return run


def _json(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def _block(bench: Bench, campaign: int, recipient: int = ANNA) -> None:
    """Their guarded message meets a 21610."""
    began_at = datetime.now(UTC)
    message_id = bench.put(
        campaign, "suppressed", recipient, reason="provider_block", provider_code=21610
    )
    report = BlockReport(
        message_id=message_id, code=21610, door="create", began_at=began_at, provider_at=began_at
    )
    bench.db.run(ENFORCEMENT.record_block, report)


@pytest.fixture
def campaign(bench: Bench) -> int:
    """One that met a 21610 for Anna, delivered to Bert, and lost Carl's."""
    created = bench.campaign(ANNA, BERT, CARL)
    assert len(bench.guard_all(created)) == 3
    _block(bench, created)
    bench.put(created, "delivered", BERT, reason="reported", sid=new_sid(1))
    bench.put(created, "undelivered", CARL, reason="unreachable", provider_code=30003, sid="SM2")
    return created


class TestIncidents:
    """``sender incidents``."""

    def test_list(self, say: Say, campaign: int) -> None:
        """Numbers are masked unless asked for, and every filter filters."""
        shown = say("incidents", "list").stdout
        assert "imported_opted_out" in shown
        assert str(ANNA) not in shown
        assert f"+{ANNA}" in say("incidents", "list", "--reveal").stdout
        (told,) = _json(say("incidents", "list", "--json"))["incidents"]
        assert (told["campaign_id"], told["recipient"][-4:]) == (campaign, str(ANNA)[-4:])
        assert str(ANNA) not in told["recipient"]
        for words in (
            ("--campaign", campaign),
            ("--cause", "imported_opted_out"),
            ("--since", "1h"),
        ):
            assert len(_json(say("incidents", "list", *words, "--json"))["incidents"]) == 1
        for words in (("--campaign", campaign + 1), ("--cause", "unknown"), ("--since", "0m")):
            assert "there is no incident" in say("incidents", "list", *words).stdout

    def test_show(self, say: Say, bench: Bench, campaign: int) -> None:
        """The cause, what it was before, and the evidence in time order."""
        (found,) = _json(say("incidents", "list", "--json"))["incidents"]
        bench.stop(ANNA, sid="SM-stop")
        bench.campaign(ANNA)
        shown = say("incidents", "show", found["id"]).stdout
        assert "raced_stop: their STOP and our request crossed" in shown
        assert "imported_opted_out" in shown
        assert "reached us by its webhook" in shown
        assert str(ANNA) not in shown
        told = _json(say("incidents", "show", found["id"], "--json"))
        assert [one["cause"] for one in told["causes"]] == ["imported_opted_out", "raced_stop"]
        assert {one["campaign_id"] for one in told["timeline"]} == {None, campaign}
        with pytest.raises(NotFound, match="99"):
            say("incidents", "show", 99)

    @pytest.mark.parametrize("words", [("--since", "yesterday"), ("--cause", "bad luck")])
    def test_wrong_usage(self, say: Say, words: tuple[str, ...]) -> None:
        """An age or a cause that is none is wrong usage."""
        assert say("incidents", "list", *words).exit_code == 2

    def test_another_tenants(self, say: Say, bench: Bench, campaign: int) -> None:
        """A tenant sees its own incidents, recipients and campaigns only."""
        bench.second_tenant()
        other = bench.campaign(ANNA, sender=OTHER_SENDER, tenant_id=OTHER_TENANT)
        of = ("--tenant", "other")
        assert not _json(say("incidents", "list", "--json", *of))["incidents"]
        traced = _json(say("trace", f"+{ANNA}", "--json", *of))
        assert [one["campaign_id"] for one in traced["messages"]] == [other]
        with pytest.raises(NotFound):
            say("campaign", "report", campaign, *of)
        with pytest.raises(NotFound):
            say("incidents", "show", 1, *of)


class TestTrace:
    """``sender trace``."""

    def test_across_campaigns(self, say: Say, bench: Bench, campaign: int) -> None:
        """Every message to them with the reason, and all that happened in time order."""
        event = bench.stop(ANNA, sid="SM-stop")
        assert event is not None
        assert bench.enforced(event)
        later = bench.campaign(ANNA, BERT)
        bench.db.run(bench.messages.suppress, [row.id for row in bench.due(later)])
        told = _json(say("trace", f"+{ANNA}", "--json"))
        assert [(one["campaign_id"], one["state"]) for one in told["messages"]] == [
            (campaign, "suppressed"),
            (later, "suppressed"),
        ]
        assert "Twilio refused it" in told["messages"][0]["why"]
        assert "they had opted out" in told["messages"][1]["why"]
        kinds = {one["what"] for one in told["timeline"]}
        assert kinds >= {"audience", "guard", "request", "incident", "text", "consent", "enforced"}
        times = [datetime.fromisoformat(one["at"]) for one in told["timeline"]]
        assert times == sorted(times)
        shown = say("trace", f"+{ANNA}").stdout
        assert "is suppressed:" in shown
        assert "2 messages: 0 sent, 0 in doubt, 2 not sent" in shown

    def test_nobody(self, say: Say) -> None:
        """Of a number that nothing is known of, that is said; what is no number is refused."""
        shown = say("trace", f"+{ANNA}").stdout
        assert "may be texted" in shown
        assert "nothing is on record" in shown
        with pytest.raises(InvalidRecipient, match="country"):
            say("trace", "4155552001")


class TestReport:
    """``sender campaign report``."""

    def test_report(self, say: Say, bench: Bench, campaign: int) -> None:
        """Outcomes with reasons and codes, deliveries, and 21610s by cause."""
        shown = say("campaign", "report", campaign).stdout
        assert f"campaign {campaign} (Spring) from {SENDER} is RUNNING" in shown
        assert "Twilio took 2 of 3 requests; 1 delivered (50.0% of those)" in shown
        assert "21610: 1 of 3 requests (33.3%)" in shown
        assert f"sender campaign results {campaign}" in shown
        told = _json(say("campaign", "report", campaign, "--json"))
        assert told["causes"] == {"imported_opted_out": 1}
        assert {(one["state"], one["reason"], one["code"]) for one in told["outcomes"]} == {
            ("suppressed", "provider_block", 21610),
            ("delivered", "reported", None),
            ("undelivered", "unreachable", 30003),
        }
        assert (told["blocks"], told["delivery_rate"]) == (1, 0.5)
        quiet = bench.campaign(BERT)
        assert "no request met a 21610" in say("campaign", "report", quiet).stdout

    def test_alerts(self, say: Say, bench: Bench) -> None:
        """What was told of it stands in it, and whether it was delivered."""
        people = crowd(20)
        campaign = bench.campaign(*people)
        bench.guard_all(campaign)
        for recipient in people:
            _block(bench, campaign, recipient)
        watch_blocks(bench.db, BlockLimits())
        shown = say("campaign", "report", campaign).stdout
        assert "20 of 20" in shown
        assert "nobody yet" in shown


def test_the_api(bench: Bench, campaign: int) -> None:
    """Programs get the same: typed, and by name."""
    settings = Settings.from_variables(
        {"DATABASE_URL": bench.url, "REDIS_URL": "redis://127.0.0.1:1/0"}
    )
    client = connect(settings)
    (incident,) = client.incidents(campaign=campaign, since=datetime.now(UTC) - timedelta(hours=1))
    assert incident.cause is Cause.IMPORTED_OPTED_OUT
    case = client.incident(incident.id)
    assert case.incident == incident
    assert case.looked_at is None
    assert [one.why for one in client.trace(f"+{BERT}").messages] == ["Sent and delivered."]
    report = client.campaign(campaign).report()
    assert (report.blocks, report.block_rate) == (1, pytest.approx(1 / 3))
    assert AlertKind.BLOCK_RATE not in [one.kind for one in report.alerts]
    client.close()
