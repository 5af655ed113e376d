"""One value for every spelling of a mobile, and a named reason for everything else."""

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import NumberParseException, PhoneNumberFormat, PhoneNumberType

from sender.domain import numbering
from sender.domain.phone import (
    InvalidNumber,
    InvalidReason,
    PhoneNumber,
    SenderKind,
    canonical,
    digits,
    sender_kind,
)

REGIONS = sorted(
    region
    for region in phonenumbers.SUPPORTED_REGIONS
    if phonenumbers.example_number_for_type(region, PhoneNumberType.MOBILE)
)
LINE_TYPES = [
    value for name, value in vars(PhoneNumberType).items() if name.isupper() and value < 99
]


def read(text: str, region: str | None = None) -> int | InvalidReason:
    """The digits, or the reason why there are none."""
    match canonical(text, region=region):
        case PhoneNumber(digits=number):
            return number
        case InvalidNumber(reason=reason):
            return reason


@pytest.mark.parametrize(
    ("text", "region", "expected"),
    [
        ("+447400123456", None, 447400123456),
        ("07400 123456", "GB", 447400123456),
        ("07400 123456", "gb", 447400123456),
        ("+44 (0)7400-123.456", None, 447400123456),
        ("0044 7400 123456", None, 447400123456),
        ("0044 7400 123456", "US", 447400123456),
        ("447400123456", "GB", 447400123456),
        ("447400123456.0", "GB", 447400123456),
        ("'+447400123456", None, 447400123456),
        ('="07400123456"', "GB", 447400123456),
        ("tel:+44-7400-123456", None, 447400123456),
        (
            "\N{LEFT-TO-RIGHT EMBEDDING}+44 7400 123456\N{POP DIRECTIONAL FORMATTING}",
            None,
            447400123456,
        ),
        ("+44\N{NO-BREAK SPACE}7400\t123456\0", None, 447400123456),
        ("\N{FULLWIDTH PLUS SIGN}44 7400 123456", None, 447400123456),
        ("٠٧٤٠٠١٢٣٤٥٦", "GB", 447400123456),
        ("(201) 555-0123", "US", 12015550123),
        ("1-201-555-0123", "CA", 12015550123),
        ("8 (912) 345-67-89", "RU", 79123456789),
        ("312 345 6789", "IT", 393123456789),
        ("01 23 45 67 89", "CI", 2250123456789),
        ("+15005550006", None, 15005550006),
    ],
)
def test_spellings_of_a_mobile_are_read(text: str, region: str | None, expected: int) -> None:
    """A number is read however a person or a spreadsheet wrote it."""
    assert read(text, region) == expected


@pytest.mark.parametrize(
    ("text", "region", "expected"),
    [
        ("+5215512345678", None, 525512345678),
        ("+525512345678", None, 525512345678),
        ("1 55 1234 5678", "MX", 525512345678),
        ("044 55 1234 5678", "MX", 525512345678),
        ("045 55 1234 5678", "MX", 525512345678),
        ("01 55 1234 5678", "MX", 525512345678),
        ("+54 9 11 2345 6789", None, 5491123456789),
        ("+54 11 2345 6789", None, 5491123456789),
        ("+54 11 15 2345-6789", None, 5491123456789),
        ("011 15-2345-6789", "AR", 5491123456789),
        ("11 2345 6789", "AR", 5491123456789),
        ("+55 11 96123-4567", None, 5511961234567),
        ("+55 11 6123-4567", None, 5511961234567),
        ("(11) 6123-4567", "BR", 5511961234567),
        ("0 15 11 96123 4567", "BR", 5511961234567),
        ("+55 11 7123-4567", None, 5511971234567),
        ("+55 11 7812-3456", None, 551178123456),
    ],
)
def test_migrated_spellings_meet(text: str, region: str | None, expected: int) -> None:
    """Both spellings that a country's migration left in use are one recipient."""
    assert read(text, region) == expected


