"""All commands of `sender` together."""

import sys

import structlog
import typer

from sender.cli import (
    campaign,
    caps,
    codes,
    doubts,
    holds,
    incidents,
    intake,
    numbers,
    platform,
    processes,
    restoring,
    retention,
    simulating,
    suppression,
    tenants,
    tracing,
    webhooks,
    workers,
)
from sender.cli.showing import FAILED
from sender.errors import SenderError
from sender.storage.database import DatabaseError, told

__all__ = ["app", "main"]

app = typer.Typer(
    help="Bulk SMS through Twilio that never texts a person after their STOP.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(processes.app)
app.add_typer(simulating.app)
app.add_typer(campaign.app, name="campaign")
app.add_typer(caps.app, name="caps")
app.add_typer(holds.app, name="holds")
app.add_typer(intake.app, name="intake")
app.add_typer(doubts.app, name="doubts")
app.add_typer(incidents.app, name="incidents")
app.add_typer(tracing.app)
app.add_typer(workers.app)
app.add_typer(restoring.app)
app.add_typer(retention.app, name="retention")
app.add_typer(suppression.app, name="suppression")
app.add_typer(numbers.app, name="numbers")
app.add_typer(platform.app, name="platform")
app.add_typer(tenants.app, name="tenants")
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(codes.app)


def main() -> None:
    """The entry point; expected errors become one line on stderr and exit code 1."""
    # What is logged is not the answer: programs read that from stdout.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        app()
    except SenderError as exc:
        typer.echo(f"sender: {exc}", err=True)
        sys.exit(FAILED)
    except DatabaseError as exc:
        # Its own text may quote a row, number and all.
        hint = "is DATABASE_URL right, is it up, was `sender migrate` run?"
        typer.echo(f"sender: the database cannot be used ({told(exc)}): {hint}", err=True)
        sys.exit(FAILED)
    except (FileNotFoundError, IsADirectoryError, PermissionError) as exc:
        # A file that somebody named.
        typer.echo(f"sender: {exc}", err=True)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(130)
