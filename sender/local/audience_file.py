"""An audience as people really export it, for the demo: real shapes, nobody's numbers.

Columns in an order of their own, notes with commas, quotes and line breaks, a byte order mark,
numbers typed in every way, the same person twice, landlines, junk, and empty cells.
"""

import csv
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle
from os import PathLike
from pathlib import Path

from sender.audience import Duplicate, Recipient, Rejected, RejectReason, admit, read_csv
from sender.audience.countries import english_name
from sender.domain.phone import InvalidReason
from sender.local.example_numbers import (
    COUNTRIES,
    ExampleNumber,
    landline,
    mobiles,
    spelling,
)

#: The column whose cells tell how a national number is to be read.
COUNTRY_COLUMN = "Country"

#: The file that comes with the package: `make_audience` with these arguments.
SHIPPED_FILE = Path(__file__).parent / "data" / "audience.csv"
SHIPPED_RECIPIENTS = 2_000
SHIPPED_SEED = 7

_HEADER = (
    "Notes",
    COUNTRY_COLUMN,
    "Last Name",
    "Mobile Phone",
    "First Name",
    "Customer ID",
    "Opted in",
)
_DUPLICATES = 0.03  # of the recipients
_REJECTS = 0.02
_FIRST_NAMES = (
    *("Ada", "Björn", "Chloé", "Dmytro", "Eithne", "Fatima", "Giulia", "Håkon", "Inés", "João"),
    *("Kwame", "Łucja", "Mei", "Ngozi", "Ömer", "Priya", "Quentin", "Renée", "Siân", "Zoë", "李"),
)
_LAST_NAMES = (
    *("O'Brien", "Müller", "García López", "Nguyễn", "van der Berg", "Smith-Jones", "Sørensen"),
    *(
        "Kovács",
        "Öztürk",
        "Okafor",
        "D\N{RIGHT SINGLE QUOTATION MARK}Angelo",
        "Papadopoulos",
        "Şahin",
        "Tremblay",
        "",
    ),
)
_NOTES = (
    *(
        "",
        "",
        "",
        "",
        "VIP",
        "met at fair, likes tea",
        'says "call me Al"',
        "x;y|z",
        "prefers\ttabs",
    ),
    *(
        "two lines:\nask for Sam",
        "old address:\r\n1 High St,\r\nLondon",
        "=SUM(A1:A2)",
        "naïve ☕ 👍🏽",
    ),
)
_JUNK: tuple[tuple[str, InvalidReason], ...] = (
    ("", InvalidReason.EMPTY),
    ("   ", InvalidReason.EMPTY),
    ("n/a", InvalidReason.NOT_A_NUMBER),
    ("see notes", InvalidReason.NOT_A_NUMBER),
    ("4.47E+11", InvalidReason.NOT_A_NUMBER),
    ("-", InvalidReason.NOT_A_NUMBER),
    ("ada@example.com", InvalidReason.NOT_A_NUMBER),
    ("12345", InvalidReason.SHORT_CODE),
    ("+1 201 55", InvalidReason.TOO_SHORT),
    ("+44 7400 123456 7400 123457", InvalidReason.TOO_LONG),
    ("07400 123456", InvalidReason.NO_COUNTRY),
    ("+1 800 555 0199", InvalidReason.NOT_MOBILE),
    ("+1 555 555 0100", InvalidReason.INVALID),
)


@dataclass(frozen=True, kw_only=True)
class AudiencePlan:
    """What is in an audience file, known from making it and not from reading it."""

    path: Path
    #: E.164 digits of the recipients, in the order of the file.
    recipients: tuple[int, ...]
    #: Rows that repeat a recipient.
    duplicates: int
    #: Rows that are no recipient, counted by reason.
    rejected: Mapping[RejectReason, int]

    @property
    def file_rows(self) -> int:
        """All rows but the header."""
        return len(self.recipients) + self.duplicates + sum(self.rejected.values())


def make_audience(path: str | PathLike[str], *, recipients: int, seed: int) -> AudiencePlan:
    """Write an audience file; the same arguments make the same file.

    Args:
        path: Where to write; an existing file is replaced.
        recipients: How many rows become a message. Duplicates (3 %) and rows that must be
            rejected (2 %) come on top. Takes about 0.3 s for 1 000.
        seed: What the random choices start from.

    Raises:
        ValueError: More recipients than our ranges have numbers (several millions), or none.
    """
    if recipients < 1:
        raise ValueError(f"an audience needs a recipient, not {recipients}")
    writing = _Writing(random.Random(seed))
    with Path(path).open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow(_HEADER)
        writer.writerows(writing.rows(recipients))
    return AudiencePlan(
        path=Path(path),
        recipients=tuple(number.digits for number in writing.recipients),
        duplicates=writing.duplicates,
        rejected=writing.rejected,
    )