@pytest.mark.parametrize(
    ("text", "region", "reason"),
    [
        ("", "GB", InvalidReason.EMPTY),
        (" \t\0", "GB", InvalidReason.EMPTY),
        ("'", "GB", InvalidReason.EMPTY),
        ("n/a", "GB", InvalidReason.NOT_A_NUMBER),
        ("-", "GB", InvalidReason.NOT_A_NUMBER),
        ("4.47E+11", "GB", InvalidReason.NOT_A_NUMBER),
        ("1-800-FLOWERS", "US", InvalidReason.NOT_A_NUMBER),
        ("07400 123456 (work)", "GB", InvalidReason.NOT_A_NUMBER),
        ("07400 123456", None, InvalidReason.NO_COUNTRY),
        ("447400123456", None, InvalidReason.NO_COUNTRY),
        ("+999 7400 123456", None, InvalidReason.NO_COUNTRY),
        ("07400 123456", "ZZ", InvalidReason.NO_COUNTRY),
        ("12345", "US", InvalidReason.SHORT_CODE),
        ("12345", None, InvalidReason.SHORT_CODE),
        ("12", "US", InvalidReason.TOO_SHORT),
        ("+1 201 55", None, InvalidReason.TOO_SHORT),
        ("+44 7400 123456 7400 123457", None, InvalidReason.TOO_LONG),
        ("07400 123456 / 07400 123457", "GB", InvalidReason.TOO_LONG),
        ("555-0123", "US", InvalidReason.NOT_POSSIBLE),
        ("+1 555 555 0100", None, InvalidReason.INVALID),
        ("020 7946 0018", "GB", InvalidReason.LANDLINE),
        ("0044 20 7946 0018", None, InvalidReason.LANDLINE),
        ("+1 800 555 0199", None, InvalidReason.NOT_MOBILE),
        ("0909 879 0000", "GB", InvalidReason.NOT_MOBILE),
        ("07400 123456 #5", "GB", InvalidReason.NOT_MOBILE),
    ],
)
def test_what_cannot_be_texted_says_why(
    text: str, region: str | None, reason: InvalidReason
) -> None:
    """Everything else is refused with a reason that can be stored."""
    assert read(text, region) is reason


@pytest.mark.parametrize("region", REGIONS)
def test_every_country_has_one_value_for_all_formats(region: str) -> None:
    """The example mobile of each country is one value, in all of libphonenumber's formats."""
    example = phonenumbers.example_number_for_type(region, PhoneNumberType.MOBILE)
    assert example is not None
    formats = {
        phonenumbers.format_number(example, style)
        for style in (
            PhoneNumberFormat.E164,
            PhoneNumberFormat.INTERNATIONAL,
            PhoneNumberFormat.NATIONAL,
            PhoneNumberFormat.RFC3966,
        )
    }
    assert len({read(text, region) for text in formats} - set(InvalidReason)) == 1


@st.composite
def e164_texts(draw: st.DrawFn) -> str:
    """Numbers of real countries, of about the right length, valid or not."""
    example = phonenumbers.example_number_for_type(
        draw(st.sampled_from(REGIONS)), draw(st.sampled_from(LINE_TYPES))
    )
    if example is None:
        return f"+{draw(st.integers(min_value=1_000_000, max_value=10**15 - 1))}"
    text = phonenumbers.format_number(example, PhoneNumberFormat.E164)
    kept = draw(st.integers(min_value=4, max_value=len(text)))
    return text[:kept] + "".join(
        draw(st.lists(st.sampled_from("0123456789"), max_size=2 + len(text) - kept))
    )


@given(st.one_of(e164_texts(), st.text()), st.sampled_from([None, *REGIONS]))
def test_canonical_is_idempotent(text: str, region: str | None) -> None:
    """A canonical number stays itself, and a webhook with it agrees, whatever was typed."""
    number = canonical(text, region=region)
    if isinstance(number, PhoneNumber):
        assert canonical(number.e164, region=region) == number
        assert digits(number.e164) == number.digits


