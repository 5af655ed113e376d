"""``sender trace``: everything about one recipient."""

import typer

from sender.cli.opening import Number, Tenant, client_of
from sender.cli.showing import AsJson, console, fields_of, show_json, show_table
from sender.cli.timelines import show_timeline
from sender.domain.story import MessageStory, summary
from sender.storage.tenants import DEFAULT_NAME
from sender.tracing import RecipientTrace

app = typer.Typer()


@app.command()
def trace(
    ctx: typer.Context, number: Number, tenant: Tenant = DEFAULT_NAME, json: AsJson = False
) -> None:
    """Everything about one recipient, across campaigns: why sent, why not, and when."""
    found = client_of(ctx, tenant).trace(number)
    if json:
        messages = [{**fields_of(one), "why": one.why} for one in found.messages]
        show_json({**fields_of(found), "number": number, "messages": messages})
    else:
        _show(number, found)


def _show(number: str, found: RecipientTrace) -> None:
    because = ", ".join(dict.fromkeys(one.reason.value for one in found.suppressed_by))
    state = f"is suppressed: {because}" if because else "may be texted"
    console.print(f"{number} {state}", markup=False)
    if found.messages:
        console.print(summary(found.messages))
        console.print()
        columns = ("in", "campaign", "since", "why")
        show_table(columns, map(_line, found.messages), empty="")
    if found.messages_kept_since:
        since = f"{found.messages_kept_since:%Y-%m-%d}"
        console.print(f"messages of campaigns created before {since} were deleted (retention)")
    console.print()
    show_timeline(found.timeline, campaigns=True)


def _line(one: MessageStory) -> tuple[object, ...]:
    return one.campaign_id, one.campaign, one.changed_at, one.why
