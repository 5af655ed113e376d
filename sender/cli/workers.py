"""``sender workers``: for operators, and for the supervisors of worker processes."""

import socket
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

import typer

from sender.cli.showing import FAILED, AsJson, show_json, show_table
from sender.config import Settings
from sender.domain.pulse import Verdict
from sender.fleet import Worker
from sender.runtime import Runtime
from sender.storage.database import DatabaseError, told

app = typer.Typer()

COLUMNS = ("id", "name", "verdict", "slices", "version", "since", "sent", "heard", "failed")


@app.command()
def workers(
    ctx: typer.Context,
    name: Annotated[
        str, typer.Argument(help="Only this worker, HOST:PID, or those of this host.")
    ] = "",
    self_: Annotated[
        bool, typer.Option("--self", help="Only those of this host, or this container.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Exit 1 if one is deaf, stuck or gone: a new process would help."
        ),
    ] = False,
    json: AsJson = False,
) -> None:
    """The worker processes, each with its verdict and the ages of its pulses.

    With --check it is a supervisor's liveness check: a broker or a database that is away is not
    the worker's fault and makes no difference.
    """
    try:
        found = _found(ctx, socket.gethostname() if self_ else name)
    except DatabaseError as exc:
        if not check:
            raise
        typer.echo(f"sender: nobody can tell, the database is away ({told(exc)})", err=True)
        return
    _show(found, as_json=json)
    if check and (not found or any(worker.verdict.is_sick for worker in found)):
        raise typer.Exit(FAILED)


def _found(ctx: typer.Context, name: str) -> list[Worker]:
    fleet = Runtime(settings=Settings.from_environment()).fleet()
    ctx.call_on_close(fleet.db.close)
    return fleet.named(name) if name else fleet.workers()


def _show(found: Sequence[Worker], *, as_json: bool) -> None:
    if as_json:
        show_json({"workers": [_plain(worker) for worker in found]})
        return
    rows = [list(_plain(worker).values()) for worker in found]
    show_table(COLUMNS, rows, empty=f"none: {Verdict.GONE}")


def _plain(worker: Worker) -> dict[str, object]:
    """A worker's columns; the pulses by their age in seconds."""
    signs = worker.signs
    ages = (_seconds(age) for age in (signs.sent, signs.heard, signs.failed))
    whole = (worker.id, worker.name, worker.verdict, worker.slices, worker.version)
    return dict(zip(COLUMNS, (*whole, worker.started_at, *ages), strict=True))


def _seconds(age: timedelta | None) -> float | None:
    return None if age is None else round(age.total_seconds(), 1)
