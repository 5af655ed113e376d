"""``sender campaign``, ``caps``, ``holds`` and ``doubts``, as somebody types them."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from sender.cli import app
from sender.errors import ConfigurationError, ErasureRefused, NotFound, VerdictRefused, WrongState
from tests.bench import ANNA, BERT, SENDER, Bench
from tests.months import months_on

Result = Any  # typer names no class for it
Say = Callable[..., Result]
WHY = ("--author", "ann", "--reason", "carrier outage")
FOUND = ("--author", "ann", "--evidence", "Console, 12:30")


@pytest.fixture
def say(bench: Bench) -> Say:
    """Runs ``sender`` with these words, in a terminal of 100 columns."""
    settings = {
        "DATABASE_URL": bench.url,
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "COLUMNS": "100",
    }

    def run(*words: object) -> Result:
        result = CliRunner(env=settings).invoke(app, [str(word) for word in words])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def _json(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    ("database", "said"),
    [("there", "there is no campaign 99"), ("away", "the database cannot be used")],
)
def test_a_failure_is_one_line(bench: Bench, database: str, said: str) -> None:
    """What fails is told in one line that says what to do, with exit code 1."""
    url = bench.url if database == "there" else "postgresql+psycopg://nobody@127.0.0.1:1/none"
    ran = subprocess.run(
        [sys.executable, "-m", "sender.cli", "campaign", "show", "99"],
        env={**os.environ, "DATABASE_URL": url, "REDIS_URL": "redis://127.0.0.1:1/0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 1
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr


class TestHolds:
    """The kill switch and its smaller kin."""

    @pytest.mark.parametrize(
        "on", [("--all",), ("--tenant", "default"), ("--sender", SENDER), ("--campaign", "1")]
    )
    def test_place_list_release(self, say: Say, bench: Bench, on: tuple[str, ...]) -> None:
        """Each level is held, listed with author and reason, and released."""
        campaign = bench.campaign(ANNA)
        placed = say("holds", "place", *on, *WHY)
        assert f"sender holds release {' '.join(on)}" in placed.stdout
        assert "already" in say("holds", "place", *on, *WHY).stdout
        assert not bench.guard_all(campaign)
        (held,) = _json(say("holds", "list", "--json"))["holds"]
        assert (held["author"], held["reason"]) == ("ann", "carrier outage")
        assert "carrier outage" in say("holds", "list").stdout
        assert "1 hold lifted" in say("holds", "release", *on, *WHY).stdout
        assert "nothing is held" in say("holds", "list").stdout
        assert "by ann" in say("holds", "list", "--lifted").stdout
        assert "was not held" in say("holds", "release", *on, *WHY).stdout
        assert set(bench.guard_all(campaign)) == {ANNA}

    @pytest.mark.parametrize(
        "words",
        [
            ("place", *WHY),
            ("place", "--all", "--campaign", "1", *WHY),
            ("release", "--all"),
            ("place", "--all", "--author", "ann"),
        ],
    )
    def test_wrong_usage(self, say: Say, words: tuple[str, ...]) -> None:
        """Not exactly one level, no author or no reason is wrong usage."""
        assert say("holds", *words).exit_code == 2

    def test_a_misspelt_sender(self, say: Say) -> None:
        """What is not there is told, and is exit code 1 in a terminal."""
        with pytest.raises(NotFound, match="sender"):
            say("holds", "place", "--sender", "+14155559999", *WHY)


class TestCampaign:
    """One campaign, or all."""

    def test_list_and_show(self, say: Say, bench: Bench) -> None:
        """The newest first; one with its messages, doubts, holds and its sender's rest."""
        first, second = bench.campaign(ANNA, BERT), bench.campaign(ANNA)
        listed = _json(say("campaign", "list", "--json"))["campaigns"]
        assert [one["id"] for one in listed] == [second, first]
        assert "Spring" in say("campaign", "list", "--limit", 1).stdout
        bench.put(first, "in_doubt", BERT, reason="read_timeout")
        say("holds", "place", "--campaign", first, *WHY)
        bench.execute("UPDATE sender SET rests_until = now() + interval '1 h', rest_reason = 'cap'")
        shown = say("campaign", "show", first).stdout
        assert "carrier outage" in shown
        assert "rests until" in shown
        assert f"sender doubts list --campaign {first}" in shown
        assert all(len(line.rstrip()) <= 100 for line in shown.splitlines())
        told = _json(say("campaign", "show", first, "--json"))
        assert (told["doubts"], told["open"]) == (1, 1)
        assert told["obstacles"]["rest_reason"] == "cap"
        assert {one["state"]: one["messages"] for one in told["reasons"]} == {
            "pending": 1,
            "in_doubt": 1,
        }

    def test_pause_resume_cancel(self, say: Say, bench: Bench) -> None:
        """A campaign is paused, goes on and is ended; what is not possible says why."""
        campaign = bench.campaign(ANNA, BERT)
        assert "paused" in say("campaign", "pause", campaign, "--why", "lunch").stdout
        assert "PAUSED: lunch" in say("campaign", "list").stdout
        assert _json(say("campaign", "resume", campaign, "--json"))["state"] == "RUNNING"
        done = _json(say("campaign", "cancel", campaign, "--why", "typo", "--json"))
        assert (done["state"], done["canceled"]) == ("CANCELED", 2)
        with pytest.raises(WrongState, match="is CANCELED"):
            say("campaign", "resume", campaign)

    def test_who_did_it(self, say: Say, bench: Bench) -> None:
        """Who paused, resumed or canceled a campaign stands beside its state and the reason."""
        campaign = bench.campaign(ANNA)
        by = ("--author", "ann")
        say("campaign", "pause", campaign, "--why", "lunch", *by)
        assert "PAUSED: lunch (by ann)" in say("campaign", "list").stdout
        say("campaign", "resume", campaign, "--author", "bob")
        assert "RUNNING (by bob)" in say("campaign", "show", campaign).stdout
        say("campaign", "cancel", campaign, "--why", "typo", *by)
        told = _json(say("campaign", "show", campaign, "--json"))
        assert (told["state"], told["why"], told["author"]) == ("CANCELED", "typo", "ann")

    def test_what_is_not_there(self, say: Say, bench: Bench) -> None:
        """A campaign that does not exist is told."""
        campaign = bench.campaign(ANNA)
        with pytest.raises(NotFound):
            say("campaign", "show", campaign + 1)

    def test_results(self, say: Say, bench: Bench) -> None:
        """Results are CSV with a header, or a JSON object a line."""
        campaign = bench.campaign(ANNA, BERT)
        bench.put(campaign, "failed", BERT, reason="content", provider_code=30007)
        rows = list(csv.DictReader(say("campaign", "results", campaign).stdout.splitlines()))
        assert [row["recipient"] for row in rows] == [f"+{ANNA}", f"+{BERT}"]
        assert rows[1]["reason"] == "content"
        lines = say("campaign", "results", campaign, "--state", "failed", "--json").stdout
        (failed,) = [json.loads(line) for line in lines.splitlines()]
        assert (failed["recipient"], failed["provider_code"]) == (f"+{BERT}", 30007)
        assert say("campaign", "results", campaign, "--state", "lost").exit_code == 2