def demo_audience(folder: Path, *, recipients: int, seed: int) -> AudiencePlan:
    """Give the demo its audience: the shipped file for its size, else a new one in `folder`."""
    if recipients == SHIPPED_RECIPIENTS:
        return plan_of(SHIPPED_FILE)
    return make_audience(folder / "audience.csv", recipients=recipients, seed=seed)


def plan_of(path: Path) -> AudiencePlan:
    """Read a file that `make_audience` wrote back into its plan."""
    recipients: list[int] = []
    duplicates = 0
    rejected: Counter[RejectReason] = Counter()
    for row in admit(read_csv(path, region_column=COUNTRY_COLUMN)):
        match row:
            case Recipient():
                recipients.append(row.number.digits)
            case Duplicate():
                duplicates += 1
            case Rejected():
                rejected[row.reason] += 1
    return AudiencePlan(
        path=path, recipients=tuple(recipients), duplicates=duplicates, rejected=rejected
    )


class _Writing:
    """One file being made: its random choices, and the account of what went in."""

    def __init__(self, rng: random.Random) -> None:
        self.recipients: list[ExampleNumber] = []
        self.duplicates = 0
        self.rejected: Counter[RejectReason] = Counter()
        self._rng = rng
        self._typed: list[str] = []
        self._supply = {region: mobiles(region) for region in COUNTRIES}
        self._bad = cycle(_bad_numbers(rng))

    def rows(self, recipients: int) -> Iterator[tuple[str, ...]]:
        """Mix the three kinds of row, a recipient first so that there is one to repeat."""
        others = [self._duplicate] * round(recipients * _DUPLICATES)
        others += [self._reject] * round(recipients * _REJECTS)
        kinds = [self._recipient] * (recipients - 1) + others
        self._rng.shuffle(kinds)
        for ordinal, kind in enumerate([self._recipient, *kinds], 1):
            number, country = kind()
            yield self._around(ordinal, number, country)

    def _recipient(self) -> tuple[str, str]:
        number = self._next_number()
        typed = spelling(number, self._rng)
        self.recipients.append(number)
        self._typed.append(typed)
        return typed, self._country(number, typed)

    def _duplicate(self) -> tuple[str, str]:
        which = self._rng.randrange(len(self.recipients))
        number = self.recipients[which]
        typed = spelling(number, self._rng, unlike=self._typed[which])
        self.duplicates += 1
        return typed, self._country(number, typed)

    def _reject(self) -> tuple[str, str]:
        typed, country, reason = next(self._bad)
        self.rejected[reason] += 1
        return typed, country

    def _next_number(self) -> ExampleNumber:
        while self._supply:
            region = self._rng.choice(tuple(self._supply))
            if number := next(self._supply[region], None):
                return number
            del self._supply[region]
        raise ValueError("our ranges have no more numbers")

    def _country(self, number: ExampleNumber, typed: str) -> str:
        """The cell beside a number: a name, a code, or nothing where the number needs none."""
        cells = (english_name(number.region), number.region, "")
        return self._rng.choice(cells if typed.startswith("+") else cells[:2])

    def _around(self, ordinal: int, number: str, country: str) -> tuple[str, ...]:
        choice = self._rng.choice
        opted_in = f"{choice(range(1, 29)):02}/{choice(range(1, 13)):02}/2025"
        last_name, first_name = choice(_LAST_NAMES), choice(_FIRST_NAMES)
        customer = f"C-{ordinal:07}"
        return choice(_NOTES), country, last_name, number, first_name, customer, opted_in


def _bad_numbers(rng: random.Random) -> list[tuple[str, str, RejectReason]]:
    """Number, country and the reason why nobody is texted; each kind comes before any repeats."""
    landlines = [(text, region) for region in COUNTRIES if (text := landline(region))]
    fixed = [(text, region, InvalidReason.LANDLINE) for text, region in rng.sample(landlines, 6)]
    bad: list[tuple[str, str, RejectReason]] = [(text, "", reason) for text, reason in _JUNK]
    bad.extend(fixed)
    rng.shuffle(bad)
    return bad
