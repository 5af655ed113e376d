"""The tenant that a command works for, and the words all commands share."""

from typing import Annotated

import typer

from sender.api import Client, connect
from sender.suppression_list import SuppressionList

Tenant = Annotated[str, typer.Option(help="Whose.")]
Number = Annotated[str, typer.Argument(help="A number with its country: +14155550123.")]


def client_of(ctx: typer.Context, tenant: str) -> Client:
    """The tenant's client, whose connections are closed when the command has ended."""
    client = connect(tenant=tenant)
    ctx.call_on_close(client.close)
    return client


def list_of(ctx: typer.Context, tenant: str) -> SuppressionList:
    """The tenant's list."""
    return client_of(ctx, tenant).suppression
