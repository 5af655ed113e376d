"""The rejects file: every row that nobody is texted for, with its line, value and reason."""

import csv
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

from sender.audience.rows import Duplicate, Rejected

HEADER = ("line", "value", "reason", "first_line")

# A cell that starts with one of these is a formula to a spreadsheet, and the values come from
# strangers. https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def write_rejects(path: str | PathLike[str], rows: Iterable[Rejected | Duplicate]) -> int:
    """Write all rows to a new CSV file and return how many there were."""
    written = 0
    with rejects_file(path) as write:
        for row in rows:
            write(row)
            written += 1
    return written


@contextmanager
def rejects_file(path: str | PathLike[str]) -> Iterator[Callable[[Rejected | Duplicate], None]]:
    """Open a rejects file and give a function that adds one row, for use while reading.

    UTF-8 with BOM, so that Excel shows it right. A value that a spreadsheet would run as a
    formula gets an apostrophe in front, which our own reader takes off again.
    """
    with Path(path).open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        yield lambda row: writer.writerow(_cells(row))


def _cells(row: Rejected | Duplicate) -> tuple[str, ...]:
    first_line = str(row.first_line) if isinstance(row, Duplicate) else ""
    return str(row.line), _inert(row.value), row.reason.value, first_line


def _inert(value: str) -> str:
    return f"'{value}" if value.lstrip(" ").startswith(_FORMULA_STARTS) else value
