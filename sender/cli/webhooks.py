"""``sender webhooks …``: which URLs Twilio must call, and having it call them."""

import asyncio
from typing import Annotated

import typer

from sender.cli.opening import Tenant
from sender.cli.showing import FAILED, AsJson, console, show_json, show_table
from sender.config import Settings
from sender.domain.webhook_setup import Verdict
from sender.installing import Installation, SenderHooks
from sender.runtime import Runtime
from sender.storage.tenants import DEFAULT_NAME

app = typer.Typer(help="Which URLs Twilio calls when somebody texts you.", no_args_is_help=True)

_SAID = {
    Verdict.RIGHT: "as it should be",
    Verdict.CHANGE: "would change",
    Verdict.FOREIGN: "another program is called; only --replace changes that",
    Verdict.NUMBERS: "its numbers' own URLs are called; they follow",
    Verdict.MISSING: "Twilio has no such sender in this account",
    Verdict.ONE_WAY: "a name: nobody can reply to it, nothing to set",
    Verdict.BY_HAND: "no number, short code or Messaging Service",
}
_NO_SENDERS = "no sender is entered yet; sender webhooks install --sender +1… takes any"


@app.command()
def show(tenant: Tenant = DEFAULT_NAME, json: AsJson = False) -> None:
    """The URLs to set on every number, short code and Messaging Service; asks nobody."""

    async def look() -> tuple[Installation, list[str]]:
        async with _runtime().installation(tenant) as installation:
            return installation, await installation.senders()

    installation, senders = asyncio.run(look())
    urls, events = installation.urls, installation.events
    status = urls.status("{message id}")
    if json:
        shown = {"inbound": urls.inbound, "fallback": urls.fallback, "status": status}
        streams = {"events": events.url, "event_types": events.types, "takes_events": events.wanted}
        show_json({**shown, **streams, "method": "POST", "senders": senders})
        return
    _say("To set at Twilio, with HTTP POST; `sender webhooks install` does it:\n")
    _say("a message comes in", urls.inbound)
    _say("primary handler fails (of a service: the fallback URL)", urls.fallback)
    if events.wanted:
        types = (f"{kind} (schema version {version})" for kind, version in events.types.items())
        _say("Event Streams: a sink (webhook, in batches) with a subscription", events.url, *types)
    _say("\nNothing to set:\n")
    _say("status callbacks: every message carries its own URL", status)
    if not events.wanted:
        _say("Event Streams are off; SENDER_EVENT_STREAMS=true takes them at", events.url)
    console.print()
    head = ["sender", "where in Twilio's console"]
    show_table(head, ((one, _where(one)) for one in senders), empty=_NO_SENDERS)


def _say(*lines: str) -> None:
    """Lines as they are: a table would fold the URLs, which are there to be copied."""
    console.print(*lines, sep="\n  ", soft_wrap=True, markup=False)


def _where(sender: str) -> str:
    if sender.startswith("MG"):
        return "service: Integration, Send a webhook"
    if sender.startswith("+"):
        return "number: Messaging Configuration"
    return "short code: Messaging" if sender.isdecimal() else "a name: nobody can reply to it"


@app.command()
def install(
    sender: Annotated[
        list[str] | None,
        typer.Option(help="+1…, 12345 or MG…; may stand several times. Otherwise: all entered."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; otherwise only say it.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Also where somebody else is called now.")
    ] = False,
    tenant: Tenant = DEFAULT_NAME,
    json: AsJson = False,
) -> None:
    """Have Twilio call these URLs, and post events where they are taken.

    Exit code 1 if a sender is left that somebody must look at.
    """

    async def work() -> tuple[list[SenderHooks], SenderHooks | None]:
        async with _runtime().installation(tenant) as installation:
            done = await installation.install(sender or [], replace=replace, dry_run=not yes)
            wants_events = installation.events.wanted and not sender
            return done, await installation.events.install(
                dry_run=not yes
            ) if wants_events else None

    found, events = asyncio.run(work())
    every = [*found, *([events] if events else ())]
    if json:
        show_json({"dry_run": not yes, "senders": found, "events": events})
    else:
        _show(every, has_senders=bool(found), dry_run=not yes)
    if any(one.is_left and (yes or one.verdict is not Verdict.CHANGE) for one in every):
        raise typer.Exit(FAILED)


def _show(found: list[SenderHooks], *, has_senders: bool, dry_run: bool) -> None:
    for one in found:
        changes = (
            f"{change.setting}: {change.before}\n    -> {change.after}" for change in one.changes
        )
        _say(f"{one.sender}: {_said(one, dry_run=dry_run)}", *changes)
    if not has_senders:
        _say(_NO_SENDERS)
    left = sum(one.is_left and one.verdict is not Verdict.CHANGE for one in found)
    if left:
        _say(f"{left} of {len(found)} are left as they are: look at them.")
    if dry_run and any(one.verdict is Verdict.CHANGE for one in found):
        _say("Nothing was changed. The same with --yes does it.")


def _said(one: SenderHooks, *, dry_run: bool) -> str:
    if one.verdict is Verdict.CHANGE and not dry_run:
        return "changed" if one.changed else "Twilio did not keep what it was told"
    return _SAID[one.verdict]


def _runtime() -> Runtime:
    return Runtime(settings=Settings.from_environment())
