"""``sender caps …``: how much one tenant, or one of its senders, may send a day."""

from typing import Annotated

import typer

from sender.cli.opening import Tenant, client_of
from sender.cli.showing import AsJson, console, show_json, show_table
from sender.domain.admission import CAP_ZONE
from sender.storage.tenants import DEFAULT_NAME

app = typer.Typer(
    help="Daily caps, in segments, of a sender or of all of a tenant's together.",
    no_args_is_help=True,
)

OfSender = Annotated[
    str | None, typer.Option("--sender", help="A sender's cap: +1…, a short code, MG…")
]
OfAll = Annotated[
    bool, typer.Option("--all-senders", help="The cap of all of the tenant's senders together.")
]


@app.command("list")
def list_(ctx: typer.Context, tenant: Tenant = DEFAULT_NAME, json: AsJson = False) -> None:
    """The caps, and how much of today is used."""
    found = client_of(ctx, tenant).daily_caps()
    if json:
        show_json({"caps": found})
        return
    columns = ("sender", "segments a day", "used today", "zone", "the day ends")
    rows = (
        (one.sender or "all together", one.segments, one.used, one.zone, one.until) for one in found
    )
    show_table(columns, rows, empty="nothing is capped")


@app.command("set")
def set_(
    ctx: typer.Context,
    segments: Annotated[int, typer.Argument(min=0, help="A day; 0 sends nothing.")],
    sender: OfSender = None,
    all_senders: OfAll = False,
    zone: Annotated[str, typer.Option(help="Where the day ends at midnight.")] = CAP_ZONE,
    tenant: Tenant = DEFAULT_NAME,
    json: AsJson = False,
) -> None:
    """Send no more than so many segments a day; it holds within seconds, for runs under way too."""
    named = _named(sender, all_senders=all_senders)
    client_of(ctx, tenant).set_daily_cap(sender, segments, zone=zone)
    if json:
        show_json({"sender": sender, "segments": segments, "zone": zone})
    else:
        console.print(f"{named}: {segments} segments a day, which ends at midnight in {zone}")


@app.command()
def remove(
    ctx: typer.Context,
    sender: OfSender = None,
    all_senders: OfAll = False,
    tenant: Tenant = DEFAULT_NAME,
    json: AsJson = False,
) -> None:
    """Cap it no more; who rests because of the cap goes on at once."""
    named = _named(sender, all_senders=all_senders)
    client = client_of(ctx, tenant)
    was_capped = any(one.sender == sender for one in client.daily_caps())
    if was_capped:  # or a misspelt sender would be entered
        client.set_daily_cap(sender, None)
    if json:
        show_json({"sender": sender, "removed": was_capped})
    else:
        console.print(f"{named}: {'no cap any more' if was_capped else 'there was no cap'}")


def _named(sender: str | None, *, all_senders: bool) -> str:
    """Whose cap is meant, in words."""
    if all_senders is (sender is not None):
        raise typer.BadParameter("give exactly one of --sender, --all-senders")
    return sender or "all senders together"
