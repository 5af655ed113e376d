"""Reactions that phones send as text: they quote our message, and our own "STOP" with it.

"Liked “Sale today. Reply STOP to opt out”" is no opt-out. iMessage and Google Messages write such
texts to whoever cannot show a reaction; the verbs are those of the phone's language. An emoji
stands alone before "to": 'I said to "STOP"' is a person's own words.
"""

import re

_QUOTES = "\"“”„«»‘’'‹›「」"

#: What begins a reaction, before the quotation.
_VERBS = re.compile(
    r"""\s*(?:
        liked | loved | laughed\ at | emphasi[sz]ed | disliked | questioned | reacted\ .{1,8}\ to
        | removed\ an?\ .{1,30}\ from
        | le\ (?:gustó|encantó|dio\ risa) | (?:no\ )?le\ gusta | (?:ha\ )?(?:enfatizado|destacado)
        | a\ (?:aimé|adoré|souligné|ri) | (?:n['’]a\ pas\ )?aimé
        | gefällt | hat\ .{1,20}\ (?:markiert|geliebt) | curtiu | adorou | riu\ de | ha\ messo
        | (?:me\ )?(?:encanta|gusta) | vond | reagierte\ mit\ .{1,8}\ auf
        | [^\w\s"“„«‘「]{1,12}\ (?:to|a|à|zu|para|auf|aan)
    )\s*[:]?\s*(?=["“„«‘「])""",
    re.VERBOSE | re.IGNORECASE,
)
_OF_A_PICTURE = re.compile(r"\s*(?:liked|loved|disliked|emphasi[sz]ed) an? (?:image|video|photo)")


def is_tapback(body: str) -> bool:
    """Whether a text is a reaction to one of ours: a verb, and then nothing but a quotation.

    Phones cut long quotations short, so the closing quote may be missing.
    """
    if _OF_A_PICTURE.match(body.lower()):
        return True
    found = _VERBS.match(body)
    if found is None:
        return False
    quoted = body[found.end() :].strip()
    closing = [quoted.find(quote, 1) for quote in '"”“»’」' if quoted.find(quote, 1) > 0]
    return not closing or max(quoted.rfind(quote) for quote in '"”“»’」') >= len(quoted) - 2