class TestCaps:
    """How much may go a day."""

    def test_set_list_remove(self, say: Say) -> None:
        """A sender's and a tenant's are set with their zone, listed and taken away."""
        assert "nothing is capped" in say("caps", "list").stdout
        assert "2000 segments" in say("caps", "set", 2000, "--sender", SENDER).stdout
        say("caps", "set", 9000, "--all-senders", "--zone", "Europe/Berlin")
        assert "all together" in say("caps", "list").stdout
        tenants, senders = _json(say("caps", "list", "--json"))["caps"]
        assert (tenants["sender"], tenants["segments"]) == (None, 9000)
        assert (senders["sender"], senders["used"], senders["zone"]) == (
            SENDER,
            0,
            "America/Los_Angeles",
        )
        assert "no cap any more" in say("caps", "remove", "--sender", SENDER).stdout
        assert not _json(say("caps", "remove", "--sender", SENDER, "--json"))["removed"]
        assert [one["segments"] for one in _json(say("caps", "list", "--json"))["caps"]] == [9000]

    def test_whose(self, say: Say, bench: Bench) -> None:
        """A tenant sees and caps its own alone; a misspelt sender is not entered by a removal."""
        bench.second_tenant()
        say("caps", "set", 5, "--sender", SENDER)
        say("caps", "set", 7, "--all-senders", "--tenant", "other")
        (theirs,) = _json(say("caps", "list", "--tenant", "other", "--json"))["caps"]
        assert theirs["segments"] == 7
        with pytest.raises(ConfigurationError, match="another tenant"):
            say("caps", "set", 5, "--sender", SENDER, "--tenant", "other")
        assert "no cap" in say("caps", "remove", "--sender", "+14155559999").stdout
        assert bench.value("SELECT count(*) FROM sender") == 1

    @pytest.mark.parametrize(
        "words",
        [
            ("set", "5"),
            ("set", "5", "--sender", SENDER, "--all-senders"),
            ("set", "--all-senders"),
            ("set", "--all-senders", "--", "-1"),
            ("remove",),
        ],
    )
    def test_wrong_usage(self, say: Say, words: tuple[str, ...]) -> None:
        """Exactly one is capped, at no less than nothing."""
        assert say("caps", *words).exit_code == 2


