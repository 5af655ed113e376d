"""The tenant that a command works for, and the words all commands share."""

import re
from datetime import timedelta
from typing import Annotated

import typer

from sender.api import Client, connect
from sender.suppression_list import SuppressionList

Tenant = Annotated[str, typer.Option(help="Whose.")]
Number = Annotated[str, typer.Argument(help="A number with its country: +14155550123.")]

_AGE = re.compile(r"(\d+)([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def age_of(text: str) -> timedelta:
    """An age as it is typed: 30m, 36h, 2d."""
    found = _AGE.fullmatch(text)
    if not found:
        raise typer.BadParameter(f"{text!r} is no age: write 30m, 36h or 2d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def client_of(ctx: typer.Context, tenant: str) -> Client:
    """The tenant's client, whose connections are closed when the command has ended."""
    client = connect(tenant=tenant)
    ctx.call_on_close(client.close)
    return client


def list_of(ctx: typer.Context, tenant: str) -> SuppressionList:
    """The tenant's list."""
    return client_of(ctx, tenant).suppression
