"""The simulator as an aiohttp application."""

from collections.abc import AsyncIterator

from aiohttp import web

from sender.simulator.account import SimulatorConfig
from sender.simulator.api import MessagesApi
from sender.simulator.control import ControlApi
from sender.simulator.simulator import Simulator

#: Enough to pre-load a few hundred thousand opt-outs or rules in one request.
_MAX_REQUEST_BYTES = 64 * 1024 * 1024


def create_app(config: SimulatorConfig) -> web.Application:
    """Build the application; it begins to post webhooks when it is started."""
    simulator = Simulator(config)

    async def run(_app: web.Application) -> AsyncIterator[None]:
        await simulator.start()
        yield
        await simulator.stop()

    app = web.Application(client_max_size=_MAX_REQUEST_BYTES)
    ControlApi(simulator).add_routes(app)
    MessagesApi(simulator).add_routes(app)
    app.cleanup_ctx.append(run)
    return app
