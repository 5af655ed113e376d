"""What a row of an audience is, before and after it was judged."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from sender.domain.phone import InvalidReason, PhoneNumber


class RowProblem(StrEnum):
    """Why a row is no recipient although its number was not the reason."""

    #: A quote is never closed, or closed in mid-cell: where the row ends is a guess.
    BROKEN_QUOTES = "broken_quotes"
    #: More cells than the header has: which cell is the number is a guess.
    TOO_MANY_CELLS = "too_many_cells"
    #: The same recipient, perhaps in another spelling, stands in an earlier row.
    DUPLICATE = "duplicate"


RejectReason = InvalidReason | RowProblem


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A row as read: its number is still what somebody typed."""

    #: The physical line where the row starts, from 1; for an iterable, the item's ordinal.
    line: int
    #: The number as typed.
    value: str
    #: All cells of the row by field name (see ``sender.domain.template.field_name``).
    fields: Mapping[str, str]
    #: ISO 3166 code by which a national number is read; ``None`` leaves it to `admit`.
    region: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejected:
    """A row that nobody is texted for."""

    line: int
    value: str
    reason: RejectReason


@dataclass(frozen=True, kw_only=True, slots=True)
class Duplicate:
    """A row whose recipient has been admitted already."""

    line: int
    value: str
    number: PhoneNumber
    #: The line of the row that counts.
    first_line: int

    @property
    def reason(self) -> RejectReason:
        """Always `RowProblem.DUPLICATE`: rejects files treat both kinds alike."""
        return RowProblem.DUPLICATE


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipient:
    """A row that becomes one message."""

    line: int
    value: str
    number: PhoneNumber
    fields: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Audience:
    """Rows that are read as they are asked for; iterate again to read again."""

    #: Field names a body template may use, in the order of the columns.
    fields: tuple[str, ...]
    #: Starts a reading from the first row.
    rows: Callable[[], Iterator[Candidate | Rejected]]

    def __iter__(self) -> Iterator[Candidate | Rejected]:
        return self.rows()
