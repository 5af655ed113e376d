"""The simulator's pure parts: keywords, overrides, segments, chance, and what it may import."""

import ast
import json
from pathlib import Path

import pytest

import sender.simulator
from sender.simulator import SimulatorConfig
from sender.simulator.account import Account
from sender.simulator.chance import Chance
from sender.simulator.log import RequestLog
from sender.simulator.optouts import BlockTable, Keyword, classify
from sender.simulator.overrides import Failure, Overrides
from sender.simulator.segments import count_segments

STOPS = ["STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"]


@pytest.mark.parametrize(
    ("words", "keyword"),
    [
        (STOPS, Keyword.STOP),
        (["START", "YES", "UNSTOP"], Keyword.START),
        (["HELP", "INFO"], Keyword.HELP),
    ],
)
def test_keywords_match_in_any_case(words: list[str], keyword: Keyword) -> None:
    """Each default keyword counts, whatever its case."""
    spellings = [spelled for word in words for spelled in (word, word.lower(), word.title())]
    assert {classify(spelled) for spelled in spellings} == {keyword}


@pytest.mark.parametrize(
    "body", ["Stop please", "STOP ", "stop.", "OPT OUT", "ARRET", "", "stop\n"]
)
def test_only_the_whole_body_is_a_keyword(body: str) -> None:
    """Anything around a keyword makes it an ordinary text; the two-word opt-out is none."""
    assert classify(body) is None


def test_a_reply_is_due_when_the_state_changes_or_help_is_asked() -> None:
    """A repeated STOP and a START by somebody opted in change nothing and get no reply."""
    blocks = BlockTable()
    texts = [Keyword.START, Keyword.STOP, Keyword.STOP, Keyword.HELP, Keyword.START]
    replies = [blocks.apply("MG1", "+15551230001", keyword) for keyword in texts]
    assert replies == [False, True, False, True, True]
    assert len(blocks) == 0


def test_a_block_belongs_to_a_service_or_else_a_number() -> None:
    """A pooled number's scope is its service."""
    account = Account(SimulatorConfig(services={"MG1": ("+15557770001",)}))
    assert account.scope_of("+15557770001") == "MG1"
    assert account.scope_of("MG1") == "MG1"
    assert account.scope_of("+15557770000") == "+15557770000"


def test_overrides_default_to_one_retry_of_connection_failures() -> None:
    """Without a fragment Twilio retries once, and not on errors or slow answers."""
    overrides = Overrides.from_fragment("")
    assert overrides.retries == 1
    assert overrides.retries_after(Failure.CONNECT)
    assert not overrides.retries_after(Failure.SERVER_ERROR)


def test_overrides_out_of_range_keep_their_defaults() -> None:
    """Values Twilio would not accept change nothing."""
    assert Overrides.from_fragment("rc=6&tt=15001&ct=x&rt=99&unknown=1") == Overrides()


@pytest.mark.parametrize(
    ("body", "segments"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("я" * 70, 1),
        ("я" * 71, 2),
    ],
)
def test_segments_follow_twilios_figures(body: str, segments: int) -> None:
    """GSM-7 holds 160 or 153 a segment, its extension counts twice, UCS-2 holds 70 or 67."""
    assert count_segments(body) == segments


def test_chance_depends_on_seed_subject_and_turn_only() -> None:
    """Two draws for one subject differ; the order among subjects does not matter."""
    one, two = Chance(7), Chance(7)
    first = [one.draw("fault", "a"), one.draw("fault", "b"), one.draw("fault", "a")]
    second = [two.draw("fault", "b"), two.draw("fault", "a"), two.draw("fault", "a")]
    assert first == [second[1], second[0], second[2]]
    assert len(set(first)) == 3


def test_chance_keeps_the_rates() -> None:
    """Exclusive events happen as often as their rates say, within a few per mille."""
    chance, rates = Chance(1), {"x": 0.1, "y": 0.3}
    chosen = [chance.choose(rates, "fault", str(number)) for number in range(20_000)]
    assert chosen.count("x") / 20_000 == pytest.approx(0.1, abs=0.01)
    assert chosen.count("y") / 20_000 == pytest.approx(0.3, abs=0.01)


def test_the_log_keeps_the_newest_entries() -> None:
    """Memory is bounded: the oldest entries go, and seq still counts from the first."""
    log = RequestLog(keep=100)
    for _ in range(200):
        log.open("create")
    kept = log.after(0, limit=1000)
    assert 100 <= len(kept) <= 110
    assert (kept[-1]["seq"], log.last_seq) == (200, 200)
    assert [entry["seq"] for entry in log.after(198, limit=10)] == [199, 200]
    log.clear()
    assert log.open("create")["seq"] == 201


async def test_the_log_file_has_a_line_per_change(tmp_path: Path) -> None:
    """An entry that changed after it was written is written again, and the last line counts."""
    log = RequestLog(path=tmp_path / "log")
    entry = log.open("create", answered_at=None)
    log.flush()
    entry["answered_at"] = 2.5
    log.touch(entry)
    log.flush()
    log.flush()
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["answered_at"] for line in lines] == [None, 2.5]


def test_the_simulator_is_the_other_side() -> None:
    """No module of the simulator imports anything else of this project."""
    folder = Path(sender.simulator.__file__).parent
    imported = {
        name
        for path in folder.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in _modules(node)
    }
    ours = {name for name in imported if name.split(".")[0] in ("sender", "workers")}
    assert all(name.startswith("sender.simulator") for name in ours)
    assert ours


def _modules(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []
