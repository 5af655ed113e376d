"""``sender suppression …``: one tenant's list."""

from datetime import timedelta
from typing import Annotated

import typer

from sender.cli import bulk
from sender.cli.opening import Number, Tenant, list_of
from sender.cli.showing import (
    FAILED,
    AsJson,
    Author,
    Reveal,
    console,
    fields_of,
    number_shown,
    show_json,
    show_table,
    shown,
)
from sender.domain.consent import PLATFORM, ConsentEvent, Direction, ReasonClass, Suppression
from sender.optouts import Lift
from sender.storage.tenants import DEFAULT_NAME
from sender.suppression_list import SuppressionList
from sender.verifying import Verdict

app = typer.Typer(help="Who is not texted, and why.", no_args_is_help=True)
review = typer.Typer(help="Messages that may be opt-outs, for a person to decide.")
app.add_typer(bulk.app)
app.add_typer(review, name="review")


@app.command()
def check(
    ctx: typer.Context, number: Number, tenant: Tenant = DEFAULT_NAME, json: AsJson = False
) -> None:
    """What suppresses a number now; exit code 0 whether or not anything does."""
    show_check(list_of(ctx, tenant), number, as_json=json)


@app.command()
def add(
    ctx: typer.Context,
    number: Number,
    author: Author,
    reason: Annotated[ReasonClass, typer.Option(help="The reason class.")] = ReasonClass.MANUAL,
    evidence: Annotated[str, typer.Option(help="Where it can be found: a letter, a call.")] = "",
    tenant: Tenant = DEFAULT_NAME,
    json: AsJson = False,
) -> None:
    """Suppress a number for all senders, in force like a STOP."""
    added(list_of(ctx, tenant), number, author, reason, evidence, as_json=json)


@app.command()
def lift(
    ctx: typer.Context,
    number: Number,
    author: Author,
    reason: Annotated[str, typer.Option(help="Why.")],
    evidence: Annotated[str, typer.Option(help="Where the renewed consent can be found.")],
    override: Annotated[
        bool, typer.Option("--override", help="Lift a complaint or an import too; on record.")
    ] = False,
    tenant: Tenant = DEFAULT_NAME,
    json: AsJson = False,
) -> None:
    """End a number's suppressions by hand. Twilio's own block is not lifted by this."""
    wanted = Lift(author=author, reason=reason, evidence=evidence, override=override)
    lifted(list_of(ctx, tenant), number, wanted, as_json=json)


@app.command()
def history(
    ctx: typer.Context, number: Number, tenant: Tenant = DEFAULT_NAME, json: AsJson = False
) -> None:
    """A person's whole timeline, and what it amounts to."""
    show_history(list_of(ctx, tenant), number, as_json=json)


@app.command()
def verify(
    ctx: typer.Context,
    expect: Annotated[
        str | None, typer.Option(help="A digest from an earlier `consent_sealed` line or head.")
    ] = None,
    tenant: Tenant = DEFAULT_NAME,
    json: AsJson = False,
) -> None:
    """Hold the log against its chain and the list against the log; exit code 1 on a finding."""
    verdict = list_of(ctx, tenant).verify(expect=expect)
    if json:
        show_json({"ok": verdict.ok, "verdict": verdict})
    else:
        _show_verdict(verdict)
    if not verdict.ok:
        raise typer.Exit(FAILED)


@app.command()
def erase(
    ctx: typer.Context,
    author: Author,
    number: Annotated[str | None, typer.Option(help="One person's, on request.")] = None,
    older_than_days: Annotated[int | None, typer.Option(help="Everybody's that is older.")] = None,
    tenant: Tenant = DEFAULT_NAME,
    json: AsJson = False,
) -> None:
    """Empty what is kept of people's words; who is suppressed stays so."""
    if (number is None) == (older_than_days is None):
        raise typer.BadParameter("give either --number or --older-than-days")
    chosen = list_of(ctx, tenant)
    if number is not None:
        done = chosen.erase(number, author=author)
    else:
        done = chosen.erase_older_than(timedelta(days=older_than_days or 0), author=author)
    if json:
        show_json(done)
    else:
        console.print(
            f"emptied: evidence of {done.evidence} events, {done.inbound} inbound messages, "
            f"fields of {done.messages} messages; the opt-outs and the chain stand"
        )


@review.command("list")
def review_list(
    ctx: typer.Context,
    reveal: Reveal = False,
    tenant: Tenant = DEFAULT_NAME,
    json: AsJson = False,
) -> None:
    """Who waits for a decision, the longest waiting first, with all that they wrote."""
    waiting = list_of(ctx, tenant).reviews_waiting()
    numbers = [number_shown(one.recipient, reveal=reveal) for one in waiting]
    told = list(zip(waiting, numbers, strict=True))
    if json:
        reviews = [{**fields_of(one), "recipient": number} for one, number in told]
        show_json({"reviews": reviews})
        return
    rows = (
        (one.id, one.since, number, one.messages_waiting, "\n".join(one.texts))
        for one, number in told
    )
    columns = ("review", "since", "number", "waiting", "wrote")
    show_table(columns, rows, empty="nobody waits for a decision")


