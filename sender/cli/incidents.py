"""``sender incidents …``: 21610s that got past the suppression list, and why."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from sender.cli.opening import Tenant, age_of, client_of
from sender.cli.showing import (
    AsJson,
    console,
    fields_of,
    number_shown,
    show_facts,
    show_json,
    show_table,
    shown,
)
from sender.cli.timelines import show_timeline
from sender.domain.incident import Because, Cause
from sender.storage.stories import Incident
from sender.storage.tenants import DEFAULT_NAME
from sender.tracing import IncidentCase

app = typer.Typer(help="21610s that got past the suppression list, and why.", no_args_is_help=True)

#: Lines of a list for people; programs get all.
_SHOWN = 50
#: Milliseconds from which on a time is told in whole seconds, minutes, hours.
_SECOND, _MINUTE, _HOUR = 1_000, 60_000, 3_600_000

Reveal = Annotated[bool, typer.Option("--reveal", help="Show whole numbers.")]

#: What each cause means, in a sentence.
MEANINGS = {
    Cause.RACED_STOP: "their STOP and our request crossed",
    Cause.WEBHOOK_MISSED: "Twilio had their STOP in time, and its webhook did not tell us",
    Cause.IMPORTED_OPTED_OUT: "they were blocked before we ever texted them",
    Cause.OTHER_SENDER: "they opted out from another sender, or another system",
    Cause.LIFTED_BY_HAND: "our suppression was lifted by hand; Twilio's block was not",
    Cause.LIST_LOST_DATA: "our list said suppressed, yet the guard let it pass: report this",
    Cause.UNKNOWN: "nothing on record explains it",
}
#: What led to a cause.
REASONS = {
    Because.OPENED: "what was known when we were told",
    Because.STOP_RECEIVED: "their STOP reached us",
    Because.KEYWORD_DATED: "Twilio told when it had received their word",
    Because.PROVIDER_LOG: "Twilio's log was asked",
}


@app.command("list")
def list_(
    ctx: typer.Context,
    campaign: Annotated[int | None, typer.Option(help="Only this campaign's.")] = None,
    cause: Annotated[Cause | None, typer.Option(help="Only those put down to this.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="AGE", help="Only younger ones: 30m, 36h, 2d.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 1000,
    reveal: Reveal = False,
    tenant: Tenant = DEFAULT_NAME,
    json: AsJson = False,
) -> None:
    """The incidents, newest first."""
    after = None if since is None else datetime.now(UTC) - age_of(since)
    found = client_of(ctx, tenant).incidents(
        campaign=campaign, cause=cause, since=after, limit=limit
    )
    if json:
        show_json({"incidents": [_plain(one, reveal=reveal) for one in found]})
        return
    columns = ("id", "when", "in", "number", "cause", "their STOP")
    rows = (_line(one, reveal=reveal) for one in found[:_SHOWN])
    show_table(columns, rows, empty="there is no incident")
    causes = dict.fromkeys(one.cause for one in found[:_SHOWN])
    console.print(*(f"{cause}: {MEANINGS[cause]}" for cause in causes), sep="\n")
    if len(found) > _SHOWN:
        console.print(f"{len(found) - _SHOWN} more not shown here (--json has all)")


@app.command()
def show(
    ctx: typer.Context,
    incident: Annotated[int, typer.Argument(help="Its id, as `list` shows it.")],
    reveal: Reveal = False,
    tenant: Tenant = DEFAULT_NAME,
    json: AsJson = False,
) -> None:
    """One incident: its cause, what it was before and why that changed, all evidence in order."""
    case = client_of(ctx, tenant).incident(incident)
    if json:
        show_json({**fields_of(case), "incident": _plain(case.incident, reveal=reveal)})
    else:
        _show_case(case, reveal=reveal)


def _line(one: Incident, *, reveal: bool) -> tuple[object, ...]:
    number = number_shown(one.recipient, reveal=reveal)
    return one.id, one.began_at, one.campaign_id, number, one.cause, _evidence(one)


def _evidence(one: Incident) -> str:
    """When it came: before or after our request began, or how late after Twilio had it."""
    if (raced := one.detail.get("raced_by_ms")) is not None:
        return f"{_span(abs(raced))} {'before' if raced < 0 else 'after'}"
    if (late := one.detail.get("late_by_ms")) is not None:
        return f"{_span(late)} late"
    return "never came" if one.cause is Cause.WEBHOOK_MISSED else ""


def _stop(one: Incident) -> str:
    """The same in full, with its MessageSid."""
    found = _evidence(one)
    if "raced_by_ms" in one.detail:
        found += " our request began"
    elif "late_by_ms" in one.detail:
        found = f"reached us {found}"
    return ", ".join(filter(None, (found, str(one.detail.get("stop", "")))))


def _span(milliseconds: float) -> str:
    if milliseconds < _SECOND:
        return f"{milliseconds:.0f} ms"
    if milliseconds < _MINUTE:
        return f"{milliseconds / _SECOND:.1f} s"
    if milliseconds < _HOUR:
        return f"{milliseconds / _MINUTE:.0f} min"
    return f"{milliseconds / _HOUR:.0f} h"


def _plain(one: Incident, *, reveal: bool) -> dict[str, Any]:
    return {**fields_of(one), "recipient": number_shown(one.recipient, reveal=reveal)}


def _show_case(case: IncidentCase, *, reveal: bool) -> None:
    one = case.incident
    asked = f"asked {shown(case.looked_at)}" if case.looked_at else "not asked yet"
    cause = f"{one.cause}: {MEANINGS[one.cause]}"
    show_facts(
        [
            ("incident", f"{one.id}, message {one.message_id}"),
            ("campaign", f"{one.campaign_id} ({one.campaign})"),
            ("from, to", f"{one.sender}, {number_shown(one.recipient, reveal=reveal)}"),
            ("cause", cause),
            *((("their STOP", _stop(one)),) if _evidence(one) else ()),
            ("Twilio's log", asked),
        ]
    )
    if len(case.causes) > 1:
        console.print()
        rows = ((c.decided_at, c.cause, REASONS[c.because]) for c in case.causes)
        show_table(("since", "cause", "because"), rows, empty="")
    console.print()
    show_timeline(case.timeline, campaigns=False)
