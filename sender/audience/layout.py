"""Which column is what: found from the header as people write it, or told by the caller."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import phonenumbers

from sender.audience.countries import region_of
from sender.audience.rows import Candidate, Rejected, RowProblem
from sender.domain.template import field_name
from sender.errors import InvalidAudience

#: Headers of a number column, the surest first: a file with "Phone" and "Mobile" means the latter.
_NUMBER_HEADERS = (
    "mobile_phone_number",
    "mobile_number",
    "mobile_phone",
    "mobile_no",
    "mobile",
    "cell_phone_number",
    "cell_number",
    "cell_phone",
    "cellphone",
    "cell",
    "msisdn",
    "sms",
    "phone_number",
    "phone_no",
    "phonenumber",
    "phone",
    "telephone_number",
    "telephone",
    "tel",
    "number",
    "recipient",
    "to",
)
_NUMBER_WORDS = ("mobile", "cell", "msisdn", "sms", "phone", "telephone")
_LOOKS_LIKE_A_NUMBER = re.compile(r"\+?[0-9][0-9 ().-]{5,}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """How a row's cells become a candidate."""

    #: One name per column, no two alike.
    names: tuple[str, ...]
    #: Indexes into `names`.
    recipient: int
    country: int | None
    #: The region of rows that have no country cell or a blank one.
    region: str | None

    @classmethod
    def from_header(
        cls,
        header: Sequence[str],
        *,
        recipient: str | None,
        region: str | None,
        region_column: str | None,
    ) -> Self:
        """Find the columns.

        Args:
            header: The cells of the header, or the keys of a mapping.
            recipient: The header of the number column; found by its usual names if not given.
            region: ISO 3166 code for national numbers.
            region_column: The header of a column with countries.

        Raises:
            InvalidAudience: A column is missing or ambiguous, or the region is unknown.
        """
        names = _field_names(header)
        number = _find_number(header, names) if recipient is None else _find(names, recipient)
        return cls(
            names=names,
            recipient=number,
            country=None if region_column is None else _find(names, region_column),
            region=known_region(region),
        )

    def read(self, line: int, cells: Sequence[str]) -> Candidate | Rejected:
        """Name the cells of one row; missing ones at its end are empty."""
        surplus = len(cells) - len(self.names)
        if surplus > 0 and any(map(str.strip, cells[len(self.names) :])):
            value = cells[self.recipient]
            return Rejected(line=line, value=value, reason=RowProblem.TOO_MANY_CELLS)
        if surplus < 0:
            cells = [*cells, *[""] * -surplus]
        country = None if self.country is None else region_of(cells[self.country])
        return Candidate(
            line=line,
            value=cells[self.recipient],
            fields=dict(zip(self.names, cells, strict=False)),
            region=country or self.region,
        )


def known_region(region: str | None) -> str | None:
    """Check a campaign's region before a million rows are refused for a typing error.

    Raises:
        InvalidAudience: No country has this code.
    """
    if region is not None and region.upper() not in phonenumbers.SUPPORTED_REGIONS:
        raise InvalidAudience(f"region {region!r} is no ISO 3166 country code such as 'GB'")
    return region


def find_number(header: Sequence[str]) -> int:
    """The index of the column that holds the number, by its usual names.

    Raises:
        InvalidAudience: none does, or several may.
    """
    return _find_number(header, _field_names(header))


def _field_names(header: Sequence[str]) -> tuple[str, ...]:
    names: list[str] = []
    for ordinal, cell in enumerate(header, 1):
        name = field_name(cell) or f"column_{ordinal}"
        if name in names:
            name = next(f"{name}_{n}" for n in range(2, ordinal + 2) if f"{name}_{n}" not in names)
        names.append(name)
    return tuple(names)


def _find(names: Sequence[str], wanted: str) -> int:
    name = field_name(wanted)
    if name not in names:
        raise InvalidAudience(f"there is no column {wanted!r}; there are: {', '.join(names)}")
    return names.index(name)


def _find_number(header: Sequence[str], names: Sequence[str]) -> int:
    if any(_LOOKS_LIKE_A_NUMBER.fullmatch(cell.strip()) for cell in header):
        raise InvalidAudience("the first row looks like data: the audience needs a header")
    plain = [field_name(cell) for cell in header]
    exact = ([i for i, name in enumerate(plain) if name == usual] for usual in _NUMBER_HEADERS)
    worded = ([i for i, name in enumerate(plain) if word in name] for word in _NUMBER_WORDS)
    found = next(filter(None, [*exact, *worded]), [])
    if len(found) == 1:
        return found[0]
    which = [names[index] for index in found] or names
    problem = "more than one column" if found else "no column"
    raise InvalidAudience(
        f"{problem} looks like the phone number; name it with recipient=, one of: "
        f"{', '.join(which)}"
    )
