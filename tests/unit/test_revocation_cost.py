"""What reading a text may cost: never more than its length, whatever somebody sends."""

import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sender.domain import (
    english_revocation,
    foreign_revocation,
    keywords,
    revocation,
    tapbacks,
    wording,
)
from sender.domain.keywords import Keyword, classify
from sender.domain.wording import plain

_MODULES = (english_revocation, foreign_revocation, keywords, revocation, tapbacks, wording)
#: Repetitions up to this count as bounded: they multiply the cost by a constant.
_BOUND = 50
_REPEATS = {re._constants.MAX_REPEAT, re._constants.MIN_REPEAT}


def _patterns(module: ModuleType) -> list[re.Pattern[str]]:
    return [value for value in vars(module).values() if isinstance(value, re.Pattern)]


def _repeats(parsed: Any, depth: int = 0) -> Iterator[int]:
    """How deep each unbounded repetition stands in other unbounded ones."""
    for operator, argument in parsed:
        if operator in _REPEATS:
            _low, high, inner = argument
            here = depth + (high > _BOUND)
            yield here
            yield from _repeats(inner, here)
        else:
            for inner in _parts(argument):
                yield from _repeats(inner, depth)


def _parts(argument: Any) -> Iterator[Any]:
    """The patterns inside an operator's argument."""
    if isinstance(argument, re._parser.SubPattern):
        yield argument
    elif isinstance(argument, tuple | list):
        for one in argument:
            yield from _parts(one)


def _nested(pattern: str) -> int:
    return max(_repeats(re._parser.parse(pattern)), default=0)


@pytest.mark.parametrize("module", _MODULES, ids=lambda module: module.__name__)
def test_no_unbounded_repetition_in_another(module: ModuleType) -> None:
    """No pattern can backtrack catastrophically: that takes a repetition within a repetition."""
    for pattern in _patterns(module):
        assert _nested(pattern.pattern) <= 1, pattern.pattern


def test_the_test_sees_nesting() -> None:
    """The rule above is broken by the textbook case, and patterns are really found."""
    assert _nested(r"(?:a+b?)*c") == 2
    assert sum(len(_patterns(module)) for module in _MODULES) >= 20


@pytest.mark.parametrize(
    "unit", ["a", "a ", "stop ", "do not ", "stop the ", "take me ", '"', "to “", "不要再给", "ﷺ"]
)
def test_only_so_much_of_a_text_is_read(unit: str) -> None:
    """Beyond Twilio's longest message nothing is read, however the letters unfold."""
    longest = (unit * 1_600)[:1_600]
    assert classify(longest + "x" * 100_000) is classify(longest)
    assert len(plain(longest)) <= 2 * len(longest) + 20


@given(st.text(max_size=3_000), st.none() | st.text(max_size=10))
def test_total(body: str, opt_out_type: str | None) -> None:
    """Every body and every type have a meaning, the same each time."""
    assert isinstance(classify(body, opt_out_type), Keyword)
    assert classify(body, opt_out_type) is classify(body, opt_out_type)


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_ascii_reads_like_any_text(text: str) -> None:
    """The short way for ASCII gives what the long way gives."""
    assert plain(text) == plain(text + "\N{ZERO WIDTH SPACE}")
