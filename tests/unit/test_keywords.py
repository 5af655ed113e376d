"""Keywords are whole messages, read generously."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sender.domain import keyword_lists as lists
from sender.domain.keywords import Keyword, classify, is_provider_keyword

STOPS = ["STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"]


@pytest.mark.parametrize("body", [*STOPS, "opt out", "OPT-OUT", "Opt  Out."])
def test_all_opt_out_words(body: str) -> None:
    """Twilio's eight words and the FCC's two-word one are STOP."""
    assert classify(body, None) is Keyword.STOP


@pytest.mark.parametrize(
    ("body", "keyword"),
    [
        (" sToP! ", Keyword.STOP),
        ("Stop.", Keyword.STOP),
        ("\N{LEFT DOUBLE QUOTATION MARK}STOP\N{RIGHT DOUBLE QUOTATION MARK}", Keyword.STOP),
        ("🛑 stop 🙏🏽", Keyword.STOP),
        ("ＳＴＯＰ", Keyword.STOP),  # noqa: RUF001 - full-width letters are the case
        ("st\N{SOFT HYPHEN}op\N{ZERO WIDTH SPACE}", Keyword.STOP),
        ("stop\r\n", Keyword.STOP),
        ("start", Keyword.START),
        ("UNSTOP", Keyword.START),
        ("Yes!", Keyword.YES),
        ("help?", Keyword.HELP),
        ("INFO", Keyword.HELP),
        ("STOP 12345", Keyword.NONE),
        ("I'll stop by", Keyword.NONE),
        ("Stop please", Keyword.FREE_TEXT),
        ("S.T.O.P", Keyword.STOP),
        ("s t o p", Keyword.STOP),
        ("STOP STOP STOP", Keyword.STOP),
        ("STOPPPP!!", Keyword.FREE_TEXT),
        ("STOP ALL", Keyword.FREE_TEXT),
        ("stop now", Keyword.FREE_TEXT),
        ("ARRÊT", Keyword.FREE_TEXT),
        ("退订", Keyword.FREE_TEXT),
        ("रोकें", Keyword.FREE_TEXT),
        ("Dừng", Keyword.FREE_TEXT),
        ("İPTAL", Keyword.FREE_TEXT),
        ("don't stop", Keyword.NONE),
        ("Reply STOP to opt out", Keyword.NONE),
        ("stops", Keyword.NONE),
        ("yes please", Keyword.NONE),
        ("", Keyword.NONE),
        ("👍", Keyword.NONE),
    ],
)
def test_whole_bodies_only(body: str, keyword: Keyword) -> None:
    """A keyword is the whole message, whatever its case, punctuation and emoji."""
    assert classify(body, None) is keyword


@pytest.mark.parametrize(
    ("body", "opt_out_type", "keyword"),
    [
        ("ARRET", "STOP", Keyword.STOP),
        ("stop", "START", Keyword.START),
        ("yes", "START", Keyword.START),
        ("anything", "help", Keyword.HELP),
        ("stop", "", Keyword.STOP),
        ("stop", "SOMETHING NEW", Keyword.STOP),
        ("hello", None, Keyword.NONE),
    ],
)
def test_twilios_type_decides(body: str, opt_out_type: str | None, keyword: Keyword) -> None:
    """`OptOutType` comes before the body; an absent or unknown one leaves it to the body."""
    assert classify(body, opt_out_type) is keyword


@given(
    st.sampled_from(STOPS), st.text(alphabet=" .,!?'\"*_-\n🛑👋"), st.text(alphabet=" .!~()…\t❤")
)
def test_decoration_never_hides_a_stop(word: str, before: str, after: str) -> None:
    """No punctuation, emoji or blank around the word keeps it from being a STOP."""
    assert classify(before + word.title() + after, None) is Keyword.STOP


@given(st.text(), st.sampled_from(STOPS))
def test_a_word_among_others_is_no_keyword(text: str, word: str) -> None:
    """Letters beside the word make it a sentence: never a keyword, at most a person's own words."""
    assert classify(f"x{text} {word} 1", None) is not Keyword.STOP


@given(st.text())
def test_every_text_has_a_meaning(text: str) -> None:
    """Whatever is typed is classified, and the same way every time."""
    assert classify(text, None) is classify(text, None)


@pytest.mark.parametrize(
    ("body", "keyword"),
    [
        ("Dừng", Keyword.FREE_TEXT),
        ("Dung", Keyword.REVIEW),
        ("Đúng", Keyword.NONE),  # "correct"
        ("Huy", Keyword.REVIEW),  # a name
        ("acha", Keyword.REVIEW),  # Swahili "stop", Hindi "ok"
        ("Alto", Keyword.REVIEW),
        ("取消", Keyword.REVIEW),  # also of an appointment
        ("fine", Keyword.NONE),
    ],
)
def test_words_of_two_meanings(body: str, keyword: Keyword) -> None:
    """What is another word in another language, or without its accent, is never clear."""
    assert classify(body) is keyword


def test_lists_do_not_contradict_each_other() -> None:
    """No word is both a clear opt-out and a doubtful one, and every source belongs to a list."""
    clear = {word for words in lists.OPT_OUTS.values() for word in words}
    assert not clear & {*lists.DOUBTFUL, *lists.DOUBTFUL_UNACCENTED, *lists.STOP}
    assert lists.SOURCES.keys() <= lists.OPT_OUTS.keys()


@pytest.mark.parametrize("words", lists.OPT_OUTS.values(), ids=lists.OPT_OUTS.keys())
def test_other_languages(words: tuple[str, ...]) -> None:
    """Each language's words opt out as they stand in the list, shouted and decorated."""
    for word in words:
        assert {classify(word), classify(f"{word.upper()}!")} <= {
            Keyword.STOP,
            Keyword.FREE_TEXT,
        }, word


@pytest.mark.parametrize(
    ("body", "known"),
    [
        ("STOP", True),
        (" stop\n", True),
        ("Yes", True),
        ("info", True),
        ("stop.", False),
        ("opt out", False),
        ("PARAR", False),
        ("stop texting me", False),
    ],
)
def test_twilio_replies_to_its_own_words_only(body: str, *, known: bool) -> None:
    """What Twilio documents as its keyword, and nothing that it may not take for one."""
    assert is_provider_keyword(body) is known
