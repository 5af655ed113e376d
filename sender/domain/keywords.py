"""What an inbound message asks for: to stop, to start, for help, or nothing of these.

In this order: Twilio's own ``OptOutType``; reactions, which quote our words and are nobody's
opt-out; the keywords of Twilio and the FCC as whole messages; whole messages that mean the same in
other languages; and a person's own words (`sender.domain.revocation`). Spelling is read generously
(case, punctuation, emoji, accents, full-width letters), because Twilio may or may not count
``Stop.``, and a person who wrote it meant it.

A keyword that Twilio or the FCC names is ``STOP``. Everything else that is clear is ``FREE_TEXT``:
it has the same force with us, but Twilio has blocked nobody for it. So "stop please" and "ARRET"
are ``FREE_TEXT`` and "S.T.O.P" and "stop stop" are ``STOP``: the first is a sentence or another
word, the second the keyword, oddly spelled.
"""

from enum import StrEnum

from sender.domain import keyword_lists as lists
from sender.domain.clarity import Clarity
from sender.domain.revocation import clarity
from sender.domain.tapbacks import is_tapback
from sender.domain.wording import accented, plain


class Keyword(StrEnum):
    """What a whole inbound message says."""

    STOP = "STOP"
    #: A clear opt-out in the person's own words.
    FREE_TEXT = "FREE_TEXT"
    #: May be an opt-out: a person has to read it.
    REVIEW = "REVIEW"
    START = "START"
    #: An opt-in only from a person who is opted out; otherwise an answer to some question.
    YES = "YES"
    HELP = "HELP"
    NONE = "NONE"


_OPT_OUT_TYPES = {
    "stop": Keyword.STOP,
    "start": Keyword.START,
    "help": Keyword.HELP,
}

#: The lists' words in the spelling that is compared, the surest meaning last: it wins.
_WHOLE = {
    **dict.fromkeys(map(plain, lists.DOUBTFUL), Keyword.REVIEW),
    **{plain(word): Keyword.FREE_TEXT for words in lists.OPT_OUTS.values() for word in words},
    **dict.fromkeys(map(plain, lists.YES), Keyword.YES),
    **dict.fromkeys(map(plain, lists.HELP), Keyword.HELP),
    **dict.fromkeys(map(plain, lists.START), Keyword.START),
    **dict.fromkeys(map(plain, lists.STOP), Keyword.STOP),
}

#: Words that an accent makes or unmakes.
_ACCENTED = {
    **dict.fromkeys(lists.DOUBTFUL_UNACCENTED, Keyword.REVIEW),
    **dict.fromkeys(lists.ACCENTED, Keyword.FREE_TEXT),
}

#: Twilio's default keywords: the FCC's "opt out" in two words is not among them.
_PROVIDERS = frozenset((*lists.STOP, *lists.START, *lists.HELP, *lists.YES)) - {"opt out"}

#: Twilio's longest message; what is longer was not typed by a person.
_LONGEST = 1_600


def classify(body: str, opt_out_type: str | None = None) -> Keyword:
    """Tell what an inbound message asks for.

    Args:
        body: The text as received.
        opt_out_type: Twilio's ``OptOutType``, present under Advanced Opt-Out. It decides, because
            it knows the service's own keywords and languages; absent or unknown, the body does.

    Returns:
        The keyword; ``NONE`` for conversation.
    """
    by_twilio = _OPT_OUT_TYPES.get((opt_out_type or "").strip().casefold())
    if by_twilio:
        return by_twilio
    if is_tapback(body):
        return Keyword.NONE
    typed = body[:_LONGEST]
    return _whole(plain(typed)) or _ACCENTED.get(accented(typed)) or _own_words(typed)


def _whole(words: str) -> Keyword | None:
    """The keyword that the whole message is: also letters set apart, or the word repeated."""
    if found := _WHOLE.get(words):
        return found
    parts = words.split()
    if len(parts) > 1 and all(len(one) == 1 for one in parts):
        return _WHOLE.get("".join(parts))
    return _WHOLE.get(parts[0]) if len(set(parts)) == 1 else None


def _own_words(body: str) -> Keyword:
    match clarity(body):
        case Clarity.CLEAR:
            return Keyword.FREE_TEXT
        case Clarity.DOUBTFUL:
            return Keyword.REVIEW
        case Clarity.NONE:
            return Keyword.NONE


def is_provider_keyword(body: str) -> bool:
    """Whether Twilio takes exactly this body for one of its default keywords, and so replies."""
    return body.strip().casefold() in _PROVIDERS
