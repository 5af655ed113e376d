"""``sender intake …``: how STOPs come in, and who is held because some may be missing."""

from typing import Annotated

import typer

from sender.cli.showing import AsJson, Author, console, show_json, show_table, shown
from sender.config import Settings
from sender.intake import Intake
from sender.runtime import Runtime
from sender.storage.intake_records import SenderRecord

app = typer.Typer(help="How STOPs come in, and what may be missing.", no_args_is_help=True)

Sender = Annotated[str, typer.Argument(help="A sender: +1…, a short code, MG…, a name.")]
Reason = Annotated[str, typer.Option(help="Why; kept in the log.")]


def _intake(ctx: typer.Context) -> Intake:
    intake = Runtime(settings=Settings.from_environment()).intake()
    ctx.call_on_close(intake.db.close)
    return intake


@app.command()
def show(ctx: typer.Context, json: AsJson = False) -> None:
    """What must live, and for each sender: how far Twilio's log was read, gap, hold, blindness."""
    report = _intake(ctx).show()
    if json:
        show_json(report)
        return
    show_table(
        ["source", "last sign of life", "state"],
        [(one.source, one.beaten_at, "SILENT" if one.silent else "well") for one in report.sources],
        empty="nothing was started yet",
    )
    columns = ["sender", "tenant", "log read up to", "last webhook", "gap", "held", "blind"]
    show_table(columns, map(_line, report.senders), empty="there are no senders")


def _line(one: SenderRecord) -> tuple[object, ...]:
    gap = f"since {shown(one.gap_since)}: {one.gap_cause}" if one.gap_since else ""
    if one.failures:
        gap = f"{gap} (pull failed {one.failures} times: {one.failure})".strip()
    blind = f"{one.blind}, allowed by {one.allowed_by}" if one.allowed_by else one.blind
    held = "yes" if one.held else ""
    return one.sender, one.tenant, one.pulled_upto, one.last_webhook, gap, held, blind


@app.command()
def release(
    ctx: typer.Context, sender: Sender, author: Author, reason: Reason, json: AsJson = False
) -> None:
    """Let a sender go on although STOPs to it may be missing; Twilio's log is not waited for."""
    released = _intake(ctx).release(sender, author=author, reason=reason)
    if json:
        show_json({"sender": sender, "released": released})
    elif released:
        console.print(f"{sender}: the gap is over by {author}'s word")
    else:
        console.print(f"{sender} was not held because of a gap")


@app.command()
def allow(
    ctx: typer.Context, sender: Sender, author: Author, reason: Reason, json: AsJson = False
) -> None:
    """Have a blind sender go on by itself after a gap, once its tenant's others do."""
    _intake(ctx).allow(sender, author=author, reason=reason)
    if json:
        show_json({"sender": sender, "allowed": True})
    else:
        console.print(f"{sender} goes on after a gap; end that with: sender intake forbid {sender}")


@app.command()
def forbid(ctx: typer.Context, sender: Sender, json: AsJson = False) -> None:
    """Have a blind sender wait for `release` after a gap again."""
    _intake(ctx).forbid(sender)
    if json:
        show_json({"sender": sender, "allowed": False})
    else:
        console.print(f"{sender} waits for a person after a gap")
