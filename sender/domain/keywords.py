"""STOP, START and HELP in an inbound message.

Only a whole body is a keyword: "I'll stop by" and "STOP 12345" are conversation. Spelling is
read generously (case, punctuation, emoji, full-width letters), because Twilio may or may not
count ``Stop.`` and a person who wrote it meant it.
"""

import unicodedata
from enum import StrEnum


class Keyword(StrEnum):
    """What a whole inbound message says."""

    STOP = "STOP"
    START = "START"
    #: An opt-in only from a person who is opted out; otherwise an answer to some question.
    YES = "YES"
    HELP = "HELP"
    #: A clear opt-out in the person's own words.
    FREE_TEXT = "FREE_TEXT"
    #: May be an opt-out: a person has to read it.
    REVIEW = "REVIEW"
    NONE = "NONE"


# Twilio's eight opt-out words and the list of the FCC, 47 CFR 64.1200(a)(10), in force since
# 2025-04-11, which adds the two-word "opt out" that Twilio does not know.
# https://www.twilio.com/docs/messaging/tutorials/advanced-opt-out
_STOP = ("stop", "stopall", "unsubscribe", "cancel", "end", "quit", "revoke", "optout", "opt out")

_KEYWORDS: dict[str, Keyword] = {
    **dict.fromkeys(_STOP, Keyword.STOP),
    **dict.fromkeys(("start", "unstop"), Keyword.START),
    **dict.fromkeys(("help", "info"), Keyword.HELP),
    "yes": Keyword.YES,
}

_OPT_OUT_TYPES = {
    "stop": Keyword.STOP,
    "start": Keyword.START,
    "help": Keyword.HELP,
}


def classify(body: str, opt_out_type: str | None = None) -> Keyword:
    """Tell which keyword an inbound message is.

    Args:
        body: The text as received.
        opt_out_type: Twilio's ``OptOutType``, present under Advanced Opt-Out. It decides, because
            it knows the service's own keywords and languages; absent or unknown, the body does.

    Returns:
        The keyword; ``NONE`` for every other text.
    """
    by_twilio = _OPT_OUT_TYPES.get((opt_out_type or "").strip().casefold())
    return by_twilio or _KEYWORDS.get(_plain(body), Keyword.NONE)


def is_provider_keyword(body: str) -> bool:
    """Whether Twilio takes exactly this body for one of its default keywords, and so replies."""
    return body.strip().casefold() in _KEYWORDS.keys() - {"opt out"}


def _plain(body: str) -> str:
    """Letters and digits, folded, with single spaces where anything else stood."""
    folded = unicodedata.normalize("NFKC", body).casefold()
    return " ".join("".join(map(_letter_or_gap, folded)).split())


def _letter_or_gap(character: str) -> str:
    if character.isalnum():
        return character
    # Invisible characters (joiners, soft hyphens, direction marks) stand inside words.
    return "" if unicodedata.category(character) == "Cf" else " "
