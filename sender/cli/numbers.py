"""``sender numbers …``: what deliveries say about one tenant's numbers."""

import itertools
from typing import Annotated

import typer

from sender.api import connect
from sender.cli.opening import Number, Tenant
from sender.cli.showing import (
    AsJson,
    Author,
    Reveal,
    console,
    fields_of,
    number_shown,
    show_json,
    show_table,
)
from sender.numbers import Numbers
from sender.storage.number_health import NumberHealth
from sender.storage.tenants import DEFAULT_NAME

app = typer.Typer(
    help="Numbers that campaigns skip for a while, because texts to them failed.",
    no_args_is_help=True,
)

_COLUMNS = ("number", "skipped until", "last code", "strikes", "since", "forgotten by")


def _numbers(ctx: typer.Context, tenant: str) -> Numbers:
    client = connect(tenant=tenant)
    ctx.call_on_close(client.close)
    return client.numbers


@app.command("list")
def list_(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 1000,
    reveal: Reveal = False,
    tenant: Tenant = DEFAULT_NAME,
    json: AsJson = False,
) -> None:
    """The numbers that are skipped now."""
    found = list(itertools.islice(_numbers(ctx, tenant).bad(), limit))
    if json:
        show_json({"numbers": [_fields(one, reveal=reveal) for one in found]})
    else:
        rows = (_row(one, reveal=reveal) for one in found)
        show_table(_COLUMNS, rows, empty="no number is skipped")


@app.command()
def show(
    ctx: typer.Context, number: Number, tenant: Tenant = DEFAULT_NAME, json: AsJson = False
) -> None:
    """What failures say about one number; exit code 0 whether or not any do."""
    found = _numbers(ctx, tenant).check(number)
    if json:
        show_json({"number": None if found is None else _fields(found, reveal=True)})
    else:
        rows = [] if found is None else [_row(found, reveal=True)]
        show_table(_COLUMNS, rows, empty="nothing speaks against it")


@app.command()
def forget(
    ctx: typer.Context,
    number: Number,
    author: Author,
    tenant: Tenant = DEFAULT_NAME,
    json: AsJson = False,
) -> None:
    """Have a number texted again, as if it had never failed. Its suppressions stay."""
    known = _numbers(ctx, tenant).forget(number, author=author)
    if json:
        show_json({"forgotten": known})
    else:
        console.print("campaigns text it again" if known else "nothing spoke against it")


def _fields(one: NumberHealth, *, reveal: bool) -> dict[str, object]:
    return {**fields_of(one), "recipient": number_shown(one.recipient, reveal=reveal)}


def _row(one: NumberHealth, *, reveal: bool) -> tuple[object, ...]:
    return (
        number_shown(one.recipient, reveal=reveal),
        one.bad_until,
        one.code,
        one.strikes,
        one.first_strike_at,
        one.forgotten_by,
    )
