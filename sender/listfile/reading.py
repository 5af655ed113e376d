"""A file of opt-outs: CSV, TSV or XLSX, or rows from a program, read as they are asked for."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from os import PathLike
from pathlib import Path
from typing import Any

from python_calamine import CalamineError, CalamineWorkbook

from sender.audience.csv_file import CsvTable, Record
from sender.audience.layout import known_region
from sender.audience.rows import Rejected
from sender.domain.phone import InvalidNumber, canonical, digits
from sender.errors import InvalidAudience, InvalidList
from sender.listfile.cells import without_guard
from sender.listfile.columns import Columns, Role
from sender.listfile.rows import (
    ALL,
    ListRow,
    Status,
    read_evidence,
    read_reason,
    read_status,
    read_time,
)

_XLSX = b"PK\x03\x04"
_DIGEST_BLOCK = 1 << 20
_SHOWN = 60  # characters of a rejected cell


class RowReject(StrEnum):
    """Why a row is no opt-out of anybody."""

    #: Not a telephone number, or without its country.
    NUMBER = "number"
    #: Not a time.
    TIME = "time"
    #: Day or month first? Say which with ``day_first``.
    AMBIGUOUS_DATE = "ambiguous_date"
    #: A time that has not come yet.
    FUTURE = "future"
    #: Not a row of the table: broken quotes.
    BROKEN = "broken"
    #: None of the tenant's senders has this address.
    SENDER = "sender"


@dataclass(frozen=True, kw_only=True, slots=True)
class RejectedRow:
    """A row that was left out."""

    line: int
    value: str
    reason: RowReject


@dataclass(frozen=True, kw_only=True)
class ListFile:
    """A list that can be read again and again."""

    name: str
    #: ``csv`` with its delimiter and encoding, ``xlsx``, or ``rows``.
    format: str
    #: SHA-256 of the file as it is; of the rows, where there is no file.
    digest: bytes
    columns: Columns
    region: str | None
    day_first: bool | None
    _cells: Callable[[], Iterator[Record | Rejected]]

    def rows(self, *, now: datetime | None = None) -> Iterator[ListRow | RejectedRow]:
        """Every row, read; what cannot be is a reject with its line, value and reason."""
        now = now or datetime.now(UTC)
        for record in self._cells():
            if isinstance(record, Rejected):
                yield RejectedRow(
                    line=record.line, value=record.value[:_SHOWN], reason=RowReject.BROKEN
                )
            else:
                yield self._row(record, now)

    def _row(self, record: Record, now: datetime) -> ListRow | RejectedRow:
        cells = [without_guard(cell) for cell in record.cells]
        typed = self.columns.cell(cells, Role.NUMBER) or ""
        recipient = _number(typed, self.region)
        if recipient is None:
            return _rejected(record.line, typed, RowReject.NUMBER)
        said = self.columns.cell(cells, Role.SINCE) or ""
        try:
            since = read_time(said, day_first=self.day_first)
        except ValueError as exc:
            why = RowReject.AMBIGUOUS_DATE if str(exc) == "ambiguous" else RowReject.TIME
            return _rejected(record.line, said, why)
        if since is not None and since > now:
            return _rejected(record.line, said, RowReject.FUTURE)
        return self._read(record.line, cells, recipient, since)

    def _read(
        self, line: int, cells: Sequence[str], recipient: int, since: datetime | None
    ) -> ListRow:
        reason, word = read_reason(self.columns.cell(cells, Role.REASON) or "")
        evidence = read_evidence(self.columns.cell(cells, Role.EVIDENCE) or "")
        status = self.columns.cell(cells, Role.STATUS)
        return ListRow(
            line=line,
            recipient=recipient,
            reason=reason,
            since=since,
            scope=_scope(self.columns.cell(cells, Role.SCOPE) or ""),
            status=self._status(status),
            author=self.columns.cell(cells, Role.AUTHOR),
            evidence={**evidence, "reason": word} if word else evidence,
        )

    def _status(self, cell: str | None) -> Status:
        if cell is None:
            return Status.OPTED_OUT
        return read_status(cell, header=self.columns.name(Role.STATUS))


def _scope(cell: str) -> str:
    said = cell.strip()
    return ALL if said.casefold() in {"", ALL} else said


def _rejected(line: int, value: str, reason: RowReject) -> RejectedRow:
    return RejectedRow(line=line, value=value[:_SHOWN], reason=reason)


def _number(typed: str, region: str | None) -> int | None:
    """A number as any campaign reads it; one that is none of a mobile, if it has its country."""
    plain = typed.removeprefix("tel:")
    found = canonical(plain, region=region)
    if not isinstance(found, InvalidNumber):
        return found.digits
    try:
        return digits(plain) if plain.strip().startswith("+") else None
    except ValueError:
        return None


def open_list(
    source: str | PathLike[str] | Iterable[Mapping[str, Any]],
    *,
    columns: Mapping[Role, str] | None = None,
    region: str | None = None,
    day_first: bool | None = None,
) -> ListFile:
    """Open a list: find its format and which column says what.

    Args:
        source: the path of a CSV, TSV or XLSX file with a header, or rows (mappings of header to
            value), which are held in memory.
        columns: headers that are not found by themselves.
        region: ISO 3166 code for numbers without their country.
        day_first: whether 03/04/2025 is the third of April.

    Raises:
        InvalidList: it is no such file, or has no column of numbers.
        OSError: it cannot be read.
    """
    try:
        region = known_region(region)
        opened = _from_path(Path(source)) if isinstance(source, str | PathLike) else _of(source)
        found = Columns.from_header(opened.header, columns or {})
    except InvalidAudience as exc:
        raise InvalidList(str(exc)) from exc
    return ListFile(
        name=opened.name,
        format=opened.format,
        digest=opened.digest,
        columns=found,
        region=region,
        day_first=day_first,
        _cells=opened.cells,
    )


@dataclass(frozen=True, kw_only=True)
class _Opened:
    name: str
    format: str
    digest: bytes
    header: Sequence[str]
    cells: Callable[[], Iterator[Record | Rejected]]


def _from_path(path: Path) -> _Opened:
    digest, start = _digest(path)
    if start == _XLSX:
        rows = _sheet(path)
        return _Opened(
            name=path.name,
            format="xlsx",
            digest=digest,
            header=next(rows(), Record(line=1, cells=[])).cells,
            cells=lambda: _after_first(rows()),
        )
    if b"\0" in start and start[:2] not in {b"\xff\xfe", b"\xfe\xff"}:
        raise InvalidList(f"{path.name} is neither CSV nor XLSX")
    table = CsvTable.from_source(path)
    described = f"csv, {table.delimiter!r}, {table.file.encoding}"
    return _Opened(
        name=path.name, format=described, digest=digest, header=table.header, cells=table.rows
    )


def _digest(path: Path) -> tuple[bytes, bytes]:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        start = file.read(4)
        digest.update(start)
        while block := file.read(_DIGEST_BLOCK):
            digest.update(block)
    return digest.digest(), start


def _sheet(path: Path) -> Callable[[], Iterator[Record]]:
    """The first sheet's rows, read as they are asked for."""

    def rows() -> Iterator[Record]:
        try:
            sheet = CalamineWorkbook.from_path(str(path)).get_sheet_by_index(0)
        except CalamineError as exc:
            raise InvalidList(f"{path.name} cannot be read as XLSX: {exc}") from exc
        for line, cells in enumerate(sheet.iter_rows(), 1):
            texts = [_text(cell) for cell in cells]
            if any(texts):
                yield Record(line=line, cells=texts)

    return rows


def _after_first(rows: Iterator[Record]) -> Iterator[Record]:
    next(rows, None)
    yield from rows


def _text(value: object) -> str:
    """A cell as text: spreadsheets keep numbers as floats, and dates as dates."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime | date):
        return value.isoformat()
    return "" if value is None else str(value)


def _of(source: Iterable[Mapping[str, Any]]) -> _Opened:
    rows = [dict(row) for row in source]
    header = list(dict.fromkeys(name for row in rows for name in row))
    records = [
        Record(line=line, cells=[_text(row.get(name)) for name in header])
        for line, row in enumerate(rows, 1)
    ]
    digest = hashlib.sha256(repr([record.cells for record in records]).encode()).digest()
    return _Opened(
        name="rows", format="rows", digest=digest, header=header, cells=lambda: iter(records)
    )
