"""Phone numbers: the one function that makes every spelling of a mobile the same value.

Suppression is keyed by this value, so whatever two doors a number comes through (a CSV, the
API, an inbound webhook, an import), they must meet here. Three countries changed their numbers
and left two spellings in use; both are mapped to the one in force:

========== ===================================== ==============================================
Country    Also seen as                          Canonical
========== ===================================== ==============================================
Mexico     +52 **1** and ten digits, 01/044/045  +52 and ten digits (since August 2019)
Argentina  +54 and ten digits, 0 and 15          +54 **9** and ten digits (mobiles from abroad)
Brazil     +55, area code, eight digits (6-9)    +55, area code, **9**, eight digits (since 2016)
========== ===================================== ==============================================

An Argentine mobile differs from a landline in nothing but that 9, and carriers and people drop
it. It is therefore always put in: a landline typed as +54 11 costs a refused message, while two
values for one mobile could text a person after their STOP.
"""

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberType, ValidationResult

from sender.domain import numbering


class InvalidReason(StrEnum):
    """Why a text is no number that a campaign can text."""

    #: Nothing was typed.
    EMPTY = "empty"
    #: Not digits with the usual punctuation: words, letters, Excel's ``4.47E+11``.
    NOT_A_NUMBER = "not_a_number"
    #: No calling code (or one that nobody has), and no region to read the number by.
    NO_COUNTRY = "no_country"
    #: Three to six digits: a short code cannot be a recipient.
    SHORT_CODE = "short_code"
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    #: A length the country does not have, or a local number without its area code.
    NOT_POSSIBLE = "not_possible"
    #: The right length, but in no range of the country's numbering plan.
    INVALID = "invalid"
    #: A fixed line (where a country tells them apart; the US and Canada do not).
    LANDLINE = "landline"
    #: Toll-free, premium, shared cost, VoIP, pager, personal, company numbers, an extension.
    NOT_MOBILE = "not_mobile"


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class PhoneNumber:
    """A recipient's number. ``str`` and ``repr`` are masked: logs and tracebacks show no number."""

    #: E.164 digits without the plus.
    digits: int

    @property
    def e164(self) -> str:
        """The number as providers take it: ``+`` and digits."""
        return f"+{self.digits}"

    def __str__(self) -> str:
        return mask(self.digits)

    def __repr__(self) -> str:
        return f"PhoneNumber({mask(self.digits)!r})"


@dataclass(frozen=True, kw_only=True, slots=True)
class InvalidNumber:
    """Not a number that can be texted; the text itself stays with the caller."""

    reason: InvalidReason


class SenderKind(StrEnum):
    """What a sender's address is; throughput, opt-out handling and reach depend on it."""

    #: An ordinary number, mobile or fixed.
    LONG_CODE = "long_code"
    #: A US or Canadian toll-free number: its network handles STOP below Twilio.
    TOLL_FREE = "toll_free"
    #: Three to eight digits, no plus: nobody handles STOP unless that was arranged.
    SHORT_CODE = "short_code"
    #: A Twilio Messaging Service (``MG`` and 32 hex digits): a pool of senders.
    MESSAGING_SERVICE = "messaging_service"
    #: A name; nobody can reply to it, so nobody can say STOP to it.
    ALPHANUMERIC = "alphanumeric"


#: Twilio's magic numbers (+1 500 555 000x): personal numbers in the plan, but they reach nobody
#: and are how an integration is tried out. https://www.twilio.com/docs/iam/test-credentials
_MAGIC_NUMBERS = frozenset(range(15005550001, 15005550010))

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_PLAUSIBLE = re.compile(r"\+?([1-9][0-9]{2,14})")
_LETTER = re.compile(r"[^\W\d_]")
_SHORT = re.compile(r"[0-9]{3,6}")
_FLOAT_TAIL = re.compile(r"(\+?[0-9]{7,})\.0+")
# What spreadsheets put around a number to keep it text: '07400…, ="07400…".
_TEXT_MARKS = re.compile(r"""^(?:=\s*)?["'`]?(.*?)["']?$""", re.DOTALL)

