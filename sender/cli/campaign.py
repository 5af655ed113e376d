"""``sender campaign …``: watch and steer one tenant's campaigns."""

import csv
import json as json_lines
import sys
from collections.abc import Iterable
from typing import Annotated

import typer

from sender.api import Campaign, Client
from sender.cli import reporting
from sender.cli.opening import Tenant, client_of
from sender.cli.scrubs import scrubbed
from sender.cli.showing import AsJson, console, fields_of, show_json, show_table, shown
from sender.domain.campaign import Progress
from sender.domain.message import State
from sender.storage.campaigns import CampaignSummary, Obstacles, Result
from sender.storage.tenants import DEFAULT_NAME

app = typer.Typer(help="Watch and steer campaigns.", no_args_is_help=True)
app.add_typer(reporting.app)

Id = Annotated[int, typer.Argument(metavar="CAMPAIGN", help="Its id, as `list` shows it.")]
Why = Annotated[str, typer.Option(help="Kept beside its state.")]
By = Annotated[str, typer.Option("--author", help="Who does it; kept beside its state.")]

_COLUMNS = (
    *("line", "recipient", "state", "reason", "provider_status", "provider_code", "sid"),
    *("changed_at", "message_id"),
)
#: The order in which a message goes through its states.
_ORDER = {state.value: place for place, state in enumerate(State)}


def _campaign(ctx: typer.Context, tenant: str, campaign_id: int) -> Campaign:
    return client_of(ctx, tenant).campaign(campaign_id)


@app.command("list")
def list_(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 20,
    tenant: Tenant = DEFAULT_NAME,
    json: AsJson = False,
) -> None:
    """The campaigns, newest first."""
    found = client_of(ctx, tenant).campaigns(limit=limit)
    if json:
        show_json({"campaigns": found})
        return
    columns = ("id", "name", "state", "recipients", "sender", "created")
    rows = (
        (one.id, one.name, _with(one), one.recipients, one.sender, one.created_at) for one in found
    )
    show_table(columns, rows, empty="there is none")


@app.command()
def show(
    ctx: typer.Context, campaign: Id, tenant: Tenant = DEFAULT_NAME, json: AsJson = False
) -> None:
    """How far it is: messages by state and reason, doubts, and what keeps it from sending."""
    client = client_of(ctx, tenant)
    chosen = client.campaign(campaign)
    progress, obstacles = chosen.progress(), chosen.obstacles()
    if json:
        reasons = [
            {"state": state, "reason": reason, "messages": messages}
            for (state, reason), messages in _by_state(progress)
        ]
        counted = {"reasons": reasons, "doubts": progress.doubts, "open": progress.open}
        show_json({**fields_of(progress), **counted, "obstacles": obstacles})
        return
    _show_progress(progress)
    _show_obstacles(obstacles)
    _show_doubts(client, progress)


@app.command()
def pause(
    ctx: typer.Context,
    campaign: Id,
    why: Why = "",
    author: By = "",
    tenant: Tenant = DEFAULT_NAME,
    json: AsJson = False,
) -> None:
    """Begin nothing new from the next window on; what is in flight is finished."""
    _campaign(ctx, tenant, campaign).pause(why=why, author=author)
    _say(f"campaign {campaign} is paused", {"campaign": campaign, "state": "PAUSED"}, json)


@app.command()
def resume(
    ctx: typer.Context,
    campaign: Id,
    author: By = "",
    tenant: Tenant = DEFAULT_NAME,
    json: AsJson = False,
) -> None:
    """Go on where it stood. Nobody is sent it twice."""
    _campaign(ctx, tenant, campaign).resume(author=author)
    _say(f"campaign {campaign} goes on", {"campaign": campaign, "state": "RUNNING"}, json)


