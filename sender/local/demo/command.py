"""The demo as a command: its view on the right stream, its account in the right form."""

import json
import signal
from dataclasses import asdict
from functools import partial

from rich.console import Console

from sender.local.demo.account import Account
from sender.local.demo.report import print_account
from sender.local.demo.run import DemoOptions, run_demo
from sender.local.demo.showing import ConsoleView
from sender.local.demo.view import NoView, View


def run_and_report(options: DemoOptions, *, as_json: bool) -> bool:
    """Run a demo and print its account; whether every promise was kept.

    With `as_json` standard output is one JSON object, and progress goes to standard error if
    that is a terminal.
    """
    # A `kill` is answered like a Ctrl-C: everything is ended and tidied up.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    output = Console()
    report = partial(_print_json, options=options) if as_json else partial(_print, output)
    return run_demo(options, view=_view(output, as_json=as_json), report=report).kept


def _view(output: Console, *, as_json: bool) -> View:
    if not as_json:
        return ConsoleView(output)
    errors = Console(stderr=True)
    return ConsoleView(errors) if errors.is_terminal else NoView()


def _print(output: Console, account: Account) -> None:
    print_account(account, output)


def _print_json(account: Account, *, options: DemoOptions) -> None:
    asked = {name: value for name, value in asdict(options).items() if name != "rejects_file"}
    print(json.dumps({**account.as_json(), "options": asked}), flush=True)  # noqa: T201
