"""``sender campaign report``: what became of a campaign."""

from typing import Annotated

import typer

from sender.cli.incidents import MEANINGS
from sender.cli.opening import Tenant, client_of
from sender.cli.scrubs import scrubbed
from sender.cli.showing import AsJson, console, fields_of, show_json, show_table, shown
from sender.domain.message import State
from sender.storage.alerts import Alert
from sender.storage.reports import CampaignReport, OutcomeCount
from sender.storage.tenants import DEFAULT_NAME

app = typer.Typer()

#: The order in which a message goes through its states.
_ORDER = {state.value: place for place, state in enumerate(State)}


@app.command()
def report(
    ctx: typer.Context,
    campaign: Annotated[int, typer.Argument(metavar="CAMPAIGN", help="Its id.")],
    tenant: Tenant = DEFAULT_NAME,
    json: AsJson = False,
) -> None:
    """What became of it: outcomes with reasons, deliveries, 21610s by cause, alerts."""
    found = client_of(ctx, tenant).campaign(campaign).report()
    if json:
        rates = {"block_rate": found.block_rate, "delivery_rate": found.delivery_rate}
        show_json({**fields_of(found), "blocks": found.blocks, **rates})
    else:
        _show(found)


def _show(found: CampaignReport) -> None:
    why = f": {found.why}" if found.why else ""
    title = f"campaign {found.campaign_id} ({found.name}) from {found.sender} is {found.state}{why}"
    console.print(title, markup=False)
    for word, when in (("started", found.started_at), ("ended", found.completed_at)):
        if when:
            console.print(f"{word} {shown(when)}")
    console.print(
        f"recipients {found.recipients}; left out: {found.duplicates} duplicates, "
        f"{found.rejected} rejected"
    )
    if found.scrub:
        console.print(scrubbed(found.scrub), markup=False)
    console.print()
    rows = [_outcome(one, found.recipients) for one in sorted(found.outcomes, key=_place)]
    columns = ("state", "reason", "code", "messages", "share")
    show_table(columns, rows, empty="it has no messages")
    console.print()
    console.print(
        f"Twilio took {found.accepted} of {found.answers} requests; {found.delivered} delivered "
        f"({found.delivery_rate:.1%} of those)"
    )
    _show_blocks(found)
    if found.alerts:
        show_table(("when", "alert", "21610s", "told"), map(_alert, found.alerts), empty="")
        console.print()
    console.print(f"each recipient, as CSV: sender campaign results {found.campaign_id}")


def _place(one: OutcomeCount) -> tuple[int, int]:
    return _ORDER[one.state], -one.messages


def _outcome(one: OutcomeCount, recipients: int) -> tuple[object, ...]:
    share = f"{one.messages / max(recipients, 1):.1%}"
    return one.state, one.reason, one.code, one.messages, share


def _show_blocks(found: CampaignReport) -> None:
    if not found.blocks:
        console.print("no request met a 21610")
        return
    console.print(f"21610: {found.blocks} of {found.answers} requests ({found.block_rate:.1%})")
    console.print()
    rows = ((cause, count, MEANINGS[cause]) for cause, count in found.causes.items())
    show_table(("cause", "incidents", "what happened"), rows, empty="")
    console.print(f"each of them: sender incidents list --campaign {found.campaign_id}")
    console.print()


def _alert(one: Alert) -> tuple[object, ...]:
    rate = f"{one.detail['blocks']} of {one.detail['answers']}" if "blocks" in one.detail else ""
    told = shown(one.delivered_at) if one.delivered_at else one.error or "nobody yet"
    return one.created_at, one.kind, rate, told
