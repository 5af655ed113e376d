"""What is answered in the TwiML: one text an event, and none where somebody else replies."""

import pytest

from sender.domain.consent import ReasonClass
from sender.domain.keywords import Keyword
from sender.domain.phone import SenderKind
from sender.domain.replies import Heard, ReplyEvent, answers_itself, reply

TEXTS = {
    ReplyEvent.STOP: "You will get no more texts.",
    ReplyEvent.START: "Welcome back.",
    ReplyEvent.HELP: "Acme: call 555-0100.",
}
NOT_SUPPRESSED = frozenset[ReasonClass]()
STOPPED = frozenset({ReasonClass.STOP})
HANDLED = (SenderKind.LONG_CODE, SenderKind.TOLL_FREE, SenderKind.MESSAGING_SERVICE)


def heard(keyword: Keyword, **facts: object) -> Heard:
    """A message to a short code, for which nobody replies, from somebody who may be texted."""
    plain: dict[str, object] = {
        "keyword": keyword,
        "kind": SenderKind.SHORT_CODE,
        "typed_by_provider": False,
        "provider_keyword": True,
        "before": NOT_SUPPRESSED,
    }
    return Heard(**plain | facts)  # type: ignore[arg-type]  # a test's own table


@pytest.mark.parametrize(
    ("keyword", "before", "answer"),
    [
        (Keyword.STOP, NOT_SUPPRESSED, TEXTS[ReplyEvent.STOP]),
        (Keyword.FREE_TEXT, NOT_SUPPRESSED, TEXTS[ReplyEvent.STOP]),
        (Keyword.HELP, NOT_SUPPRESSED, TEXTS[ReplyEvent.HELP]),
        (Keyword.START, STOPPED, TEXTS[ReplyEvent.START]),
        (Keyword.REVIEW, NOT_SUPPRESSED, ""),
        (Keyword.NONE, NOT_SUPPRESSED, ""),
    ],
)
def test_each_event_has_one_text(
    keyword: Keyword, before: frozenset[ReasonClass], answer: str
) -> None:
    """An opt-out, an opt-in and HELP are answered; a doubtful or ordinary message is not."""
    assert reply(heard(keyword, before=before), TEXTS) == answer


@pytest.mark.parametrize("keyword", list(Keyword))
def test_nothing_is_said_by_default(keyword: Keyword) -> None:
    """A sender without texts answers nothing, whatever comes."""
    assert reply(heard(keyword), {}) == ""


@pytest.mark.parametrize("keyword", [Keyword.STOP, Keyword.FREE_TEXT, Keyword.HELP])
@pytest.mark.parametrize("reason", list(ReasonClass))
def test_who_is_suppressed_hears_nothing_more(keyword: Keyword, reason: ReasonClass) -> None:
    """A second STOP, or a HELP after it, is not answered: it would be a text after a STOP."""
    assert reply(heard(keyword, before=frozenset({reason})), TEXTS) == ""


@pytest.mark.parametrize(
    ("before", "welcomed"),
    [
        (NOT_SUPPRESSED, False),
        ({ReasonClass.STOP}, True),
        ({ReasonClass.FREE_TEXT, ReasonClass.PROVIDER_BLOCK}, True),
        ({ReasonClass.STOP, ReasonClass.COMPLAINT}, False),
        ({ReasonClass.STOP, ReasonClass.REVIEW}, False),
        ({ReasonClass.IMPORT}, False),
    ],
)
def test_only_a_start_that_lifts_everything_is_welcomed(
    before: set[ReasonClass], *, welcomed: bool
) -> None:
    """Who was not opted out, or stays suppressed for another reason, is not told otherwise."""
    said = reply(heard(Keyword.START, before=frozenset(before)), TEXTS)
    assert bool(said) is welcomed


@pytest.mark.parametrize("kind", HANDLED)
def test_twilio_and_the_network_answer_their_own_keywords(kind: SenderKind) -> None:
    """On numbers and services a keyword of Twilio's is answered by Twilio or the network."""
    assert answers_itself(heard(Keyword.STOP, kind=kind))
    assert reply(heard(Keyword.STOP, kind=kind), TEXTS) == ""


@pytest.mark.parametrize("kind", [*HANDLED, SenderKind.SHORT_CODE])
def test_words_that_twilio_does_not_know_are_ours_to_confirm(kind: SenderKind) -> None:
    """An opt-out in other words is confirmed by nobody else."""
    said = reply(heard(Keyword.FREE_TEXT, kind=kind, provider_keyword=False), TEXTS)
    assert said == TEXTS[ReplyEvent.STOP]


@pytest.mark.parametrize("kind", [*SenderKind, None])
def test_with_advanced_opt_out_twilio_replies(kind: SenderKind | None) -> None:
    """Where Twilio names the type, it has replied, on a short code too."""
    assert reply(heard(Keyword.STOP, kind=kind, typed_by_provider=True), TEXTS) == ""
