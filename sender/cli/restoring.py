"""``sender recover``: after a restore from a backup."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated

import typer

from sender.cli.showing import FAILED, AsJson, console, show_json, show_table, shown
from sender.config import Settings
from sender.restoring import RecoveryPlan, RecoveryReport
from sender.runtime import Runtime

app = typer.Typer()


@app.command()
def recover(
    yes: Annotated[bool, typer.Option("--yes", help="Do it; otherwise only say what.")] = False,
    author: Annotated[str, typer.Option(help="Who does it; kept beside the hold.")] = "",
    since: Annotated[
        datetime | None,
        typer.Option(help="When the backup was made (UTC), where nothing else shows a restore."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Settle what a restored database has lost, by Twilio's log; then let it send again.

    Everything that may have been sent since the backup is in doubt from then on, and is never sent
    again. STOPs that came since are fetched and in force. Tenants whose log cannot be read stay
    held, by themselves; then the exit code is 1, and another run goes on with them.
    """
    if yes and not author.strip():
        raise typer.BadParameter("a recovery has an author: --author")
    runtime = Runtime(settings=Settings.from_environment())
    found = asyncio.run(
        runtime.recover(
            author=author,
            since=since and since.replace(tzinfo=UTC),
            dry_run=not yes,
            say=_silent if json else console.print,
        )
    )
    if json:
        show_json(found)
    elif isinstance(found, RecoveryPlan):
        _show_plan(found, since)
    else:
        _show_report(found)
    if isinstance(found, RecoveryReport) and found.left_out:
        raise typer.Exit(FAILED)


def _silent(_: str) -> None:
    """For programs."""


def _show_plan(plan: RecoveryPlan, since: datetime | None) -> None:
    console.print(f"This is {plan.why}.")
    console.print(f"Lost is the time since {shown(plan.since)}.")
    if plan.whole:
        _show_campaigns(plan)
    console.print(f"Twilio's log would be read for: {', '.join(plan.tenants) or 'nobody'}.")
    again = f' --since "{since:%Y-%m-%d %H:%M:%S}"' if since else ""
    console.print(f"Nothing was changed. `sender recover --yes --author …{again}` does it.")


def _show_campaigns(plan: RecoveryPlan) -> None:
    show_table(
        ["campaign", "name", "state", "to be in doubt"],
        [(one.id, one.name, one.state, one.messages) for one in plan.campaigns],
        empty="No message can have been sent since.",
    )
    console.print(
        f"{plan.messages} messages would be in doubt and never sent, but for what Twilio's log "
        "proves."
    )


def _show_report(report: RecoveryReport) -> None:
    found = ", ".join(f"{state} {count}" for state, count in sorted(report.found.items()))
    console.print(f"Since {shown(report.since)}: found at Twilio: {found or 'nothing'}.")
    console.print(
        f"Received {report.inbound}, opt-outs among them {report.opt_outs}, in force now."
    )
    if report.unexplained:
        console.print(
            f"{report.unexplained} messages at Twilio are of none that is known here: campaigns "
            "that were lost. Do not create those again."
        )
    left = "Some" if report.left_in_doubt is None else report.left_in_doubt
    console.print(
        f"{left} messages stay in doubt: they may have been sent or not, and are "
        "not sent again by us."
    )
    for name, why in report.left_out.items():
        console.print(f"{name} stays held, its log could not be read: {why}", markup=False)
    if report.left_out:
        console.print("The others' sending goes on. Put that right, and run it again.")
    else:
        console.print("Sending goes on.")
