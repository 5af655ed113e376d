"""``sender suppression``, ``platform`` and ``tenants``, as somebody types them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sender.cli import app
from sender.credentials import new_key
from sender.domain.consent import PLATFORM
from sender.errors import (
    ConfigurationError,
    InvalidRecipient,
    LiftRefused,
    NotFound,
    RecoveryRefused,
    RecoveryUnfinished,
)
from sender.sealing import Sealer
from tests.bench import ACCOUNT, ANNA, BERT, OTHER_ACCOUNT, OTHER_SENDER, SENDER, SERVICE, Bench

Result = Any  # typer names no class for it
Say = Callable[..., Result]
NUMBER = f"+{ANNA}"
BY = ("--author", "ann")
LIFT = ("--reason", "signed up again", "--evidence", "form 17")


@pytest.fixture
def say(bench: Bench) -> Say:
    """Runs ``sender`` with these words, against the bench's database."""
    settings = {
        "DATABASE_URL": bench.url,
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "SENDER_SECRET_KEY": new_key(),
        "COLUMNS": "200",
    }

    def run(*words: str, answers: str = "") -> Result:
        result = CliRunner(env=settings).invoke(app, words, input=answers)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def _json(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


class TestList:
    """One number."""

    def test_add_check_history_lift(self, say: Say) -> None:
        """What was added is shown with its reason and author, and lifted with evidence."""
        assert "may be texted" in say("suppression", "check", NUMBER).stdout
        added = say("suppression", "add", NUMBER, *BY, "--evidence", "letter")
        assert "no request to it can begin" in added.stdout
        checked = _json(say("suppression", "check", NUMBER, "--json"))
        assert checked["suppressed"]
        assert checked["by"][0]["reason"] == "manual"
        say("suppression", "lift", NUMBER, *BY, *LIFT)
        timeline = say("suppression", "history", NUMBER).stdout
        assert [line[0] for line in timeline.splitlines() if line[0] in "■□▲"] == ["□", "▲"]
        assert "form 17" in timeline
        assert "may be texted" in timeline

    def test_a_number_needs_its_country(self, say: Say) -> None:
        """A number without its country is refused, not looked up as somebody else's."""
        with pytest.raises(InvalidRecipient, match="country"):
            say("suppression", "check", "4155552001")

    def test_a_complaint_is_not_lifted_by_the_way(self, say: Say) -> None:
        """Lifting a complaint takes the flag, and is on record."""
        say("suppression", "add", NUMBER, *BY, "--reason", "complaint")
        with pytest.raises(LiftRefused, match="override"):
            say("suppression", "lift", NUMBER, *BY, *LIFT)
        say("suppression", "lift", NUMBER, *BY, *LIFT, "--override")
        events = _json(say("suppression", "history", NUMBER, "--json"))["events"]
        assert events[-1]["source"] == "override"

    @pytest.mark.parametrize("words", [("add", NUMBER), ("lift", NUMBER, *BY), ("undo", "1")])
    def test_wrong_usage_is_exit_code_two(self, say: Say, words: tuple[str, ...]) -> None:
        """What is missing on the command line is wrong usage."""
        assert say("suppression", *words).exit_code == 2


class TestBulk:
    """Lists, batches, reviews, erasure, verification."""

    def test_import_show_undo_export(self, say: Say, tmp_path: Path) -> None:
        """A list is previewed, rehearsed, imported, shown as a batch, exported and undone."""
        file = tmp_path / "list.csv"
        file.write_text(f"Mobile,Date\n{NUMBER},2025-01-02\n+{BERT},2025-01-03\nx,\n")
        rehearsed = say("suppression", "import", str(file), *BY, "--dry-run")
        assert "Mobile" in rehearsed.stdout
        assert "dry run" in rehearsed.stdout
        counts = _json(say("suppression", "import", str(file), *BY, "--json"))["counts"]
        assert (counts["imported"], counts["rejected_number"]) == (2, 1)
        (batch,) = _json(say("suppression", "batches", "--json"))["batches"]
        assert (batch["author"], batch["source_name"]) == ("ann", "list.csv")
        assert "list.csv" in say("suppression", "batches").stdout
        out = tmp_path / "out.csv"
        assert _json(say("suppression", "export", str(out), "--json"))["entries"] == 2
        undone = _json(
            say("suppression", "undo", str(batch["id"]), *BY, "--reason", "wrong", "--json")
        )
        assert undone["undone"] == 2
        assert "may be texted" in say("suppression", "check", NUMBER).stdout

    def test_review(self, say: Say, bench: Bench) -> None:
        """A doubtful message is listed with its words and a masked number, and decided."""
        bench.text("why are you texting me", sid="SM1")
        listed = say("suppression", "review", "list").stdout
        assert "why are you texting me" in listed
        assert str(ANNA) not in listed + say("suppression", "review", "list", "--json").stdout
        assert NUMBER in say("suppression", "review", "list", "--reveal").stdout
        (waiting,) = _json(say("suppression", "review", "list", "--json"))["reviews"]
        say("suppression", "review", "confirm", str(waiting["id"]), *BY)
        checked = _json(say("suppression", "check", NUMBER, "--json"))
        assert [one["reason"] for one in checked["by"]] == ["free_text"]
        bench.text("who is this?", BERT, sid="SM2")
        (waiting,) = _json(say("suppression", "review", "list", "--json"))["reviews"]
        say("suppression", "review", "dismiss", str(waiting["id"]), *BY, "--note", "a question")
        assert "nobody waits" in say("suppression", "review", "list").stdout

    def test_verify_and_erase(self, say: Say, bench: Bench) -> None:
        """Erasure leaves everything matching; tampering is exit code 1, and named."""
        bench.stop(ANNA, sid="SM1")
        Sealer(db=bench.db).seal()
        erased = _json(say("suppression", "erase", "--number", NUMBER, *BY, "--json"))
        assert erased["evidence"] == 1
        assert "everything matches" in say("suppression", "verify").stdout
        head = _json(say("suppression", "verify", "--json"))["verdict"]["head"]
        assert say("suppression", "verify", "--expect", head).exit_code == 0
        bench.execute("DELETE FROM suppression")
        found = say("suppression", "verify")
        assert found.exit_code == 1
        assert "1 missing on the list" in found.stdout


class TestOperator:
    """Tenants and the platform-wide list."""

    def test_the_platforms_list_covers_every_tenant(self, say: Say, bench: Bench) -> None:
        """A platform-wide entry stops every tenant, and no tenant can lift it."""
        campaign = bench.campaign(ANNA)
        say("platform", "add", NUMBER, *BY, "--reason", "complaint")
        assert bench.guard_all(campaign) == {}
        left = _json(say("suppression", "lift", NUMBER, *BY, *LIFT, "--override", "--json"))
        assert left["by"][0]["tenant_id"] == PLATFORM
        assert "every tenant" in say("suppression", "check", NUMBER).stdout
        assert "nothing is on record" in say("suppression", "history", NUMBER).stdout
        say("platform", "lift", NUMBER, *BY, *LIFT, "--override")
        assert "may be texted" in say("suppression", "check", NUMBER).stdout

    def test_a_tenant_with_its_own_list(self, say: Say) -> None:
        """What one tenant suppresses is another's to text; a tenant there is not is refused."""
        say("tenants", "add", "acme", "--account-sid", OTHER_ACCOUNT, "--stop-scope", "sender")
        assert "acme" in say("tenants", "list").stdout
        say("suppression", "add", NUMBER, *BY, "--tenant", "acme")
        assert "may be texted" in say("suppression", "check", NUMBER).stdout
        assert "is suppressed" in say("suppression", "check", NUMBER, "--tenant", "acme").stdout
        with pytest.raises(NotFound, match="nobody"):
            say("suppression", "check", NUMBER, "--tenant", "nobody")

    def test_a_weight(self, say: Say) -> None:
        """A tenant's share of the fleet is set and listed; what is none is refused."""
        assert "weighs 2.5" in say("tenants", "weight", "default", "2.5").stdout
        listed = _json(say("tenants", "list", "--json"))
        assert [one["weight"] for one in listed["tenants"]] == [2.5]
        with pytest.raises(ConfigurationError, match="1 is ordinary"):
            say("tenants", "weight", "default", "0")

    def test_credentials_are_stored_unreadable(self, say: Say, bench: Bench) -> None:
        """Typed secrets are encrypted: the table shows nothing of them, nor does the output."""
        say("tenants", "add", "acme", "--account-sid", OTHER_ACCOUNT)
        stored = say("tenants", "credentials", "acme", answers="s3cret-token\n\n\n")
        assert stored.exit_code == 0
        assert "s3cret" not in stored.output
        encrypted = bytes(bench.value("SELECT encrypted FROM credential"))
        assert b"s3cret" not in encrypted
        assert "1 tenants" in say("tenants", "rotate-key").stdout
        assert bytes(bench.value("SELECT encrypted FROM credential")) != encrypted

    def test_where_texts_are_posted(self, say: Say, bench: Bench) -> None:
        """The secret is shown once and stored unreadable; what waits is shown, and dropped."""
        url = "https://tenant.example.com/texts"
        secret = say("tenants", "forward", "default", url).stdout.splitlines()[-1]
        assert secret.encode() not in bytes(bench.value("SELECT secret FROM forward_target"))
        assert secret not in say("tenants", "forward", "default", url).stdout
        bench.sender_id()
        bench.text("hello", sid="SM1")
        shown = say("tenants", "forward", "default").stdout
        assert url in shown
        assert secret not in shown
        found = _json(say("tenants", "forward", "default", "--json"))["forward"]
        assert (found["url"], found["waiting"], found["failures"]) == (url, 1, 0)
        assert "1 texts waited" in say("tenants", "forward", "default", "--off").stdout
        assert "nothing is posted" in say("tenants", "forward", "default").stdout

    def test_a_variable_that_is_not_set(self, say: Say) -> None:
        """Credentials that name a variable are checked at once, and the variable is named."""
        say("tenants", "add", "acme", "--account-sid", OTHER_ACCOUNT)
        with pytest.raises(ConfigurationError, match="ACME_TOKEN"):
            say(
                *("tenants", "credentials", "acme"),
                *("--from-environment", "auth_token=ACME_TOKEN"),
            )

    def test_pool_and_reply(self, say: Say, bench: Bench) -> None:
        """A number's service is recorded, and so is what a sender answers."""
        say("tenants", "pool", "default", "--number", SENDER, "--service", SERVICE)
        assert bench.value("SELECT count(*) FROM sender_scope") == 3
        wanted = ("--sender", SENDER, "--event", "help", "--text", "Acme: call us")
        assert "Acme" in say("tenants", "reply", "default", *wanted).stdout
        bench.second_tenant()
        with pytest.raises(NotFound, match=OTHER_SENDER.replace("+", r"\+")):
            say(
                *("tenants", "reply", "other", "--sender", OTHER_SENDER),
                *("--event", "stop", "--text", "x"),
            )


class TestRecover:
    """`sender recover`, as an operator meets it."""

    @pytest.fixture
    def recover(self, bench: Bench, redis_url: str) -> Say:
        """Runs it with these words, where Twilio is away."""
        settings = {
            "DATABASE_URL": bench.url,
            "REDIS_URL": redis_url,
            "TWILIO_ACCOUNT_SID": ACCOUNT,
            "TWILIO_AUTH_TOKEN": "token",
            "TWILIO_API_BASE_URL": "http://127.0.0.1:1",
            "PUBLIC_BASE_URL": "https://sms.example.com",
            "COLUMNS": "200",
        }

        def run(*words: str, state: str = "") -> Result:
            environment = {**settings, "SENDER_STATE_DIR": state}
            return CliRunner(env=environment).invoke(app, ["recover", *words])

        return run

    def test_nothing_to_recover(self, recover: Say) -> None:
        """A database that nothing speaks against is left alone."""
        result = recover()
        assert isinstance(result.exception, RecoveryRefused)

    def test_a_dry_run(self, recover: Say, bench: Bench) -> None:
        """It shows the lost time and what would be in doubt, and how to go on."""
        campaign = bench.campaign(ANNA, BERT)
        shown = recover("--since", "2026-11-24 10:00:00")
        assert shown.exit_code == 0
        assert "since 2026-11-24 09:55:00Z" in shown.stdout
        assert "2 messages would be in doubt" in shown.stdout
        assert '--yes --author … --since "2026-11-24 10:00:00"' in shown.stdout
        told = _json(recover("--since", "2026-11-24 10:00:00", "--json"))
        assert [one["id"] for one in told["campaigns"]] == [campaign]
        assert set(bench.states(campaign).values()) == {"pending"}

    def test_a_dry_run_writes_nothing(self, recover: Say, bench: Bench, tmp_path: Path) -> None:
        """Neither the account of the default tenant, nor a folder for marks."""
        bench.execute("UPDATE tenant SET account_sid = NULL")
        folder = tmp_path / "state"
        shown = recover("--since", "2026-11-24 10:00:00", state=str(folder))
        assert "would be read for: default" in shown.stdout
        assert bench.value("SELECT account_sid FROM tenant") is None
        assert not folder.exists()

    @pytest.mark.parametrize("author", [(), ("--author", " ")])
    def test_nobody_does_it(self, recover: Say, bench: Bench, author: tuple[str, ...]) -> None:
        """Without an author it is wrong usage, and nothing is touched."""
        campaign = bench.campaign(ANNA)
        result = recover("--since", "2026-11-24 10:00:00", "--yes", *author)
        assert result.exit_code == 2
        assert "--author" in result.output
        assert bench.row(campaign).state == "pending"

    def test_a_tenant_that_cannot_sign_in(self, recover: Say, bench: Bench) -> None:
        """What is left out is told, and is exit code 1; a dry run then names it alone."""
        bench.second_tenant()
        bench.execute("UPDATE tenant SET lost_since = now() - interval '1 day' WHERE id = 2")
        shown = recover()
        assert "would be read for: other." in shown.stdout
        assert "in doubt" not in shown.stdout
        result = recover("--yes", *BY)
        assert result.exit_code == 1
        assert "other stays held" in result.stdout
        assert "sender tenants credentials" in result.stdout
        told = recover("--yes", *BY, "--json")
        assert told.exit_code == 1
        assert set(json.loads(told.stdout)["left_out"]) == {"other"}

    def test_twilio_away(self, recover: Say, bench: Bench) -> None:
        """What cannot be brought to its end says so, and holds."""
        campaign = bench.campaign(ANNA)
        result = recover("--since", "2026-11-24 10:00:00", "--yes", *BY)
        assert isinstance(result.exception, RecoveryUnfinished)
        assert "stays held" in str(result.exception)
        assert bench.row(campaign).state == "in_doubt"
        assert bench.value("SELECT reason FROM hold WHERE released_at IS NULL") == "database_older"
