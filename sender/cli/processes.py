"""Commands that run things: everything, the migration, the demo, the simulator."""

from pathlib import Path
from typing import Annotated

import typer

from sender.cli.showing import FAILED
from sender.config import Settings

app = typer.Typer()

#: What the simulator takes where nothing else is given.
_SIMULATED_ACCOUNT = "AC" + "0" * 32
_SIMULATED_TOKEN = "simulated-auth-token"  # noqa: S105  # it guards nothing


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


@app.command()
def simulate(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 8080,
    inbound_url: Annotated[
        str, typer.Option(help="Where texts from people are posted (…/twilio/inbound).")
    ] = "",
    account_sid: Annotated[
        str, typer.Option(envvar="TWILIO_ACCOUNT_SID", help="The account there is.")
    ] = _SIMULATED_ACCOUNT,
    auth_token: Annotated[
        str, typer.Option(envvar="TWILIO_AUTH_TOKEN", help="Checked, and signs webhooks.")
    ] = _SIMULATED_TOKEN,
    number: Annotated[list[str] | None, typer.Option(help="A number of the account.")] = None,
    service: Annotated[
        list[str] | None,
        typer.Option(help="A Messaging Service and its numbers: MG…=+1555…,+1556…"),
    ] = None,
    log: Annotated[
        Path | None, typer.Option(help="Append every request to this file (JSON lines).")
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same faults.")] = 0,
    provider_block: Annotated[
        bool, typer.Option(help="Block who opted out, as Twilio does on long codes.")
    ] = True,
    latency_ms: Annotated[float, typer.Option(help="Time a create takes.")] = 0.0,
) -> None:
    """A local Twilio to develop against: creates, opt-outs, signed webhooks, faults."""
    from sender.simulator import SimulatorConfig, serve  # noqa: PLC0415  # loads an HTTP server

    services = dict(_service(text) for text in service or [])
    config = SimulatorConfig(
        port=port,
        inbound_url=inbound_url,
        account_sid=account_sid,
        auth_token=auth_token,
        numbers=tuple(number or ["+15005550006"]),
        services=services,
        log_path=log,
        seed=seed,
        provider_block=provider_block,
        latency_ms=latency_ms,
    )
    serve(config)


def _service(text: str) -> tuple[str, tuple[str, ...]]:
    sid, _, numbers = text.partition("=")
    if not (sid.startswith("MG") and numbers):
        raise typer.BadParameter(f"{text!r} is not MG…=+number,+number")
    return sid, tuple(numbers.split(","))
