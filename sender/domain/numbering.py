"""Which kind of line an E.164 number is, from libphonenumber's numbering plans.

The rules and the data are libphonenumber's (``region_code_for_number`` and ``number_type``), and
a test compares the two. What differs is the cost: ``phonenumbers`` leaves its patterns to the
``re`` module's cache of 512 entries, and an audience from sixty countries has more patterns than
that, so every row pays for compiling some (2 800 numbers/s measured on a mixed file). Here a
calling code's patterns are compiled once and kept.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata, PhoneNumberType
from phonenumbers.phonemetadata import PhoneNumberDesc

_LONGEST_CALLING_CODE = 3

#: Lines that are none of fixed or mobile, in the order in which libphonenumber asks for them.
_SPECIAL_LINES: tuple[tuple[str, int], ...] = (
    ("premium_rate", PhoneNumberType.PREMIUM_RATE),
    ("toll_free", PhoneNumberType.TOLL_FREE),
    ("shared_cost", PhoneNumberType.SHARED_COST),
    ("voip", PhoneNumberType.VOIP),
    ("personal_number", PhoneNumberType.PERSONAL_NUMBER),
    ("pager", PhoneNumberType.PAGER),
    ("uan", PhoneNumberType.UAN),
    ("voicemail", PhoneNumberType.VOICEMAIL),
)


def split(digits: str) -> tuple[int, str] | None:
    """Split E.164 digits into calling code and national number.

    Args:
        digits: Digits without the plus; leading zeros of the national number are kept.

    Returns:
        ``(calling code, national number)``, or ``None`` if no calling code fits.
    """
    # No calling code is the beginning of another one (ITU-T E.164), so the first hit is the only.
    for length in range(1, _LONGEST_CALLING_CODE + 1):
        head = digits[:length]
        if head and int(head) in COUNTRY_CODE_TO_REGION_CODE:
            return int(head), digits[length:]
    return None


def line_type(calling_code: int, national: str) -> int:
    """Tell which kind of line a number is.

    Args:
        calling_code: For example 44.
        national: The national (significant) number: digits, no trunk prefix.

    Returns:
        A ``phonenumbers.PhoneNumberType``; ``UNKNOWN`` means that no plan has this number, which
        is what libphonenumber calls invalid.
    """
    plans = _plans(calling_code)
    if len(plans) == 1:
        return plans[0].line_type(national)
    for plan in plans:
        if plan.leading_digits is not None:
            if plan.leading_digits.match(national):
                return plan.line_type(national)
        elif (kind := plan.line_type(national)) != PhoneNumberType.UNKNOWN:
            return kind
    return PhoneNumberType.UNKNOWN


@dataclass(frozen=True, kw_only=True, slots=True)
class _Numbers:
    """The numbers of one kind: which lengths they have and which pattern they match."""

    lengths: frozenset[int]
    pattern: re.Pattern[str]

    def has(self, national: str) -> bool:
        if self.lengths and len(national) not in self.lengths:
            return False
        return self.pattern.fullmatch(national) is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Plan:
    """One region's numbering plan."""

    #: Tells this region from others with the same calling code; ``None`` if only validity can.
    leading_digits: re.Pattern[str] | None
    every: _Numbers | None
    special: tuple[tuple[_Numbers, int], ...]
    fixed: _Numbers | None
    mobile: _Numbers | None

    def line_type(self, national: str) -> int:
        """Ask in libphonenumber's order: special lines first, then fixed, then mobile."""
        if not _has(self.every, national):
            return PhoneNumberType.UNKNOWN
        for numbers, kind in self.special:
            if numbers.has(national):
                return kind
        if _has(self.fixed, national):
            either = self.mobile is self.fixed or _has(self.mobile, national)
            return PhoneNumberType.FIXED_LINE_OR_MOBILE if either else PhoneNumberType.FIXED_LINE
        mobile = _has(self.mobile, national)
        return PhoneNumberType.MOBILE if mobile else PhoneNumberType.UNKNOWN


@cache
def _plans(calling_code: int) -> tuple[_Plan, ...]:
    regions = COUNTRY_CODE_TO_REGION_CODE.get(calling_code, ())
    return tuple(_load(calling_code, regions))


def _load(calling_code: int, regions: Iterable[str]) -> Iterable[_Plan]:
    for region in regions:
        metadata = PhoneMetadata.metadata_for_region_or_calling_code(calling_code, region)
        if metadata is None:
            continue
        special = ((_numbers(getattr(metadata, name)), kind) for name, kind in _SPECIAL_LINES)
        fixed = _numbers(metadata.fixed_line)
        shared = metadata.same_mobile_and_fixed_line_pattern
        yield _Plan(
            leading_digits=re.compile(metadata.leading_digits) if metadata.leading_digits else None,
            every=_numbers(metadata.general_desc),
            special=tuple((numbers, kind) for numbers, kind in special if numbers is not None),
            fixed=fixed,
            mobile=fixed if shared else _numbers(metadata.mobile),
        )


def _numbers(desc: PhoneNumberDesc | None) -> _Numbers | None:
    if desc is None or not desc.national_number_pattern:
        return None
    return _Numbers(
        lengths=frozenset(desc.possible_length),
        pattern=re.compile(desc.national_number_pattern),
    )


def _has(numbers: _Numbers | None, national: str) -> bool:
    return numbers is not None and numbers.has(national)
