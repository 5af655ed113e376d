"""Run the simulator as a process of its own."""

from aiohttp import web

from sender.simulator.account import SimulatorConfig
from sender.simulator.app import create_app

#: Longer would only wait for scripted hangs.
_SHUTDOWN_SECONDS = 1.0


def serve(config: SimulatorConfig) -> None:
    """Serve until SIGTERM or SIGINT, then write the rest of the log and return.

    Raises:
        OSError: The port is taken.
    """
    web.run_app(
        create_app(config),
        host=config.host,
        port=config.port,
        access_log=None,
        shutdown_timeout=_SHUTDOWN_SECONDS,
        print=None,
    )
