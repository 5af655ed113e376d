"""A country column's cells, as ISO codes: people write codes, names in any language, +44."""

import re
from collections import defaultdict
from functools import cache, lru_cache

import phonenumbers
from phonenumbers.phonenumberutil import UNKNOWN_REGION

from sender.domain.template import field_name

_CALLING_CODE = re.compile(r"\+?([1-9][0-9]{0,2})")

#: Everyday names that libphonenumber's list (CLDR) has not, as `field_name` writes them.
_ALSO = {
    "uk": "GB",
    "england": "GB",
    "scotland": "GB",
    "wales": "GB",
    "northern_ireland": "GB",
    "great_britain": "GB",
    "usa": "US",
    "u_s_a": "US",
    "u_s": "US",
    "america": "US",
    "united_states_of_america": "US",
    "uae": "AE",
    "czech_republic": "CZ",
    "holland": "NL",
    "the_netherlands": "NL",
    "ivory_coast": "CI",
    "korea": "KR",
    "russian_federation": "RU",
    "viet_nam": "VN",
    "turkiye": "TR",
    "türkiye": "TR",
}


@lru_cache(maxsize=1024)
def region_of(text: str) -> str | None:
    """Read the country cell of a row.

    Returns:
        The ISO 3166 code; `UNKNOWN_REGION` (``ZZ``) for a text that is no country, so that a
        national number beside it is refused, not read as somebody else's; ``None`` for a blank.
    """
    plain = text.strip()
    if not plain:
        return None
    if plain.upper() in phonenumbers.SUPPORTED_REGIONS:
        return plain.upper()
    if code := _CALLING_CODE.fullmatch(plain):
        return phonenumbers.region_code_for_country_code(int(code[1]))
    name = field_name(plain)
    return _ALSO.get(name) or _regions_by_name().get(name, UNKNOWN_REGION)


@cache
def english_name(region: str) -> str:
    """The English name of an ISO 3166 code; the code itself if there is none."""
    names = _names()[region]
    name = names.get("en", region)
    # The data spells a repeated name as a pointer to the language that has it first.
    return names[name[1:]] if name.startswith("*") else name


@cache
def _regions_by_name() -> dict[str, str]:
    """Names in every language that mean one country only; the English one wins a dispute."""
    claims: dict[str, set[str]] = defaultdict(set)
    for region, names in _names().items():
        for name in names.values():
            claims[field_name(name)].add(region)
    undisputed = {name: regions.pop() for name, regions in claims.items() if len(regions) == 1}
    return undisputed | {field_name(english_name(region)): region for region in _names()}


def _names() -> dict[str, dict[str, str]]:
    # Imported here: 0.2 s and some megabytes that only files with spelled-out countries need.
    from phonenumbers.geodata.locale import LOCALE_DATA  # noqa: PLC0415

    return LOCALE_DATA
