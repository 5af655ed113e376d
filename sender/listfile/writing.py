"""A list as a file: the same bytes for the same list, no formulas, nothing lost."""

import csv
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

from xlsxwriter import Workbook

from sender.errors import InvalidList
from sender.listfile.cells import guarded

#: How a list can be written, by the ending of the file's name.
FORMATS: Final = ("csv", "tsv", "xlsx")
_DELIMITERS: Final = {"csv": ",", "tsv": "\t"}
HEADER: Final = ("number", "scope", "reason", "since", "author", "evidence")
#: What a sheet holds, its header included.
_LONGEST_SHEET: Final = 1_048_576


class Entry(Protocol):
    """An entry of a suppression list."""

    @property
    def recipient(self) -> int:
        """E.164 digits."""

    @property
    def scope(self) -> str:
        """``all``, or a sender's address."""

    @property
    def reason(self) -> str:
        """The reason class."""

    @property
    def since(self) -> datetime | None:
        """When they opted out, by the provider's clock; ``None`` if that is unknown."""

    @property
    def author(self) -> str:
        """Who put them there by hand; empty for what they did themselves."""

    @property
    def evidence(self) -> dict[str, str]:
        """What it rests on."""


def write_list(path: Path, entries: Iterable[Entry], *, file_format: str) -> int:
    """Write a list, streamed; how many entries.

    Raises:
        InvalidList: no such format, or too many entries for a sheet.
        OSError: the file cannot be written.
    """
    if file_format == "xlsx":
        return _write_sheet(path, entries)
    if file_format not in _DELIMITERS:
        raise InvalidList(f"a list is written as one of: {', '.join(FORMATS)}")
    written = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=_DELIMITERS[file_format], lineterminator="\n")
        writer.writerow(HEADER)
        for written, entry in enumerate(entries, 1):  # noqa: B007  # the count is the result
            writer.writerow(map(guarded, _cells(entry)))
    return written


def _cells(entry: Entry) -> tuple[str, ...]:
    since = "" if entry.since is None else entry.since.astimezone(UTC).isoformat()
    evidence = json.dumps(entry.evidence, sort_keys=True, ensure_ascii=False)
    return (
        # RFC 3966: text to a spreadsheet, which would take +1415… for a formula or a number.
        f"tel:+{entry.recipient}",
        entry.scope,
        entry.reason,
        since,
        entry.author,
        evidence if entry.evidence else "",
    )


def _write_sheet(path: Path, entries: Iterable[Entry]) -> int:
    written = 0
    with Workbook(str(path), {"constant_memory": True}) as book:
        sheet = book.add_worksheet("suppression")
        for column, name in enumerate(HEADER):
            sheet.write_string(0, column, name)
        for written, entry in enumerate(entries, 1):  # the count is the result
            if written >= _LONGEST_SHEET:
                raise InvalidList("more entries than a sheet holds: write csv")
            # Text already, but whoever saves the sheet as CSV must get no formulas either.
            for column, cell in enumerate(map(guarded, _cells(entry))):
                sheet.write_string(written, column, cell)
    return written
