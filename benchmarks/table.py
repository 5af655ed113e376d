"""The speed bench's table: what the ratios are, and what each case used."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.figures import FIGURES, Figure, Round, Spread
from benchmarks.measured import Measured


def print_table(facts: Mapping[str, Any], rounds: Sequence[Round]) -> None:
    """Print all of it."""
    console = Console(width=132, highlight=False)
    console.print(
        f"{facts['cores']} cores, {facts['memory_gb']} GB, Python {facts['python']}, PostgreSQL "
        f"{facts['postgres']['version']} on {facts['file_system']}, Redis {facts['redis']}, commit "
        f"{facts['commit'] or 'unknown'}"
    )
    console.print(_figures(rounds))
    console.print(_cases(rounds))
    for one in rounds:
        for measured in one.measured:
            for why in measured.void:
                console.print(f"void: {one.point}, round {one.number}, {measured.case}: {why}")


def _figures(rounds: Sequence[Round]) -> Table:
    table = plain_table(
        "Within a round", "figure", "at", "median", "min to max", "floor", "goal", ""
    )
    for figure in FIGURES:
        if figure.is_of(rounds):
            found = figure.spread(rounds)
            table.add_row(
                figure.name,
                figure.point,
                *_spread(found, 2),
                _limit(figure.floor),
                _limit(figure.goal),
                _verdict(figure, found),
            )
    return table


def _verdict(figure: Figure, found: Spread | None) -> str:
    if figure.misses(figure.floor, found):
        return "BELOW ITS FLOOR" if found else "NO ROUND COUNTS"
    return "below its goal" if figure.misses(figure.goal, found) else ""


def _cases(rounds: Sequence[Round]) -> Table:
    kinds = ("sender", "others", "postgres", "redis (INFO)", "provider")
    table = plain_table(
        "CPU is in µs a message", "at", "case", "msg/s", "min to max", *kinds, "rounds"
    )
    for point in dict.fromkeys(one.point for one in rounds):
        found: dict[str, list[Measured]] = {}
        for one in rounds:
            for measured in one.measured if one.point == point else ():
                found.setdefault(measured.case, []).append(measured)
        for case, every in found.items():
            valid = [one for one in every if not one.void]
            table.add_row(
                point,
                case,
                *_spread(Spread.of([one.rate for one in valid]), 0),
                *(_cpu(valid, kind) for kind in kinds),
                f"{len(valid)} of {len(every)}",
            )
    return table


def _cpu(valid: Sequence[Measured], kind: str) -> str:
    found = Spread.of([one.cpu[kind] for one in valid if kind in one.cpu])
    return f"{found.median:,.0f}" if found else ""


def _spread(found: Spread | None, digits: int) -> tuple[str, str]:
    if found is None:
        return "none", ""
    median, least, most = (
        f"{value:,.{digits}f}" for value in (found.median, found.least, found.most)
    )
    return median, f"{least} to {most}"


def _limit(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def plain_table(title: str, *columns: str) -> Table:
    """An empty table that is Markdown as well."""
    table = Table(title=title, title_justify="left", box=box.MARKDOWN)
    for column in columns:
        is_text = column in {"figure", "at", "case", ""}
        table.add_column(column, justify="left" if is_text else "right", no_wrap=True)
    return table
