"""An audience from a CSV as people export it: any delimiter, encoding, and column order."""

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from os import PathLike
from typing import IO, Self

from sender.audience.encodings import CsvSource
from sender.audience.layout import Layout
from sender.audience.rows import Audience, Candidate, Rejected, RowProblem
from sender.errors import InvalidAudience

_DELIMITERS = ",;\t|"
_QUOTED = re.compile(r'"[^"]*"')
#: A row longer than this is taken for a quote that nobody closed, and not for a long note.
_LONGEST_RECORD = 200  # physical lines
_LONGEST_VALUE = 200  # characters of a broken row shown in the rejects


def read_csv(
    source: str | PathLike[str] | IO[str] | IO[bytes],
    *,
    recipient: str | None = None,
    region: str | None = None,
    region_column: str | None = None,
) -> Audience:
    """Read an audience from a CSV with a header.

    The delimiter is one of ``, ; tab |``, the encoding UTF-8, UTF-16 with BOM, or Windows-1252.
    Rows are read as they are asked for, so a million of them need no memory here.

    Args:
        source: A path, or an open file, read from where it stands. One that cannot be rewound,
            or is open as text, is held in memory.
        recipient: The header of the number column; found by its usual names if not given.
        region: ISO 3166 code (``GB``) for numbers without a calling code.
        region_column: The header of a column with each row's country, as ISO code or name.

    Raises:
        InvalidAudience: Empty file, no or several number columns, undecodable bytes.
        OSError: The path cannot be read.
    """
    table = CsvTable.from_source(source)
    layout = Layout.from_header(
        table.header, recipient=recipient, region=region, region_column=region_column
    )

    def rows() -> Iterator[Candidate | Rejected]:
        for record in table.rows():
            if isinstance(record, Record):
                yield layout.read(record.line, record.cells)
            else:
                yield record

    return Audience(fields=layout.names, rows=rows)


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """A row of a CSV."""

    #: The physical line where it starts.
    line: int
    cells: list[str]


@dataclass(frozen=True, kw_only=True)
class CsvTable:
    """A CSV with a header, whatever its delimiter and encoding, to be read again and again."""

    file: CsvSource
    delimiter: str
    header: list[str]

    @classmethod
    def from_source(cls, source: str | PathLike[str] | IO[str] | IO[bytes]) -> Self:
        """Find out the encoding, the delimiter and the header.

        Raises:
            InvalidAudience: Empty file, undecodable bytes.
            OSError: The path cannot be read.
        """
        file = CsvSource.from_source(source)
        with file.open() as text:
            delimiter = _sniff(text)
        with file.open() as text:
            header = next(_records(_Lines(text), delimiter), None)
        if not isinstance(header, Record):
            raise InvalidAudience(
                "the file is empty" if header is None else "the header is not CSV"
            )
        return cls(file=file, delimiter=delimiter, header=header.cells)

    def rows(self) -> Iterator[Record | Rejected]:
        """The rows after the header, and what is no row."""
        with self.file.open() as text:
            records = _records(_Lines(text), self.delimiter)
            next(records)  # the header
            yield from records


class _Lines:
    """The physical lines of a file, which remember the record being read and can be put back."""

    def __init__(self, text: Iterable[str]) -> None:
        self._text = iter(text)
        self._returned: deque[str] = deque()
        self._record: list[str] = []
        self._read = 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        if len(self._record) == _LONGEST_RECORD:
            raise csv.Error("a quote is never closed")
        line = self._returned.popleft() if self._returned else next(self._text)
        self._read += 1
        self._record.append(line)
        return line.replace("\0", "")  # Postgres takes no NUL, and no person typed one

    def start_record(self) -> int:
        """Forget the record before; returns the number of the line that comes next."""
        self._record.clear()
        return self._read + 1

    def give_up_record(self) -> str:
        """Put back all lines of the record but its first, which is returned."""
        first, *others = self._record
        self._returned.extendleft(reversed(others))
        self._read -= len(others)
        return first


def _sniff(text: Iterable[str]) -> str:
    """The delimiter that the header has most of, outside quotes; a comma if it has none."""
    header = next(filter(str.strip, text), "")
    bare = _QUOTED.sub("", header)
    return max(_DELIMITERS, key=bare.count)


def _records(lines: _Lines, delimiter: str) -> Iterator[Record | Rejected]:
    """Parse records strictly, and go on after a broken one at its second physical line.

    A lenient parser lets one stray quote swallow the rows up to the next quote or the end of the
    file: people would be left out and nobody told.
    """
    reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True)
    while True:
        line = lines.start_record()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            value = lines.give_up_record().strip()[:_LONGEST_VALUE]
            yield Rejected(line=line, value=value, reason=RowProblem.BROKEN_QUOTES)
            reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True)
            continue
        if cells:
            yield Record(line=line, cells=cells)