@app.command()
def cancel(
    ctx: typer.Context,
    campaign: Id,
    why: Why = "",
    author: By = "",
    tenant: Tenant = DEFAULT_NAME,
    json: AsJson = False,
) -> None:
    """End it for good. What Twilio took and has not passed on is canceled there, too."""
    chosen = _campaign(ctx, tenant, campaign)
    canceled = chosen.cancel(why=why, author=author)
    state = chosen.progress().state
    words = f"campaign {campaign} is {state}; {canceled} messages had not begun and never will"
    more = "what Twilio has not passed on is canceled there within seconds, as far as it lets us"
    _say(f"{words}\n{more}", {"campaign": campaign, "state": state, "canceled": canceled}, json)


@app.command()
def results(
    ctx: typer.Context,
    campaign: Id,
    state: Annotated[State | None, typer.Option(help="Only messages in this state.")] = None,
    tenant: Tenant = DEFAULT_NAME,
    json: Annotated[bool, typer.Option("--json", help="JSON lines instead of CSV.")] = False,
) -> None:
    """What became of each recipient, on stdout in audience order: CSV, or JSON lines."""
    found = _campaign(ctx, tenant, campaign).results(state=state)
    if json:
        for one in found:
            typer.echo(json_lines.dumps(_cells(one)))
    else:
        _write_csv(found)


def _write_csv(found: Iterable[Result]) -> None:
    writer = csv.DictWriter(sys.stdout, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for one in found:
        writer.writerow(_cells(one))


def _cells(one: Result) -> dict[str, object]:
    return {
        "line": one.line,
        "recipient": f"+{one.recipient}",
        "state": one.state,
        "reason": one.reason,
        "provider_status": one.provider_status,
        "provider_code": one.provider_code,
        "sid": one.sid,
        "changed_at": one.changed_at.isoformat(),
        "message_id": str(one.message_id),
    }


def _say(words: str, fields: dict[str, object], as_json: bool) -> None:  # noqa: FBT001  # as typed
    if as_json:
        show_json(fields)
    else:
        console.print(words)


def _show_progress(progress: Progress) -> None:
    state = _with(progress)
    console.print(f"campaign {progress.campaign_id} is {state}", markup=False)
    console.print(
        f"file rows {progress.file_rows} = recipients {progress.recipients} + duplicates "
        f"{progress.duplicates} + rejected {progress.rejected}"
    )
    for word, when in (("started", progress.started_at), ("ended", progress.completed_at)):
        if when:
            console.print(f"{word} {shown(when)}")
    if progress.scrub:
        console.print(scrubbed(progress.scrub), markup=False)
    rows = (
        (state, reason, messages, f"{messages / max(progress.recipients, 1):.1%}")
        for (state, reason), messages in _by_state(progress)
    )
    show_table(("state", "reason", "messages", "share"), rows, empty="it has no messages")


def _by_state(progress: Progress) -> list[tuple[tuple[str, str], int]]:
    return sorted(progress.reasons.items(), key=lambda one: (_ORDER[one[0][0]], one[0][1]))


def _show_obstacles(obstacles: Obstacles) -> None:
    for hold in obstacles.holds:
        by = hold.author or "the program"
        if hold.by_operator:
            by += ", the operator"
        detail = f" ({hold.detail})" if hold.detail else ""
        console.print(f"held on level {hold.level} by {by}: {hold.reason}{detail}", markup=False)
    if obstacles.rests_until:
        because = f": {obstacles.rest_reason}" if obstacles.rest_reason else ""
        until = shown(obstacles.rests_until)
        console.print(f"sender {obstacles.sender} rests until {until}{because}", markup=False)


def _show_doubts(client: Client, progress: Progress) -> None:
    if not progress.doubts:
        return
    found = client.doubts.waiting(campaign=progress.campaign_id)
    since = f" since {shown(found[0].since)}" if found else ""
    more = f"sender doubts list --campaign {progress.campaign_id}"
    console.print(f"{progress.doubts} in doubt or unknown{since}: {more}")


def _with(one: Progress | CampaignSummary) -> str:
    """The state, and why and by whom it came to it."""
    why = f": {one.why}" if one.why else ""
    return f"{one.state}{why}" + (f" (by {one.author})" if one.author else "")