# First match wins: digits alone are a short code before they could be a name.
_SENDERS: tuple[tuple[re.Pattern[str], SenderKind], ...] = (
    (re.compile(r"\+18(?:00|33|44|55|66|77|88)[2-9][0-9]{6}"), SenderKind.TOLL_FREE),
    (_E164, SenderKind.LONG_CODE),
    (re.compile(r"[0-9]{3,8}"), SenderKind.SHORT_CODE),
    (re.compile(r"MG[0-9a-f]{32}"), SenderKind.MESSAGING_SERVICE),
    # https://www.twilio.com/docs/glossary/what-alphanumeric-sender-id
    (re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 +_&-]{1,11}"), SenderKind.ALPHANUMERIC),
)

_ALIASES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"52(?:1|01|04[45])([0-9]{10})"), r"52\1"),
    (re.compile(r"54([1-3][0-9]{9})"), r"549\1"),
    # 70, 77, 78 and 79 were trunked radio, which kept eight digits (Anatel resolution 553/2010).
    (re.compile(r"55([1-9][1-9])([689][0-9]{7}|7[1-6][0-9]{6})"), r"55\g<1>9\2"),
)

_PARSE_REASONS = {
    NumberParseException.INVALID_COUNTRY_CODE: InvalidReason.NO_COUNTRY,
    NumberParseException.NOT_A_NUMBER: InvalidReason.NOT_A_NUMBER,
    NumberParseException.TOO_SHORT_AFTER_IDD: InvalidReason.TOO_SHORT,
    NumberParseException.TOO_SHORT_NSN: InvalidReason.TOO_SHORT,
    NumberParseException.TOO_LONG: InvalidReason.TOO_LONG,
}

_LENGTH_REASONS = {
    ValidationResult.TOO_SHORT: InvalidReason.TOO_SHORT,
    ValidationResult.TOO_LONG: InvalidReason.TOO_LONG,
    ValidationResult.INVALID_LENGTH: InvalidReason.NOT_POSSIBLE,
    ValidationResult.IS_POSSIBLE_LOCAL_ONLY: InvalidReason.NOT_POSSIBLE,
    ValidationResult.INVALID_COUNTRY_CODE: InvalidReason.NO_COUNTRY,
}

_TEXTABLE = frozenset({PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE})


def canonical(text: str, *, region: str | None = None) -> PhoneNumber | InvalidNumber:
    """Read a number as a person or a spreadsheet wrote it.

    Args:
        text: Any spelling: national, international, ``00``, ``tel:``, punctuation, other digits.
        region: ISO 3166 code (``GB``) by which a number without a calling code is read. Without
            one such a number is refused: guessing would text a stranger abroad.

    Returns:
        The recipient, the same value for every spelling, or the reason why there is none.
        About 40 000 numbers a second and core, several times that for E.164.
    """
    if _E164.fullmatch(text) and isinstance(plain := _judge(text[1:]), PhoneNumber):
        return plain
    typed = _unwrap(text)
    if not typed:
        return InvalidNumber(reason=InvalidReason.EMPTY)
    if _LETTER.search(typed):  # libphonenumber would dial letters, as on a keypad
        return InvalidNumber(reason=InvalidReason.NOT_A_NUMBER)
    return _read(typed, region.upper() if region else None)


def digits(text: str) -> int:
    """Read the E.164 address of a webhook: same value as `canonical`, but never a judgement.

    A STOP from a number that libphonenumber thinks invalid, or from a landline, must still be
    suppressible, so any plausible run of digits passes; only the aliases are mapped.

    Args:
        text: ``+15551234567``; a missing plus is forgiven (badly decoded forms lose it).

    Returns:
        E.164 digits.

    Raises:
        ValueError: Not 3 to 15 digits: a name, a channel address, nothing at all.
    """
    match = _PLAUSIBLE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"not an E.164 address ({len(text)} characters)")
    return int(_in_force(match[1]))