class TestDoubts:
    """Messages whose outcome nobody knows."""

    @pytest.fixture
    def campaign(self, bench: Bench) -> int:
        """A campaign with an old doubt and an unknown message."""
        campaign = bench.campaign(ANNA, BERT)
        for person in (ANNA, BERT):
            bench.put(campaign, "in_doubt", person, reason="read_timeout")
        bench.execute("UPDATE message SET changed_at = now() - interval '50 hours'")
        bench.execute("UPDATE doubt SET since = now() - interval '50 hours'")
        bench.put(campaign, "unknown", BERT)
        return campaign

    def test_list(self, say: Say, campaign: int) -> None:
        """Doubts are listed in 100 columns, with masked numbers unless asked."""
        listed = say("doubts", "list", "--campaign", campaign, "--older-than", "2d").stdout
        assert "1 in doubt, 1 unknown" in listed
        assert "given up" in listed
        assert all(len(line.rstrip()) <= 100 for line in listed.splitlines())
        assert str(ANNA) not in listed
        assert str(ANNA) not in say("doubts", "list", "--json").stdout
        assert f"+{ANNA}" in say("doubts", "list", "--reveal").stdout
        assert "nothing is in doubt" in say("doubts", "list", "--older-than", "3d").stdout
        assert say("doubts", "list", "--older-than", "soon").exit_code == 2

    def test_show_and_resolve(self, say: Say, bench: Bench, campaign: int) -> None:
        """One is shown, decided once, and shown with the verdict."""
        message_id = bench.row(campaign).id
        shown = say("doubts", "show", message_id).stdout
        assert "read_timeout" in shown
        assert "Sale today" not in shown
        assert "Sale today" in say("doubts", "show", message_id, "--reveal").stdout
        assert str(ANNA) not in say("doubts", "show", message_id, "--json").stdout
        decided = say("doubts", "resolve", message_id, "--not-sent", *FOUND)
        assert "on record as not sent" in decided.stdout
        assert "not sent, by ann" in say("doubts", "show", message_id).stdout
        with pytest.raises(VerdictRefused, match="is failed, not in doubt"):
            say("doubts", "resolve", message_id, "--sent", *FOUND)
        with pytest.raises(NotFound):
            say("doubts", "show", uuid4())

    def test_all_of_a_campaign(self, say: Say, bench: Bench, campaign: int) -> None:
        """Many are decided at once only by whoever knows how many."""
        every = ("doubts", "resolve", "--campaign", campaign, "--all", "--sent", *FOUND)
        assert say(*every).exit_code == 2
        with pytest.raises(VerdictRefused, match="has 2 doubts, not 3"):
            say(*every, "--expect", 3)
        assert _json(say(*every, "--expect", 2, "--json"))["decided"] == 2
        assert set(bench.states(campaign).values()) == {"sent"}

    @pytest.mark.parametrize(
        "words",
        [
            (*FOUND,),
            ("--sent", *FOUND),
            (uuid4(), *FOUND),
            (uuid4(), "--sent", "--author", "ann"),
            (uuid4(), "--sent", "--campaign", 1, *FOUND),
        ],
    )
    def test_wrong_usage(self, say: Say, words: tuple[object, ...]) -> None:
        """A verdict names a message or a campaign, what was found, its author and evidence."""
        assert say("doubts", "resolve", *words).exit_code == 2


class TestRetention:
    """What `sender retention` shows, and deletes."""

    def test_show_then_run(self, say: Say, bench: Bench) -> None:
        """It says what would go and why the rest stays, and deletes only when told to."""
        now = datetime.now(UTC)
        bench.execute("SELECT make_message_month(:at)", at=months_on(now, -4))
        bench.campaign(ANNA)
        for words in (("show",), ("run", "--author", "ann")):
            shown = say("retention", *words, "--days", 60).stdout
            assert "may go" in shown
            assert "stays: not old enough, 1 campaigns not over" in " ".join(shown.split())
        found = _json(say("retention", "show", "--days", 60, "--json"))["months"]
        assert [one["may_go"] for one in found[:2]] == [True, False]
        ran = say("retention", "run", "--author", "ann", "--days", 60, "--yes")
        assert "1 months with 0 messages deleted" in ran.stdout
        again = _json(say("retention", "run", "--author", "ann", "--days", 60, "--yes", "--json"))
        assert again == {"months": 0, "messages": 0, "receipts": 0, "alarms": 0}
        with pytest.raises(ErasureRefused, match="SENDER_KEEP_MESSAGES_DAYS"):
            say("retention", "show")
