"""``sender intake …``: how STOPs come in, and who is held because some may be missing."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer

from sender.cli.showing import AsJson, Author, console, show_json, show_table, shown
from sender.config import Settings
from sender.intake import Intake
from sender.runtime import Runtime
from sender.storage.intake_records import SenderRecord
from sender.storage.pulls import LONG_LOG

app = typer.Typer(help="How STOPs come in, and what may be missing.", no_args_is_help=True)

Sender = Annotated[str, typer.Argument(help="A sender: +1…, a short code, MG…, a name.")]
Reason = Annotated[str, typer.Option(help="Why; kept in the log.")]


def _intake(ctx: typer.Context) -> Intake:
    intake = Runtime(settings=Settings.from_environment()).intake()
    ctx.call_on_close(intake.db.close)
    return intake


@app.command()
def show(ctx: typer.Context, json: AsJson = False) -> None:
    """What must live, and for each sender: how far Twilio's log was read, gap, hold, blindness.

    `--json` has whole times.
    """
    report = _intake(ctx).show()
    if json:
        show_json(report)
        return
    now = datetime.now(UTC)
    show_table(
        ["source", "sign of life", "state"],
        [
            (one.source, _ago(one.beaten_at, now), "SILENT" if one.silent else "well")
            for one in report.sources
        ],
        empty="nothing was started yet",
    )
    console.print()
    columns = ["sender", "tenant", "log read to", "last webhook", "state"]
    rows = (_line(one, now) for one in report.senders)
    show_table(columns, rows, empty="there are no senders")
    for said in _explained(report.senders):
        console.print()
        console.print(said, markup=False)


#: What ends it.
_HELD = (
    "HELD ends once Twilio's log was read past the gap. A blind sender's ends by a person's word: "
    "sender intake release SENDER --author YOU --reason WHY"
)
#: Seconds from which on a time is told in minutes, hours, days.
_SPANS = ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h"))
_DAY = 86_400


def _ago(at: datetime | None, now: datetime) -> str:
    """How long ago, shortly; our clock is not Postgres's, and nothing is ahead of now."""
    if at is None:
        return "never"
    seconds = max(0, int((now - at).total_seconds()))
    for below, unit, name in _SPANS:
        if seconds < below:
            return f"{seconds // unit} {name} ago"
    return f"{seconds // _DAY} d ago"


def _line(one: SenderRecord, now: datetime) -> tuple[object, ...]:
    upto, last = _ago(one.pulled_upto, now), _ago(one.last_webhook, now)
    return one.sender, one.tenant, upto, last, "; ".join(_state(one)) or "well"


def _state(one: SenderRecord) -> Iterator[str]:
    if one.gap_since:
        yield "HELD" if one.held else "gap"
    if one.failures:
        yield "long log" if one.failure == LONG_LOG else f"pull failed ({one.failures})"
    if one.blind:
        yield f"blind ({one.blind})" + (f", allowed by {one.allowed_by}" if one.allowed_by else "")


def _explained(senders: Sequence[SenderRecord]) -> Iterator[str]:
    """What most of them have in common, said once."""
    gaps = Counter((one.gap_since, one.gap_cause) for one in senders if one.gap_since)
    for (since, cause), many in gaps.items():
        whom = "1 sender" if many == 1 else f"{many} senders"
        yield f"STOPs to {whom} may be missing since {shown(since)}: {cause}"
    failures = Counter(one.failure for one in senders if one.failures)
    for failure, many in failures.items():
        yield f"{'1 sender' if many == 1 else f'{many} senders'}: {failure}"
    if any(one.held for one in senders):
        yield _HELD


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
