"""``sender retention …``: for the operator."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Annotated

import typer

from sender.assembly import retention
from sender.cli.showing import AsJson, Author, console, fields_of, show_json, show_table
from sender.config import Settings
from sender.retention import Retention
from sender.storage.retention import Month

app = typer.Typer(help="Messages that are old enough to be deleted.", no_args_is_help=True)

Days = Annotated[
    int | None,
    typer.Option("--days", help="How long messages are kept; default SENDER_KEEP_MESSAGES_DAYS."),
]


def _retention(ctx: typer.Context) -> Retention:
    chosen = retention(Settings.from_environment())
    ctx.call_on_close(chosen.db.close)
    return chosen


@app.command()
def show(ctx: typer.Context, days: Days = None, json: AsJson = False) -> None:
    """The months there are, and which would be deleted. Changes nothing."""
    _show(_retention(ctx).months(_age(days)), as_json=json)


@app.command()
def run(
    ctx: typer.Context,
    author: Author,
    days: Days = None,
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it, only say what.")] = False,
    json: AsJson = False,
) -> None:
    """Delete whole months of messages; without --yes it only says which.

    Campaigns, their counts, consent, suppressions, incidents and verdicts stay.
    """
    chosen, age = _retention(ctx), _age(days)
    if not yes:
        _show(chosen.months(age), as_json=json)
        return
    done = chosen.run(age, author=author)
    if json:
        show_json(fields_of(done))
        return
    console.print(
        f"{done.months} months with {done.messages} messages deleted, "
        f"{done.receipts} receipts and {done.alarms} alarms"
    )


def _age(days: int | None) -> timedelta | None:
    return None if days is None else timedelta(days=days)


def _show(found: Sequence[Month], *, as_json: bool) -> None:
    if as_json:
        show_json({"months": [_plain(month) for month in found]})
        return
    rows = ((one.partition.name, one.partition.until, one.messages, _verdict(one)) for one in found)
    show_table(("month", "until", "messages", "verdict"), rows, empty="there is none")


def _plain(month: Month) -> dict[str, object]:
    return {
        "name": month.partition.name,
        "until": month.partition.until,
        "messages": month.messages,
        "campaigns_in_use": month.campaigns_in_use,
        "doubts": month.doubts,
        "open_slices": month.open_slices,
        "may_go": month.may_go,
    }


def _verdict(month: Month) -> str:
    if month.may_go:
        return "may go"
    return "stays: " + ", ".join(_reasons(month))


def _reasons(month: Month) -> Iterator[str]:
    if not month.is_old:
        yield "not old enough"
    if month.campaigns_in_use:
        yield f"{month.campaigns_in_use} campaigns not over, or not for so long"
    if month.open_slices:
        yield f"{month.open_slices} slices open"
    if month.doubts:
        yield f"{month.doubts} messages in doubt"
