"""The command that runs the simulator, also by itself: ``python -m sender.cli.simulating``.

By itself it loads nothing of what the simulator is the other side of, and starts in a third of the
time.
"""

from pathlib import Path
from typing import Annotated

import typer

from sender.simulator import SimulatorConfig

app = typer.Typer()

#: What the simulator takes where nothing else is given.
_SIMULATED_ACCOUNT = "AC" + "0" * 32
_SIMULATED_TOKEN = "simulated-auth-token"  # noqa: S105  # it guards nothing


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
    from sender.simulator import serve  # noqa: PLC0415  # loads an HTTP server

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


if __name__ == "__main__":
    app()
