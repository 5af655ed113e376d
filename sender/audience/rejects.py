"""The rejects file: every row that nobody is texted for, with its line, value and reason."""

import csv
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Protocol

HEADER = ("line", "value", "reason", "first_line")

# A cell that starts with one of these is a formula to a spreadsheet, and the values come from
# strangers. https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


class LeftOutRow(Protocol):
    """A row that became no message: read just now, or stored with its campaign."""

    @property
    def line(self) -> int:
        """Where it stands in the audience."""

    @property
    def value(self) -> str:
        """The number as typed."""

    @property
    def reason(self) -> str:
        """Why it was left out."""


def write_rejects(path: str | PathLike[str], rows: Iterable[LeftOutRow]) -> int:
    """Write rows (``campaign.rejects()``, say) to a new CSV file; how many there were."""
    written = 0
    with rejects_file(path) as write:
        for row in rows:
            write(row)
            written += 1
    return written


@contextmanager
def rejects_file(path: str | PathLike[str]) -> Iterator[Callable[[LeftOutRow], None]]:
    """Open a rejects file and give a function that adds one row, for use while reading.

    UTF-8 with BOM, so that Excel shows it right. A value that a spreadsheet would run as a
    formula gets an apostrophe in front, which our own reader takes off again.
    """
    with Path(path).open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        yield lambda row: writer.writerow(_cells(row))


def _cells(row: LeftOutRow) -> tuple[str, ...]:
    first_line = getattr(row, "first_line", None)
    return str(row.line), _inert(row.value), str(row.reason), str(first_line or "")


def _inert(value: str) -> str:
    return f"'{value}" if value.lstrip(" ").startswith(_FORMULA_STARTS) else value
