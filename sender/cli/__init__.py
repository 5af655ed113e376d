"""The `sender` command: shells over the API and the local stack."""

import sys

import structlog
import typer

from sender.cli import platform, processes, restoring, suppression, tenants
from sender.cli.showing import FAILED
from sender.errors import SenderError

__all__ = ["app", "main"]

app = typer.Typer(
    help="Bulk SMS through Twilio that never texts a person after their STOP.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(processes.app)
app.add_typer(restoring.app)
app.add_typer(suppression.app, name="suppression")
app.add_typer(platform.app, name="platform")
app.add_typer(tenants.app, name="tenants")


def main() -> None:
    """The entry point; expected errors become one line on stderr and exit code 1."""
    # What is logged is not the answer: programs read that from stdout.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        app()
    except SenderError as exc:
        typer.echo(f"sender: {exc}", err=True)
        sys.exit(FAILED)
    except (FileNotFoundError, IsADirectoryError, PermissionError) as exc:
        # A file that somebody named.
        typer.echo(f"sender: {exc}", err=True)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(130)
