"""How many segments a text is billed as, by Twilio's published figures."""

from functools import lru_cache

_GSM_7 = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_7_EXTENSION = frozenset("^{}\\[~]|€\f")


@lru_cache(maxsize=1024)
def count_segments(body: str) -> int:
    """GSM-7 in 160 (153 when joined), else UCS-2 in 70 (67); at least 1.

    An escape pair that would straddle two segments is not moved, so the figure can be one too
    low for such texts.
    """
    characters = set(body)
    if characters <= _GSM_7 | _GSM_7_EXTENSION:
        units = len(body) + sum(body.count(mark) for mark in characters & _GSM_7_EXTENSION)
        return _divided(units, single=160, joined=153)
    return _divided(len(body.encode("utf-16-le")) // 2, single=70, joined=67)


def _divided(units: int, *, single: int, joined: int) -> int:
    return 1 if units <= single else -(-units // joined)