@given(e164_texts())
def test_webhook_and_audience_agree(text: str) -> None:
    """An E.164 address that both doors take is the same recipient at both."""
    number = canonical(text)
    national = phonenumbers.parse(text, "ZZ") if isinstance(number, PhoneNumber) else None
    if national and phonenumbers.format_number(national, PhoneNumberFormat.E164) == text:
        assert digits(text) == read(text)


@given(e164_texts(), st.data())
def test_punctuation_changes_nothing(text: str, data: st.DataObject) -> None:
    """Spaces, dots and dashes between digits never make another recipient."""
    number = read(text)
    if isinstance(number, InvalidReason):
        return
    marks = data.draw(st.lists(st.sampled_from(" .-"), min_size=len(text), max_size=len(text)))
    spelled = "+" + "".join(
        digit + mark for digit, mark in zip(str(number), marks, strict=False)
    ).rstrip(" .-")
    assert read(spelled) == number


@given(e164_texts())
def test_line_types_are_libphonenumbers(text: str) -> None:
    """Our compiled plans say what libphonenumber says about every number it can parse."""
    try:
        parsed = phonenumbers.parse(text)
    except NumberParseException:
        return
    national = phonenumbers.national_significant_number(parsed)
    assert parsed.country_code is not None
    ours = numbering.line_type(parsed.country_code, national)
    assert ours == phonenumbers.number_type(parsed)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("+447400123456", 447400123456),
        (" 15551234567", 15551234567),
        ("+5215512345678", 525512345678),
        ("+541123456789", 5491123456789),
        ("+551161234567", 5511961234567),
        ("+442079460018", 442079460018),
        ("+15555550100", 15555550100),
        ("+999123456", 999123456),
        ("12345", 12345),
    ],
)
def test_a_webhook_address_is_never_judged(text: str, expected: int) -> None:
    """A STOP counts from a landline and from a number no plan knows."""
    assert digits(text) == expected


@pytest.mark.parametrize("text", ["", "+", "ACME", "whatsapp:+15551234567", "+1555123456789012"])
def test_what_is_no_address_is_refused_without_showing_it(text: str) -> None:
    """A webhook address that is no number raises, and the message has no personal data."""
    with pytest.raises(ValueError, match="not an E") as caught:
        digits(text)
    assert not text or text not in str(caught.value)


@pytest.mark.parametrize("show", [str, repr, "{}".format])
def test_a_number_is_masked_wherever_it_is_shown(show: type[str]) -> None:
    """Logs and tracebacks show the calling code and four digits."""
    shown = show(PhoneNumber(digits=12015551234))
    assert "+1•••••1234" in shown
    assert "201" not in shown


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("+15551234567", SenderKind.LONG_CODE),
        ("+447400123456", SenderKind.LONG_CODE),
        ("+18885550100", SenderKind.TOLL_FREE),
        ("+18335550100", SenderKind.TOLL_FREE),
        ("12345", SenderKind.SHORT_CODE),
        ("MG" + "0123456789abcdef" * 2, SenderKind.MESSAGING_SERVICE),
        ("ACME", SenderKind.ALPHANUMERIC),
        ("24 Hours+", SenderKind.ALPHANUMERIC),
    ],
)
def test_a_sender_is_known_by_its_address(address: str, kind: SenderKind) -> None:
    """What a sender is follows from how its address is written."""
    assert sender_kind(address) is kind


@pytest.mark.parametrize(
    "address",
    ["", "+1", "1", "123456789", "MG" + "0" * 31, "Twelve chars", "Wörld", " ", "+1 555 123"],
)
def test_what_is_no_sender_is_refused(address: str) -> None:
    """An address of no known form raises and the message lists the forms."""
    with pytest.raises(ValueError, match="is no sender"):
        sender_kind(address)
