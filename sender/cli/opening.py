"""The tenant's list that a command works on, and the words all commands share."""

from typing import Annotated

import typer

from sender.api import connect
from sender.suppression_list import SuppressionList

Tenant = Annotated[str, typer.Option(help="Whose list.")]
Number = Annotated[str, typer.Argument(help="A number with its country: +14155550123.")]


def list_of(ctx: typer.Context, tenant: str) -> SuppressionList:
    """The tenant's list, whose connections are closed when the command has ended."""
    client = connect(tenant=tenant)
    ctx.call_on_close(client.close)
    return client.suppression
