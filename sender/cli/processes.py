"""Commands that run things: everything, the migration, the demo, the simulator."""

from pathlib import Path
from typing import Annotated

import typer

from sender.cli.showing import FAILED
from sender.config import Settings

app = typer.Typer()


@app.command()
def up(
    folder: Annotated[
        Path, typer.Option(help="Where the embedded servers keep their data, and the logs.")
    ] = Path(".sender"),
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 2,
    webhook_port: Annotated[int, typer.Option(help="Where the webhook app listens.")] = 8000,
    flower_port: Annotated[int, typer.Option(help="Where Flower listens.")] = 5555,
) -> None:
    """Run every process on this machine, with embedded servers; Ctrl-C ends them.

    DATABASE_URL and REDIS_URL are used where they are set. Twilio's settings come from the
    environment; without them, run `sender simulate` and point TWILIO_API_BASE_URL at it.
    """
    from sender.local.stack import Ports  # noqa: PLC0415  # loads every part
    from sender.local.up import run_until_interrupted  # noqa: PLC0415

    ports = Ports(webhooks=webhook_port, flower=flower_port)
    run_until_interrupted(folder, workers=workers, ports=ports, say=typer.echo)


@app.command()
def migrate() -> None:
    """Bring the database in DATABASE_URL up to date; doing it again changes nothing."""
    from sender.storage.migrate import migrate as bring_up_to_date  # noqa: PLC0415  # keep fast

    bring_up_to_date(Settings.from_environment().database_url)
    typer.echo("the database is up to date")


@app.command()
def demo(
    recipients: Annotated[int, typer.Option(min=50, help="Recipients in the audience.")] = 2_000,
    seed: Annotated[int, typer.Option(help="Same seed, same plan.")] = 7,
    kill_worker: Annotated[  # typer makes a flag of it
        bool, typer.Option("--kill-worker", help="Kill -9 a worker in the middle; replace it.")
    ] = False,
    provider_block: Annotated[
        bool,
        typer.Option(
            "--provider-block/--no-provider-block",
            help="Whether the provider refuses whom it knows as opted out.",
        ),
    ] = True,
    keep_running: Annotated[
        bool, typer.Option("--keep-running", help="Print the URLs and wait for Ctrl-C.")
    ] = False,
    rejects: Annotated[
        Path | None, typer.Option(help="Write the audience's rejected rows to this file.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Run a whole campaign against the simulator and audit it; exit code 1 if a promise broke."""
    from sender.local.demo import DemoOptions  # noqa: PLC0415  # loads every part
    from sender.local.demo.command import run_and_report  # noqa: PLC0415

    options = DemoOptions(
        recipients=recipients,
        seed=seed,
        kill_worker=kill_worker,
        provider_block=provider_block,
        keep_running=keep_running,
        rejects_file=rejects,
    )
    if not run_and_report(options, as_json=json):
        raise typer.Exit(FAILED)
