"""``sender codes``: what each of Twilio's codes makes us do."""

from typing import Annotated, Any, Final

import typer

from sender.cli.showing import AsJson, console, show_json, show_table
from sender.domain.number_health import PATIENCE, PROOFS, NumberFault
from sender.domain.receipt import FailureCause
from sender.gateway.codes import TABLE, Answer, CodeEntry, Seen

app = typer.Typer()

#: What becomes of a message whose create request was answered with a code; else it fails.
AT_CREATE: Final = {
    Answer.OPTED_OUT: "suppressed, incident",
    Answer.HALT: "waits, sender held",
    Answer.ACCOUNT: "waits, tenant held",
    Answer.THROTTLED: "goes again soon",
    Answer.LATER: "goes again in 30 min",
    Answer.QUEUE_FULL: "waits, sender rests",
    Answer.AMBIGUOUS: "in doubt",
}
#: What becomes of a message that was accepted and then failed with it; else it fails. It is final.
IN_CALLBACK: Final = {
    FailureCause.OPTED_OUT: "suppressed, incident",
    FailureCause.HALT: "failed, sender held",
    FailureCause.ACCOUNT: "failed, tenant held",
    FailureCause.FILTERED: "failed, counted",
}
#: What is done with a code that does not stand in the table.
UNKNOWN_AT_CREATE: Final = (
    "400: failed; 401, 403, 404: waits, tenant held; 429: goes again soon; 5xx: in doubt"
)
UNKNOWN_IN_CALLBACK: Final = "failed, and nothing is concluded from it"


@app.command()
def codes(
    code: Annotated[int | None, typer.Argument(help="Only this one: 21610.")] = None,
    json: AsJson = False,
) -> None:
    """What each of Twilio's codes makes us do, as the answer to a request and in a callback."""
    if code is None:
        _show_all(as_json=json)
    elif entry := TABLE.get(code):
        _show_one(entry, as_json=json)
    else:
        _show_unknown(code, as_json=json)


def _show_all(*, as_json: bool) -> None:
    entries = [TABLE[code] for code in sorted(TABLE)]
    if as_json:
        show_json({"codes": [_plain(one) for one in entries]})
        return
    columns = ("code", "what Twilio means", "at create", "in a callback", "seen")
    rows = (
        (one.code, one.meaning, _at_create(one), _in_callback(one), one.seen) for one in entries
    )
    show_table(columns, rows, empty="")
    console.print()
    _show_default()


def _show_one(entry: CodeEntry, *, as_json: bool) -> None:
    if as_json:
        show_json({"known": True, **_plain(entry)})
        return
    console.print(f"[bold]{entry.code}[/bold]  {entry.meaning}")
    _show_facts(
        {
            "at create": _at_create(entry),
            "in a callback": _in_callback(entry),
            "the number": _said_of_number(entry.fault),
            "seen": entry.seen,
            "at Twilio": f"https://www.twilio.com/docs/api/errors/{entry.code}",
        }
    )


def _show_unknown(code: int, *, as_json: bool) -> None:
    if as_json:
        defaults = {"at_create": UNKNOWN_AT_CREATE, "in_callback": UNKNOWN_IN_CALLBACK}
        show_json({"known": False, "code": code, **defaults})
        return
    console.print(f"[bold]{code}[/bold]  is not in the table, so the safe default holds:")
    _show_facts({"at create": UNKNOWN_AT_CREATE, "in a callback": UNKNOWN_IN_CALLBACK})


def _show_default() -> None:
    console.print("Any other code:")
    _show_facts({"at create": UNKNOWN_AT_CREATE, "in a callback": UNKNOWN_IN_CALLBACK})


def _at_create(entry: CodeEntry) -> str:
    return _becomes(entry, AT_CREATE.get(entry.at_create), reason=entry.at_create)


def _in_callback(entry: CodeEntry) -> str:
    return _becomes(entry, IN_CALLBACK.get(entry.in_callback), reason=entry.in_callback)


def _becomes(entry: CodeEntry, known: str | None, *, reason: str) -> str:
    if entry.seen is Seen.ELSEWHERE:
        return "—"
    if known:
        return known
    if entry.fault is None:
        return f"failed ({reason})"
    days = PROOFS.get(entry.fault)
    return f"failed, skip {days.days} d" if days else "failed, a strike"


def _show_facts(facts: dict[str, str]) -> None:
    for name, fact in facts.items():
        if fact:
            console.print(f"  {name:<15}{fact}", soft_wrap=True)


def _said_of_number(fault: NumberFault | None) -> str:
    """What a failure does to the number's health."""
    if fault is None:
        return ""
    if days := PROOFS.get(fault):
        return f"skipped for {days.days} days, or until a delivery ({fault})"
    patience = PATIENCE[fault]
    return (
        f"skipped for {patience.bad_for.days} days once {patience.strikes} such failures are "
        f"{patience.over.days} days apart ({fault})"
    )


def _plain(entry: CodeEntry) -> dict[str, Any]:
    return {
        "code": entry.code,
        "meaning": entry.meaning,
        "at_create": entry.at_create,
        "at_create_does": _at_create(entry),
        "in_callback": entry.in_callback,
        "in_callback_does": _in_callback(entry),
        "seen": entry.seen,
        "number": entry.fault,
    }