def sender_kind(address: str) -> SenderKind:
    """Tell what kind of sender an address is, as Twilio's ``From`` or service SID writes it.

    Raises:
        ValueError: It is none; the message lists the forms there are.
    """
    for form, kind in _SENDERS:
        if form.fullmatch(address):
            return kind
    raise ValueError(
        f"{address!r} is no sender: give a number in E.164 (+15551234567), a short code (12345), "
        "a Messaging Service SID (MG and 32 hex digits) or a name of up to 11 letters, digits, "
        "spaces and + - _ & with at least one letter"
    )


def mask(number: int) -> str:
    """Show E.164 digits so that a log reader can tell two apart but text neither."""
    text = str(number)
    found = numbering.split(text)
    return f"+{found[0] if found else ''}•••••{text[-4:]}"


def _unwrap(text: str) -> str:
    """Take off what people's tools put around and into a number without changing it."""
    # Cc and Cf: NUL, tabs, and the invisible direction marks that come with copied contacts.
    visible = text if text.isprintable() else "".join(filter(_is_visible, text))
    marked = _TEXT_MARKS.fullmatch(visible.strip())
    bare = (marked[1] if marked else visible).strip().removeprefix("tel:").strip()
    # A column of numbers with gaps comes out of pandas and Excel as floats.
    as_float = _FLOAT_TAIL.fullmatch(bare)
    return as_float[1] if as_float else bare


def _is_visible(character: str) -> bool:
    return unicodedata.category(character) not in {"Cc", "Cf"}


def _read(typed: str, region: str | None) -> PhoneNumber | InvalidNumber:
    result = _parse(typed, region)
    if isinstance(result, PhoneNumber):
        return result
    if typed.startswith("00"):  # the common way to dial abroad, also typed where it is not dialled
        abroad = _parse(f"+{typed[2:]}", None)
        return abroad if region is None or isinstance(abroad, PhoneNumber) else result
    if _SHORT.fullmatch(typed):
        return InvalidNumber(reason=InvalidReason.SHORT_CODE)
    return result


def _parse(typed: str, region: str | None) -> PhoneNumber | InvalidNumber:
    try:
        parsed = phonenumbers.parse(typed, region)
    except NumberParseException as error:
        return InvalidNumber(reason=_PARSE_REASONS[error.error_type])
    if parsed.extension:
        return InvalidNumber(reason=InvalidReason.NOT_MOBILE)
    return _judge(f"{parsed.country_code}{phonenumbers.national_significant_number(parsed)}")


def _judge(typed: str) -> PhoneNumber | InvalidNumber:
    """Decide about international digits whose spelling is settled."""
    current = _in_force(typed)
    found = numbering.split(current)
    kind = numbering.line_type(*found) if found else PhoneNumberType.UNKNOWN
    if kind in _TEXTABLE or int(current) in _MAGIC_NUMBERS:
        return PhoneNumber(digits=int(current))
    if kind == PhoneNumberType.FIXED_LINE:
        return InvalidNumber(reason=InvalidReason.LANDLINE)
    if kind != PhoneNumberType.UNKNOWN:
        return InvalidNumber(reason=InvalidReason.NOT_MOBILE)
    return InvalidNumber(reason=_why_unknown(current))


def _in_force(typed: str) -> str:
    """Map the spellings that a country's migration left behind; see the module's table."""
    if typed[0] == "5":
        for alias, spelling in _ALIASES:
            if match := alias.fullmatch(typed):
                return match.expand(spelling)
    return typed


def _why_unknown(current: str) -> InvalidReason:
    try:
        parsed = phonenumbers.parse(f"+{current}")
    except NumberParseException as error:
        return _PARSE_REASONS[error.error_type]
    length = phonenumbers.is_possible_number_with_reason(parsed)
    return _LENGTH_REASONS.get(length, InvalidReason.INVALID)
