"""``sender doubts …``: messages whose outcome nobody knows, for a person to look into."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated
from uuid import UUID

import typer

from sender.cli.opening import Tenant, age_of, client_of
from sender.cli.showing import (
    AsJson,
    Author,
    console,
    fields_of,
    number_shown,
    show_facts,
    show_json,
    show_table,
    shown,
)
from sender.domain.message import State
from sender.domain.template import Template
from sender.storage.doubts import DoubtCase, OpenDoubt
from sender.storage.tenants import DEFAULT_NAME

app = typer.Typer(
    help="Messages whose outcome nobody knows. Nothing here ever sends one.", no_args_is_help=True
)

#: Lines of a list for people; programs get all.
_SHOWN = 50

Reveal = Annotated[bool, typer.Option("--reveal", help="Show whole numbers, and the text.")]


@app.command("list")
def list_(
    ctx: typer.Context,
    campaign: Annotated[int | None, typer.Option(help="Only this campaign's.")] = None,
    older_than: Annotated[
        str, typer.Option(metavar="AGE", help="Only those that are: 30m, 36h, 2d.")
    ] = "0m",
    reveal: Reveal = False,
    tenant: Tenant = DEFAULT_NAME,
    json: AsJson = False,
) -> None:
    """Those in doubt, and those given up on after 48 hours (unknown), the oldest first."""
    age = age_of(older_than)
    found = client_of(ctx, tenant).doubts.waiting(campaign=campaign, older_than=age)
    if json:
        show_json({"doubts": [_open(one, reveal=reveal) for one in found]})
        return
    columns = ("message", "campaign", "number", "age", "because", "checks", "next check")
    rows = (_line(one, reveal=reveal) for one in found[:_SHOWN])
    show_table(columns, rows, empty="nothing is in doubt")
    if found:
        _show_sum(found)


@app.command()
def show(
    ctx: typer.Context,
    message: Annotated[UUID, typer.Argument(help="Its id, as `list` shows it.")],
    reveal: Reveal = False,
    tenant: Tenant = DEFAULT_NAME,
    json: AsJson = False,
) -> None:
    """Everything known about one: what went out and when, what Twilio said, what was found."""
    case = client_of(ctx, tenant).doubts.show(message)
    if json:
        show_json(_case(case, reveal=reveal))
    else:
        _show_case(case, reveal=reveal)


@app.command()
def resolve(
    ctx: typer.Context,
    author: Author,
    evidence: Annotated[str, typer.Option(help="What you saw, and where.")],
    message: Annotated[UUID | None, typer.Argument(help="Its id, as `list` shows it.")] = None,
    sent: Annotated[
        bool | None, typer.Option("--sent/--not-sent", help="Whether Twilio sent it.")
    ] = None,
    campaign: Annotated[int | None, typer.Option(help="Decide all of this campaign's …")] = None,
    every: Annotated[bool, typer.Option("--all", help="… which takes this flag …")] = False,
    expect: Annotated[int | None, typer.Option(help="… and how many you know of.")] = None,
    tenant: Tenant = DEFAULT_NAME,
    json: AsJson = False,
) -> None:
    """Record what you found out. It sends nothing; should Twilio report after all, that counts."""
    if sent is None:
        raise typer.BadParameter("say --sent or --not-sent")
    doubts = client_of(ctx, tenant).doubts
    wanted = (campaign is not None, every, expect is not None)
    if message is not None and not any(wanted):
        doubts.resolve(message, sent=sent, author=author, evidence=evidence)
        decided = 1
    elif message is None and campaign is not None and expect is not None and every:
        decided = doubts.resolve_all(
            campaign, sent=sent, author=author, evidence=evidence, expect=expect
        )
    else:
        raise typer.BadParameter("give a message, or --campaign ID --all --expect N")
    if json:
        show_json({"decided": decided, "sent": sent})
    else:
        what = "1 message" if decided == 1 else f"{decided} messages"
        console.print(f"{what}: on record as {'sent' if sent else 'not sent'}, by {author}")


def _line(one: OpenDoubt, *, reveal: bool) -> tuple[object, ...]:
    next_check = "given up" if one.next_check is None else f"{one.next_check:%H:%M:%S}Z"
    number = number_shown(one.recipient, reveal=reveal)
    return (
        *(one.message_id, one.campaign_id, number, _short(one.age)),
        *(one.reason, one.checks, next_check),
    )


def _short(age: timedelta) -> str:
    minutes = int(age.total_seconds()) // 60
    if minutes < 2 * 60:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 72 * 60 else f"{minutes // (24 * 60)} d"


def _show_sum(found: Sequence[OpenDoubt]) -> None:
    unknown = sum(one.state == State.UNKNOWN for one in found)
    console.print(f"{len(found) - unknown} in doubt, {unknown} unknown", end="")
    more = len(found) - _SHOWN
    console.print(f"; {more} of them not shown here (--json has all)" if more > 0 else "")


def _open(one: OpenDoubt, *, reveal: bool) -> dict[str, object]:
    number = number_shown(one.recipient, reveal=reveal)
    return {**fields_of(one), "recipient": number, "age": int(one.age.total_seconds())}


def _case(case: DoubtCase, *, reveal: bool) -> dict[str, object]:
    shown_ = fields_of(case)
    del shown_["fields"]
    text = Template.parse(case.body).render(case.fields) if reveal else None
    return {**shown_, "body": text, "recipient": number_shown(case.recipient, reveal=reveal)}


def _show_case(case: DoubtCase, *, reveal: bool) -> None:
    facts = _case(case, reveal=reveal)
    lines = [
        ("message", case.message_id),
        ("campaign", f"{case.campaign_id} ({case.campaign}), line {case.line}"),
        ("from, to", f"{case.sender}, {facts['recipient']}"),
        ("text", facts["body"] if reveal else "(--reveal shows it)"),
        ("guarded", f"{shown(case.guarded_at)} by {case.worker or 'a worker now gone'}"),
        ("state", f"{case.state}: {case.reason}, since {shown(case.changed_at)}"),
        ("Twilio's word", _word(case)),
        ("looked for", _search(case)),
    ]
    if case.decision:
        found = "sent" if case.decision.sent else "not sent"
        by = f"{case.decision.author}, {shown(case.decision.given_at)}"
        lines.append(("verdict", f"{found}, by {by}: {case.decision.evidence}"))
        lines.append(("was in doubt", case.decision.reason))
    show_facts(lines)
    columns = ("when", "status", "code", "sid")
    rows = ((one.received_at, one.status, one.code or None, one.sid) for one in case.receipts)
    show_table(columns, rows, empty="no status callback came for it")


def _word(case: DoubtCase) -> str:
    known = (case.sid, case.provider_status, case.provider_code)
    return ", ".join(str(one) for one in known if one is not None) or "none"


def _search(case: DoubtCase) -> str:
    if case.since is None:
        return "no more: it is decided" if case.decision else "never: it was not in doubt"
    times = f"{case.checks} times since {shown(case.since)}"
    last = f"; last {shown(case.looked_at)}: {case.found}" if case.looked_at else ""
    following = f"; next {shown(case.next_check)}" if case.next_check else "; given up"
    return f"{times}{last}{following}"
