"""``sender holds …``: the kill switch and its smaller kin, for the operator."""

from typing import Annotated, Any

import typer

from sender.cli.showing import AsJson, Author, console, show_json, show_table
from sender.config import Settings
from sender.holding import SHOWN, Holds
from sender.runtime import Runtime
from sender.storage.holds import OF_RECOVERY, HoldRecord, Level

app = typer.Typer(
    help="What stops a campaign, a sender, a tenant or everything.", no_args_is_help=True
)

All = Annotated[bool, typer.Option("--all", help="Everything of everybody: the kill switch.")]
OfTenant = Annotated[str | None, typer.Option("--tenant", help="A tenant, by name.")]
OfSender = Annotated[str | None, typer.Option("--sender", help="A sender: +1…, a short code, MG…")]
OfCampaign = Annotated[int | None, typer.Option("--campaign", help="A campaign, by id.")]
Reason = Annotated[str, typer.Option(help="Why; kept in the log.")]


def _holds(ctx: typer.Context) -> Holds:
    holds = Runtime(settings=Settings.from_environment()).platform_holds()
    ctx.call_on_close(holds.db.close)
    return holds


@app.command("list")
def list_(
    ctx: typer.Context,
    lifted: Annotated[bool, typer.Option("--lifted", help="Those that were lifted, too.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = SHOWN,
    json: AsJson = False,
) -> None:
    """The holds in force, newest first: on what, why, by whom."""
    holds = _holds(ctx)
    found = holds.history(limit=limit) if lifted else holds.in_force(limit=limit)
    if json:
        show_json({"holds": found})
        return
    columns = ["on", "reason", "by", "since"] + ["lifted"] * lifted
    rows = (_line(one)[: len(columns)] for one in found)
    show_table(columns, rows, empty="nothing is held")


def _line(one: HoldRecord) -> tuple[object, ...]:
    lifted = one.released_at and (
        f"{one.released_at:%Y-%m-%d %H:%M} by {one.released_by}"
        + (f": {one.release_reason}" if one.release_reason else "")
    )
    reason = f"{one.reason}: {one.detail}" if one.detail else one.reason
    by = one.author or "(the program)"
    if one.by_operator:
        by += " (operator)"
    return _on(one), reason, by, one.held_at, lifted


def _on(one: HoldRecord) -> str:
    match one.level:
        case Level.ALL:
            return "everything"
        case Level.CAMPAIGN:
            return f"campaign {one.subject} ({one.name})"
        case _:
            return f"{one.level} {one.name}"


@app.command()
def place(
    ctx: typer.Context,
    author: Author,
    reason: Reason,
    everything: All = False,
    tenant: OfTenant = None,
    sender: OfSender = None,
    campaign: OfCampaign = None,
    json: AsJson = False,
) -> None:
    """Stop it from the next window on, within a second or two; what is in flight is finished."""
    on, words = _exactly_one(everything, tenant, sender, campaign)
    new = _holds(ctx).place(reason=reason, author=author, **on)
    if json:
        show_json({**on, "held": True, "new": new})
    elif new:
        console.print(f"{words} is held; end it with: sender holds release {_option(on)}")
    else:
        console.print(f"{words} was held for that reason already")


@app.command()
def release(
    ctx: typer.Context,
    author: Author,
    reason: Reason,
    everything: All = False,
    tenant: OfTenant = None,
    sender: OfSender = None,
    campaign: OfCampaign = None,
    only: Annotated[
        str | None, typer.Option(help="Only the hold whose reason is this, as `list` shows it.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Lift the holds on it, once what caused them is put right. Nobody is sent anything twice."""
    on, words = _exactly_one(everything, tenant, sender, campaign)
    holds = _holds(ctx)
    lifted = holds.release(reason=reason, author=author, only=only, **on)
    if json:
        show_json({**on, "lifted": lifted})
        return
    if lifted:
        console.print(f"{words}: {lifted} {'hold' if lifted == 1 else 'holds'} lifted")
    else:
        console.print(f"{words} was not held{' for that reason' if only else ''}")
    for one in holds.in_force():
        if one.reason in OF_RECOVERY:
            console.print(f"{_on(one)} stays held ({one.reason}): only `sender recover` lifts it")


def _exactly_one(
    everything: bool,  # noqa: FBT001  # an option as it was typed
    tenant: str | None,
    sender: str | None,
    campaign: int | None,
) -> tuple[dict[str, Any], str]:
    """What is named, for the API and in words."""
    named: dict[str, Any] = {"tenant": tenant, "sender": sender, "campaign": campaign}
    on = {level: name for level, name in named.items() if name is not None}
    if everything:
        on["everything"] = True
    if len(on) != 1:
        raise typer.BadParameter("give exactly one of --all, --tenant, --sender, --campaign")
    ((level, name),) = on.items()
    return on, "everything" if everything else f"{level} {name}"


def _option(on: dict[str, Any]) -> str:
    ((level, name),) = on.items()
    return "--all" if level == "everything" else f"--{level} {name}"
