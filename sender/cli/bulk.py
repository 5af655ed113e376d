"""``sender suppression import | batches | undo | export | push``: the list in bulk."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sender.audience import write_rejects
from sender.cli.opening import Tenant, list_of
from sender.cli.showing import FAILED, AsJson, Author, console, show_json, show_table, shown
from sender.config import Settings
from sender.importing import Preview, Report
from sender.listfile import ListFile, ListRow, Role
from sender.pushing import PushPlan, PushReport
from sender.runtime import Runtime
from sender.storage.tenants import DEFAULT_NAME

app = typer.Typer()


@app.command("import")
def import_(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="CSV, TSV or XLSX with a header.")],
    author: Author,
    region: Annotated[str | None, typer.Option(help="Country of numbers without: US.")] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="Name a column: number=Kontakt, since=When …")
    ] = None,
    day_first: Annotated[
        bool | None, typer.Option("--day-first/--month-first", help="What 03/04/2025 means.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count only; write nothing.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Even if it was imported.")] = False,
    rejects: Annotated[
        Path | None, typer.Option(help="Write the first 1,000 rejected rows to this file.")
    ] = None,
    tenant: Tenant = DEFAULT_NAME,
    json: AsJson = False,
) -> None:
    """Suppress everybody on a list; it never opts anybody in."""
    chosen = list_of(ctx, tenant)
    opened = chosen.open(file, columns=_columns(column or []), region=region, day_first=day_first)
    if not json:
        _show_preview(chosen.preview(opened))
    total = None if json else sum(1 for _ in opened.rows())
    with _bar(total) as progress:
        report = chosen.import_list(
            opened, author=author, dry_run=dry_run, again=again, progress=progress
        )
    if rejects is not None:
        write_rejects(rejects, report.rejects)
    _show_report(report, opened, as_json=json)


@app.command()
def batches(ctx: typer.Context, tenant: Tenant = DEFAULT_NAME, json: AsJson = False) -> None:
    """All imports: who brought them, what became of their rows, whether they were undone."""
    found = list_of(ctx, tenant).batches()
    if json:
        show_json({"batches": found})
        return
    rows = (
        (one.id, one.created_at, one.author, one.source_name, one.counts, one.undone_at)
        for one in found
    )
    columns = ("batch", "at", "author", "file", "rows", "undone")
    show_table(columns, rows, empty="nothing was imported")


@app.command()
def undo(
    ctx: typer.Context,
    batch: Annotated[int, typer.Argument(help="The batch, as `batches` shows it.")],
    author: Author,
    reason: Annotated[str, typer.Option(help="Why.")],
    tenant: Tenant = DEFAULT_NAME,
    json: AsJson = False,
) -> None:
    """Take an import back: nothing but what came with it."""
    undone = list_of(ctx, tenant).undo_import(batch, author=author, reason=reason)
    if json:
        show_json({"batch": batch, "undone": undone})
    else:
        console.print(f"{undone} opt-outs undone; who is suppressed otherwise stays so")


@app.command()
def export(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="Ends with .csv, .tsv or .xlsx.")],
    tenant: Tenant = DEFAULT_NAME,
    json: AsJson = False,
) -> None:
    """Write the list to a file that `import` reads back without loss."""
    written = list_of(ctx, tenant).export(file)
    if json:
        show_json({"file": str(file), "entries": written})
    else:
        console.print(f"{written} entries written to {file}")


@app.command()
def push(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what there is.")] = False,
    tenant: Tenant = DEFAULT_NAME,
    json: AsJson = False,
) -> None:
    """Tell Twilio's Consent API of our opt-outs, 25 a call, 100 calls a minute."""
    runtime = Runtime(settings=Settings.from_environment())
    with _bar(None) as progress:
        done = asyncio.run(runtime.push_opt_outs(tenant, dry_run=dry_run, progress=progress))
    if json:
        show_json(done)
    elif isinstance(done, PushPlan):
        show_table(("opt-outs", "sender"), ((n, s) for s, n in done.items.items()), empty="none")
        console.print(f"dry run: {done.calls} calls, about {done.minutes} minutes")
    else:
        console.print(f"told {done.told}, left over {done.left_over}")
        show_table(("refused", "because"), ((n, w) for w, n in done.refused.items()), empty="")
    if isinstance(done, PushReport) and (done.left_over or done.refused):
        raise typer.Exit(FAILED)


def _columns(named: list[str]) -> dict[Role, str]:
    roles = {role.value: role for role in Role}
    found: dict[Role, str] = {}
    for text in named:
        role, _, header = text.partition("=")
        if role not in roles or not header:
            raise typer.BadParameter(f"{text!r}: write one of {', '.join(roles)} = a header")
        found[roles[role]] = header
    return found


def _show_preview(preview: Preview) -> None:
    console.print(f"format: {preview.format}")
    show_table(("column", "is taken for"), preview.columns.items(), empty="")
    rows = (
        (row.line, f"+{row.recipient}", row.reason, row.since, row.scope, row.status)
        if isinstance(row, ListRow)
        else (row.line, row.value, f"rejected: {row.reason}", None, "", "")
        for row in preview.rows
    )
    columns = ("line", "number", "reason", "since", "scope", "status")
    show_table(columns, rows, empty="the list has no rows")


@contextmanager
def _bar(total: int | None) -> Iterator[Callable[[int], object]]:
    """A bar that is told how many rows are done; none where nobody looks."""
    if total is None:
        yield lambda _: None
        return
    columns = (TextColumn("rows"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("rows", total=total)
        yield lambda done: bar.update(task, completed=done)


def _show_report(report: Report, opened: ListFile, *, as_json: bool) -> None:
    if as_json:
        digest = opened.digest.hex()
        show_json(
            {
                "batch": report.batch_id,
                "file_sha256": digest,
                "counts": dict(report.counts),
                "enforced": report.enforced,
                "rejects": report.rejects[:20],
            }
        )
        return
    show_table(("rows", ""), ((n, name) for name, n in report.counts.items()), empty="no rows")
    for row in report.rejects[:5]:
        console.print(f"line {row.line}: {shown(row.value)!r} ({row.reason})", markup=False)
    if report.batch_id is None:
        console.print("dry run: nothing was written")
    else:
        console.print(f"batch {report.batch_id}; `sender suppression undo` takes it back")
    if not report.enforced:
        console.print("some have a message under way: the consumer finishes their enforcement")
