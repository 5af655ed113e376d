"""``sender webhooks …``: which URLs Twilio must call, and having it call them."""

import asyncio
from typing import Annotated

import typer

from sender.cli.opening import Tenant
from sender.cli.showing import FAILED, AsJson, console, show_json, show_table
from sender.config import Settings
from sender.domain.webhook_setup import Verdict
from sender.installing import SenderHooks, Urls
from sender.runtime import Runtime
from sender.storage.tenants import DEFAULT_NAME

app = typer.Typer(help="Which URLs Twilio calls when somebody texts you.", no_args_is_help=True)

_STATUS = "sent along with every message; nothing to set"
_SAID = {
    Verdict.RIGHT: "as it should be",
    Verdict.CHANGE: "would change",
    Verdict.FOREIGN: "somebody else is called: --replace",
    Verdict.NUMBERS: "its numbers' own URLs are called: see there",
    Verdict.MISSING: "not in this account",
    Verdict.BY_HAND: "cannot be set here: set it in Twilio's console",
}


@app.command()
def show(tenant: Tenant = DEFAULT_NAME, json: AsJson = False) -> None:
    """The URLs to set on every number and Messaging Service; asks nobody."""

    async def look() -> tuple[Urls, list[str]]:
        async with _runtime().installation(tenant) as installation:
            return installation.urls, await installation.senders()

    urls, senders = asyncio.run(look())
    status = urls.status("{message id}")
    if json:
        shown = {"inbound": urls.inbound, "fallback": urls.fallback, "status": status}
        show_json({**shown, "method": "POST", "senders": senders})
        return
    _say("a message comes in (POST):", urls.inbound)
    _say("primary handler fails (POST):", urls.fallback)
    _say(f"status callback ({_STATUS}):", status)
    show_table(["sender", "where"], ((one, _where(one)) for one in senders), empty=_NO_SENDERS)


_NO_SENDERS = "no sender is entered yet; sender webhooks install --sender +1… takes any"


def _say(*lines: str) -> None:
    """Lines as they are: a table would fold the URLs, which are there to be copied."""
    console.print(*lines, sep="\n  ", soft_wrap=True, markup=False)


def _where(sender: str) -> str:
    if sender.startswith("MG"):
        return "service: Incoming Messages, Send a webhook; or sender webhooks install"
    if sender.startswith("+"):
        return "number: Messaging Configuration; or sender webhooks install"
    return "in Twilio's console" if sender.isdecimal() else "a name: nobody can reply to it"


@app.command()
def install(
    sender: Annotated[
        list[str] | None,
        typer.Option(help="A number or MG…; may stand several times. Otherwise: all entered."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; otherwise only say it.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Also where somebody else is called now.")
    ] = False,
    tenant: Tenant = DEFAULT_NAME,
    json: AsJson = False,
) -> None:
    """Have Twilio call these URLs. Exit code 1 if a sender is left that somebody must look at."""

    async def work() -> list[SenderHooks]:
        async with _runtime().installation(tenant) as installation:
            return await installation.install(sender or [], replace=replace, dry_run=not yes)

    found = asyncio.run(work())
    if json:
        show_json({"dry_run": not yes, "senders": found})
    else:
        _show(found, dry_run=not yes)
    if any(one.is_left and (yes or one.verdict is not Verdict.CHANGE) for one in found):
        raise typer.Exit(FAILED)


def _show(found: list[SenderHooks], *, dry_run: bool) -> None:
    for one in found:
        changes = (
            f"{change.setting}: {change.before}\n    -> {change.after}" for change in one.changes
        )
        _say(f"{one.sender}: {_said(one, dry_run=dry_run)}", *changes)
    if not found:
        console.print(_NO_SENDERS)
    elif dry_run and any(one.verdict is Verdict.CHANGE for one in found):
        console.print("Nothing was changed. The same with --yes does it.")


def _said(one: SenderHooks, *, dry_run: bool) -> str:
    if one.verdict is Verdict.CHANGE and not dry_run:
        return "changed" if one.changed else "Twilio did not keep what it was told"
    return _SAID[one.verdict]


def _runtime() -> Runtime:
    return Runtime(settings=Settings.from_environment())