@review.command()
def confirm(
    ctx: typer.Context,
    number: Annotated[int, typer.Argument(metavar="REVIEW", help="As `review list` shows it.")],
    author: Author,
    note: Annotated[str, typer.Option(help="Anything worth keeping.")] = "",
    tenant: Tenant = DEFAULT_NAME,
) -> None:
    """It is an opt-out: in force like a STOP."""
    enforced = list_of(ctx, tenant).confirm_review(number, author=author, note=note)
    console.print(
        "suppressed" if enforced else "suppressed; a message of theirs is still under way"
    )


@review.command()
def dismiss(
    ctx: typer.Context,
    number: Annotated[int, typer.Argument(metavar="REVIEW", help="As `review list` shows it.")],
    author: Author,
    note: Annotated[str, typer.Option(help="Why it is no opt-out.")],
    tenant: Tenant = DEFAULT_NAME,
) -> None:
    """It is no opt-out: what waited goes within a minute."""
    list_of(ctx, tenant).dismiss_review(number, author=author, note=note)
    console.print("dismissed; what waited goes within a minute")


def show_check(chosen: SuppressionList, number: str, *, as_json: bool) -> None:
    """What suppresses a number."""
    found = chosen.check(number)
    if as_json:
        show_json({"number": number, "suppressed": bool(found), "by": found})
        return
    console.print(f"{number} {'is suppressed' if found else 'may be texted'}")
    if found:
        show_table(("reason", "since", "covers"), map(_entry, found), empty="")


def _entry(one: Suppression) -> tuple[object, ...]:
    covers = "all senders" if one.scope == 0 else f"sender {one.scope}"
    return one.reason, one.since, "every tenant" if one.tenant_id == PLATFORM else covers


def added(
    chosen: SuppressionList,
    number: str,
    author: str,
    reason: ReasonClass,
    evidence: str,
    *,
    as_json: bool,
) -> None:
    """Suppress a number, and say whether that is in force."""
    enforced = chosen.add(number, author=author, reason=reason, evidence=evidence)
    if as_json:
        show_json({"number": number, "suppressed": True, "enforced": enforced})
    elif enforced:
        console.print(f"{number} is suppressed, and no request to it can begin any more")
    else:
        console.print(f"{number} is suppressed; a message to it is still under way")


def lifted(chosen: SuppressionList, number: str, wanted: Lift, *, as_json: bool) -> None:
    """Lift, and show what is left."""
    chosen.lift(number, wanted)
    show_check(chosen, number, as_json=as_json)


def show_history(chosen: SuppressionList, number: str, *, as_json: bool) -> None:
    """A person's timeline, and what it amounts to."""
    events, active = chosen.history(number), chosen.check(number)
    if as_json:
        show_json({"number": number, "suppressed_by": active, "events": events})
        return
    deciding = {one.event_id for one in active}
    columns = ("", "when", "what", "covers", "by", "evidence")
    rows = (_event(event, in_force=event.id in deciding) for event in events)
    show_table(columns, rows, empty="nothing is on record")
    because = ", ".join(dict.fromkeys(one.reason.value for one in active))
    console.print(f"{number} is suppressed: {because}" if active else f"{number} may be texted")


def _event(event: ConsentEvent, *, in_force: bool) -> tuple[object, ...]:
    """One line of the timeline: in force, lifted, or an opt-in."""
    out = event.direction is Direction.OPT_OUT
    mark = "■" if in_force else "□" if out else "▲"
    what = f"{'out' if out else 'in'}: {event.reason or 'START'}"
    covers = "all" if event.scope == 0 else f"sender {event.scope}"
    batch = f" (batch {event.batch_id})" if event.batch_id is not None else ""
    # Twilio's time; ours, marked, where that is not known (yet).
    when = shown(event.provider_at or event.received_at) + ("" if event.provider_at else " ?")
    by = f"{event.source}{batch}{f', {event.author}' if event.author else ''}"
    return mark, when, what, covers, by, event.evidence


def _show_verdict(verdict: Verdict) -> None:
    console.print(f"chain: {verdict.links} links seal {verdict.sealed} events and times")
    console.print(f"head: {verdict.head or 'none yet'}", soft_wrap=True)
    console.print(f"unsealed tail: {verdict.unsealed}; evidence erased: {verdict.erased}")
    for link in verdict.broken:
        console.print(
            f"link {link.id} of {shown(link.sealed_at)} does not match: it sealed {link.sealed}, "
            f"there are {link.found}"
        )
    for count, what in (
        (verdict.unaccounted, "written past the sealer"),
        (len(verdict.unguarded), f"tables not guarded: {', '.join(verdict.unguarded)}"),
        (int(verdict.has_expected is False), "the expected digest is not in the chain"),
        (verdict.evidence.count, "evidence changed or gone"),
        (verdict.missing.count, "missing on the list"),
        (verdict.surplus.count, "on the list without reason"),
    ):
        if count:
            console.print(f"{count} {what}")
    for findings in (verdict.evidence, verdict.missing, verdict.surplus):
        for one in findings.first:
            console.print(f"  {one}", markup=False)
    console.print(
        "everything matches" if verdict.ok else "[bold]this list cannot be trusted[/bold]"
    )
