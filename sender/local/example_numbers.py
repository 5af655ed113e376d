"""Mobile numbers that look real and should be nobody's, in many countries and spellings.

They are for a loopback simulator only, and still: where a regulator reserves numbers for films
and examples those are taken, elsewhere libphonenumber's example number with other last digits.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain

import phonenumbers
from phonenumbers import PhoneMetadata, PhoneNumberFormat, PhoneNumberType

from sender.domain.phone import PhoneNumber, canonical

#: ISO 3166 codes of the countries in a made-up audience.
COUNTRIES: tuple[str, ...] = (
    *("AE", "AR", "AT", "AU", "BE", "BG", "BR", "CA", "CH", "CI", "CL", "CO", "CR", "CY"),
    *("CZ", "DE", "DK", "EC", "EE", "EG", "ES", "FI", "FR", "GB", "GH", "GR", "GT", "HK"),
    *("HR", "HU", "ID", "IE", "IL", "IN", "IS", "IT", "JO", "JP", "KE", "KR", "KZ", "LT"),
    *("LU", "LV", "MA", "MT", "MX", "MY", "NG", "NL", "NO", "NZ", "PE", "PH", "PK", "PL"),
    *("PT", "QA", "RO", "RS", "RU", "SA", "SE", "SG", "SI", "SK", "TH", "TN", "TR", "TW"),
    *("TZ", "UA", "UG", "US", "UY", "VN", "ZA"),
)

#: Reserved for fiction, as E.164 prefix and the range of the two digits after it. Sweden: PTS;
#: Germany: Bundesnetzagentur, "drama numbers".
_RESERVED: dict[str, tuple[tuple[str, range], ...]] = {
    "SE": (("467017406", range(5, 100)),),
    "DE": (("4917139200", range(100)), ("49176040690", range(100))),
}
_NANP = frozenset({"US", "CA"})
_AREA_CODES = range(201, 990)
_VARIED_DIGITS = 5
_STRIDE = 61_813  # prime to 10, so that every ending comes once


@dataclass(frozen=True, kw_only=True, slots=True)
class ExampleNumber:
    """A mobile in the spelling we expect `canonical` to find."""

    #: E.164 digits.
    digits: int
    #: ISO 3166 code of the country it is listed under.
    region: str


def mobiles(region: str) -> Iterator[ExampleNumber]:
    """All the mobiles we take from one country, without repetition, in a fixed order."""
    varied = () if region in _NANP else _around_example(region)
    for digits in chain(_reserved(region), varied):
        # Where a range ends, or a spelling is a migration's leftover, the number is skipped.
        if canonical(f"+{digits}") == PhoneNumber(digits=digits):
            yield ExampleNumber(digits=digits, region=region)


def landline(region: str) -> str | None:
    """A country's example landline as typed at home; ``None`` if it might be a mobile."""
    example = phonenumbers.example_number_for_type(region, PhoneNumberType.FIXED_LINE)
    # Argentina's landlines are read as mobiles on purpose: see ``sender.domain.phone``.
    if example is None or region == "AR":
        return None
    if phonenumbers.number_type(example) != PhoneNumberType.FIXED_LINE:
        return None
    return phonenumbers.format_number(example, PhoneNumberFormat.NATIONAL)


def spelling(number: ExampleNumber, rng: random.Random, *, unlike: str = "") -> str:
    """Write a number in one of the ways people and their tools do, but not as `unlike`.

    National forms need the country to be read; those that start with ``+`` do not.
    """
    forms = _forms(number)
    rng.shuffle(forms)
    return next(form for form in forms if form != unlike and _is_read_as(form, number))


def _forms(number: ExampleNumber) -> list[str]:
    parsed = phonenumbers.parse(f"+{number.digits}")
    national = phonenumbers.format_number(parsed, PhoneNumberFormat.NATIONAL)
    abroad = phonenumbers.format_number(parsed, PhoneNumberFormat.INTERNATIONAL)
    return [
        f"+{number.digits}",
        abroad,
        national,
        f"00{number.digits}",
        abroad.replace(" ", "\N{NO-BREAK SPACE}"),
        abroad.replace(" ", "-"),
        national.replace("-", ".").replace(" ", "."),
        f"  {national} ",
        f'="{national}"',
        f"'{abroad}",
        *_with_trunk_prefix(parsed.country_code, national, number.region),
        *_before_migration(str(number.digits)),
    ]


def _is_read_as(form: str, number: ExampleNumber) -> bool:
    return canonical(form, region=number.region) == PhoneNumber(digits=number.digits)


def _with_trunk_prefix(calling_code: int | None, national: str, region: str) -> Iterable[str]:
    """The form ``+44 (0)7400 123456``, where the country has such a prefix."""
    metadata = PhoneMetadata.metadata_for_region(region)
    if metadata and metadata.national_prefix == "0" and national.startswith("0"):
        yield f"+{calling_code} (0){national[1:]}"


def _before_migration(digits: str) -> Iterable[str]:
    """What old address books still say; `canonical` documents the rules."""
    if digits.startswith("52"):
        yield f"+52 1 {digits[2:]}"
    if digits.startswith("549"):
        yield f"+54 {digits[3:]}"
    if digits.startswith("55"):
        yield f"+55 {digits[2:4]} {digits[5:]}"


def _reserved(region: str) -> Iterator[int]:
    if region in _NANP:
        for area in _area_codes()[region]:
            # 555-0100 to 555-0199 are fictional in every area code of the plan (NANPA).
            yield from range(int(f"1{area}5550100"), int(f"1{area}5550200"))
    for prefix, endings in _RESERVED.get(region, ()):
        yield from (int(f"{prefix}{ending:02}") for ending in endings)


@cache
def _area_codes() -> dict[str, list[int]]:
    found: dict[str, list[int]] = {region: [] for region in _NANP}
    for area in _AREA_CODES:
        region = phonenumbers.region_code_for_number(phonenumbers.parse(f"+1{area}5550100"))
        if region in found:
            found[region].append(area)
    return found


def _around_example(region: str) -> Iterator[int]:
    example = phonenumbers.example_number_for_type(region, PhoneNumberType.MOBILE)
    if example is None:
        return
    size = 10**_VARIED_DIGITS
    digits = int(phonenumbers.format_number(example, PhoneNumberFormat.E164)[1:])
    start = random.Random(region).randrange(size)
    for step in range(size):
        yield digits - digits % size + (start + step * _STRIDE) % size
