"""How results are shown: tables for people, one JSON object for programs."""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sender.domain.phone import mask

#: Exit codes: 0 done, 1 failed, 2 wrong usage (typer's own).
FAILED = 1

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")]
Author = Annotated[str, typer.Option(help="Who does it; kept in the log.")]
Reveal = Annotated[bool, typer.Option("--reveal", help="Show whole numbers.")]

#: Columns that are kept in one line, whatever else has to be folded.
_WHOLE = frozenset(
    {"when", "since", "at", "number", "review", "batch", "id", "created", "message", "age"}
    | {"time", "clock", "cause", "log read to", "last webhook", "sign of life"}
)
#: Columns of figures.
_FIGURES = frozenset({"messages", "recipients", "checks", "share", "incidents"})

console = Console(highlight=False)


def show_json(content: object) -> None:
    """One JSON object on stdout."""
    typer.echo(json.dumps(content, default=_plain, ensure_ascii=False, indent=2))


def fields_of(value: Any) -> dict[str, Any]:
    """A dataclass's fields by name, as they are."""
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def number_shown(recipient: int, *, reveal: bool) -> str:
    """A person's number in a list: whole only for who asks, for lists are copied and pasted."""
    return f"+{recipient}" if reveal else mask(recipient)


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return fields_of(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, frozenset | set | tuple):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """A table, or what to say instead of an empty one."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        justify: Literal["right", "left"] = "right" if column in _FIGURES else "left"
        table.add_column(column, overflow="fold", no_wrap=column in _WHOLE, justify=justify)
    for row in rows:
        table.add_row(*(escape(shown(cell)) for cell in row))
    if table.row_count:
        console.print(table)
    else:
        console.print(empty)


def show_facts(facts: Iterable[tuple[str, object]]) -> None:
    """What is known about one thing, a line each."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(escape(name), escape(shown(value)))
    console.print(table)


def shown(value: Any) -> str:
    """A value as people read it: times to the second, with their zone; nothing as nothing."""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S%z}".replace("+0000", "Z")
    if isinstance(value, Mapping):
        return "  ".join(f"{name}: {shown(one)}" for name, one in value.items())
    return "" if value is None else str(value)
