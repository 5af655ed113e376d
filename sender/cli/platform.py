"""``sender platform …``: the operator's own list, which covers every tenant."""

from pathlib import Path
from typing import Annotated

import typer

from sender.cli import suppression as shells
from sender.cli.opening import Number
from sender.cli.showing import AsJson, Author, console, show_json
from sender.config import Settings
from sender.domain.consent import ReasonClass
from sender.optouts import Lift
from sender.runtime import Runtime
from sender.suppression_list import SuppressionList

app = typer.Typer(help="The platform-wide list: it covers every tenant.", no_args_is_help=True)


def _list(ctx: typer.Context) -> SuppressionList:
    chosen = Runtime(settings=Settings.from_environment()).platform()
    ctx.call_on_close(chosen.opt_outs.db.close)
    return chosen


@app.command()
def check(ctx: typer.Context, number: Number, json: AsJson = False) -> None:
    """Whether a number is on the platform-wide list."""
    shells.show_check(_list(ctx), number, as_json=json)


@app.command()
def add(
    ctx: typer.Context,
    number: Number,
    author: Author,
    reason: Annotated[ReasonClass, typer.Option(help="The reason class.")] = ReasonClass.MANUAL,
    evidence: Annotated[str, typer.Option(help="Where it can be found.")] = "",
    json: AsJson = False,
) -> None:
    """Suppress a number for every tenant."""
    shells.added(_list(ctx), number, author, reason, evidence, as_json=json)


@app.command()
def lift(
    ctx: typer.Context,
    number: Number,
    author: Author,
    reason: Annotated[str, typer.Option(help="Why.")],
    evidence: Annotated[str, typer.Option(help="Where it can be found.")],
    override: Annotated[
        bool, typer.Option("--override", help="Lift a complaint or an import too; on record.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Take a number off the platform-wide list; what tenants have on theirs stays."""
    wanted = Lift(author=author, reason=reason, evidence=evidence, override=override)
    shells.lifted(_list(ctx), number, wanted, as_json=json)


@app.command()
def history(ctx: typer.Context, number: Number, json: AsJson = False) -> None:
    """What the platform-wide list has on a number."""
    shells.show_history(_list(ctx), number, as_json=json)


@app.command("import")
def import_(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="CSV, TSV or XLSX with a header.")],
    author: Author,
    region: Annotated[str | None, typer.Option(help="Country of numbers without: US.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count only.")] = False,
) -> None:
    """Suppress everybody on a list for every tenant."""
    chosen = _list(ctx)
    report = chosen.import_list(chosen.open(file, region=region), author=author, dry_run=dry_run)
    show_json({"batch": report.batch_id, "counts": dict(report.counts)})


@app.command()
def export(
    ctx: typer.Context, file: Annotated[Path, typer.Argument(help="Ends with .csv, .tsv or .xlsx.")]
) -> None:
    """Write the platform-wide list to a file."""
    console.print(f"{_list(ctx).export(file)} entries written to {file}")
