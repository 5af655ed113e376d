"""Segments, against Twilio's figures and an independent count."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sender.domain.segments import Encoding, Segments, count

GSM, UCS = Encoding.GSM_7, Encoding.UCS_2
#: 3GPP TS 23.038, table 6.2.1.1 and its extension, as code points.
GSM_BASIC = {
    *range(0x20, 0x24), 0xA4, *range(0x25, 0x40), 0xA1, *range(0x41, 0x5B), *range(0x61, 0x7B),
    0x40, 0xA3, 0x24, 0xA5, 0xE8, 0xE9, 0xF9, 0xEC, 0xF2, 0xC7, 0x0A, 0xD8, 0xF8, 0x0D, 0xC5, 0xE5,
    0x394, 0x5F, 0x3A6, 0x393, 0x39B, 0x3A9, 0x3A0, 0x3A8, 0x3A3, 0x398, 0x39E, 0xC6, 0xE6, 0xDF,
    0xC9, 0xC4, 0xD6, 0xD1, 0xDC, 0xA7, 0xBF, 0xE4, 0xF6, 0xF1, 0xFC, 0xE0,
}  # fmt: skip
GSM_ESCAPED = {0x0C, 0x5E, 0x7B, 0x7D, 0x5C, 0x5B, 0x7E, 0x5D, 0x7C, 0x20AC}


def reference(body: str) -> Segments:
    """Cut the units into parts one by one, moving a pair that would be cut to the next part."""
    points = [ord(character) for character in body]
    gsm = all(point in GSM_BASIC | GSM_ESCAPED for point in points)
    pairs = GSM_ESCAPED if gsm else {point for point in points if point > 0xFFFF}
    widths = [2 if point in pairs else 1 for point in points]
    single, part = (160, 153) if gsm else (70, 67)
    parts: list[int] = []
    for width in widths:
        if not parts or parts[-1] + width > part:
            parts.append(0)
        parts[-1] += width
    units = sum(widths)
    segments = len(parts) if units > single else min(units, 1)
    return Segments(encoding=GSM if gsm else UCS, units=units, segments=segments)


@pytest.mark.parametrize(
    ("body", "encoding", "units", "segments"),
    [
        ("", GSM, 0, 0),
        ("a" * 160, GSM, 160, 1),
        ("a" * 161, GSM, 161, 2),
        ("a" * 306, GSM, 306, 2),
        ("a" * 307, GSM, 307, 3),
        ("€" * 80, GSM, 160, 1),
        ("a" * 152 + "€" + "a" * 151, GSM, 305, 2),
        ("a" * 152 + "€" + "a" * 152, GSM, 306, 3),
        ("\r\n", GSM, 2, 1),
        ("\N{RIGHT SINGLE QUOTATION MARK}" + "a" * 69, UCS, 70, 1),
        ("`" + "a" * 70, UCS, 71, 2),
        ("👍" * 35, UCS, 70, 1),
        ("👍" * 67, UCS, 134, 3),
        ("ñ" * 160, GSM, 160, 1),
        ("ç", UCS, 1, 1),
    ],
)
def test_figures(body: str, encoding: Encoding, units: int, segments: int) -> None:
    """Limits are 160/153 and 70/67, escapes cost two and a pair is never cut."""
    assert count(body) == Segments(encoding=encoding, units=units, segments=segments)


_ALPHABETS = ("ab€^", "aé{\n", "a👍é", "a\N{EM DASH}")


@given(
    st.one_of(
        st.text(max_size=400),
        *(st.text(alphabet=alphabet, min_size=60, max_size=400) for alphabet in _ALPHABETS),
    )
)
def test_counts_like_the_reference(body: str) -> None:
    """Any body costs what cutting it unit by unit gives."""
    assert count(body) == reference(body)
