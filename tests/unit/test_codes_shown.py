"""``sender codes``, as somebody types it."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from sender.cli import app
from sender.cli.codes import AT_CREATE, IN_CALLBACK
from sender.domain.outcome import RefusalKind
from sender.domain.receipt import FailureCause
from sender.gateway.codes import TABLE, Answer

WIDTH = 100


def _say(*words: str) -> str:
    result = CliRunner(env={"COLUMNS": str(WIDTH)}).invoke(app, ["codes", *words])
    assert result.exit_code == 0, result.output
    return result.stdout


def _json(*words: str) -> Any:
    return json.loads(_say(*words, "--json"))


def test_every_code_is_shown_once() -> None:
    """The table for people has a line for each code, in order, and fits a terminal."""
    lines = _say().splitlines()
    first = [line.split()[0] for line in lines if line[:5].isdigit()]
    assert first == [str(code) for code in sorted(TABLE)]
    assert max(map(len, lines)) <= WIDTH
    assert "Any other code" in "".join(lines)


def test_programs_get_the_same() -> None:
    """The JSON names each code's answer at both doors, and where it was seen."""
    found = _json()["codes"]
    assert [one["code"] for one in found] == sorted(TABLE)
    assert all(one["at_create"] and one["in_callback"] and one["seen"] for one in found)


def test_one_code() -> None:
    """One code is shown by itself, with what it says of the number and where Twilio explains it."""
    shown = _say("21635")
    assert "180 days" in shown
    assert "/docs/api/errors/21635" in shown
    assert "14 days once 3 such failures" in _say("30003")
    assert _json("21610")["at_create"] == "opted_out"


def test_an_unknown_code() -> None:
    """A code that is not in the table is answered with the safe default."""
    assert "safe default" in _say("12345")
    assert _json("12345")["known"] is False


@pytest.mark.parametrize("answer", sorted(set(Answer) - set(RefusalKind)))
def test_every_answer_has_its_words(answer: Answer) -> None:
    """What does not simply fail the message is put into words."""
    assert AT_CREATE[answer]


def test_whoever_is_held_is_named() -> None:
    """A halting code says whom it holds, at both doors."""
    for words in (AT_CREATE[Answer.HALT], IN_CALLBACK[FailureCause.HALT]):
        assert "sender held" in words
    for words in (AT_CREATE[Answer.ACCOUNT], IN_CALLBACK[FailureCause.ACCOUNT]):
        assert "tenant held" in words
