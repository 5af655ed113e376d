"""How many segments a body costs: what carriers bill and what throughput is counted in.

A segment carries 140 octets: 160 septets of GSM-7 or 70 code units of UCS-2 (UTF-16). A body
that needs more is split, and each part spends 6 octets on a header, which leaves 153 or 67.
Sources: 3GPP TS 23.038 (alphabet), TS 23.040 (parts); Twilio's SmartEncoding is not assumed.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

#: Twilio refuses longer bodies with 21617. Characters, not segments.
#: https://www.twilio.com/docs/api/errors/21617
MAX_CHARACTERS = 1600

_GSM_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
#: Reached through an escape, so each takes two septets.
_GSM_EXTENSION = "\f^{}\\[~]|€"

_GSM_BODY = re.compile(f"[{re.escape(_GSM_BASIC + _GSM_EXTENSION)}]*")


class Encoding(StrEnum):
    """The alphabet the whole body travels in; one foreign character decides for all."""

    GSM_7 = "GSM-7"
    UCS_2 = "UCS-2"


@dataclass(frozen=True, kw_only=True, slots=True)
class Segments:
    """What one body costs."""

    encoding: Encoding
    #: Septets (GSM-7) or 16-bit code units (UCS-2), headers not counted.
    units: int
    #: Parts the carrier bills; 0 for an empty body, which cannot be sent.
    segments: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Alphabet:
    encoding: Encoding
    #: Units in a body of one segment, and in each part of a split one.
    single: int
    part: int
    #: Characters that take two units, which always travel in the same part.
    wide: re.Pattern[str]


_GSM_7 = _Alphabet(
    encoding=Encoding.GSM_7,
    single=160,
    part=153,
    wide=re.compile(f"[{re.escape(_GSM_EXTENSION)}]"),
)
_UCS_2 = _Alphabet(
    encoding=Encoding.UCS_2,
    single=70,
    part=67,
    wide=re.compile("[\U00010000-\U0010ffff]"),  # a surrogate pair in UTF-16
)


def count(body: str) -> Segments:
    """Count the segments of a rendered body, opt-out footer included.

    Joined emoji may be split over two parts, here: a phone network that keeps them whole needs
    at most a part more.
    """
    alphabet = _GSM_7 if _GSM_BODY.fullmatch(body) else _UCS_2
    units = len(body) + len(alphabet.wide.findall(body))
    segments = _parts(body, alphabet) if units > alphabet.single else min(units, 1)
    return Segments(encoding=alphabet.encoding, units=units, segments=segments)


def _parts(body: str, alphabet: _Alphabet) -> int:
    parts, room = 1, alphabet.part
    for character in body:
        width = 2 if alphabet.wide.match(character) else 1
        if width > room:
            parts, room = parts + 1, alphabet.part
        room -= width
    return parts
