"""A local Twilio to develop and test against: opt-outs, signed webhooks, callbacks and faults.

It is the other side: it knows Twilio's wire format and nothing of this project's domain. The
server is imported when it is first asked for, so that naming a ``SimulatorConfig`` stays cheap.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sender.simulator.account import SimulatorConfig

if TYPE_CHECKING:
    from sender.simulator.app import create_app
    from sender.simulator.serving import serve

__all__ = ["SimulatorConfig", "create_app", "serve"]

_LAZY = {"create_app": "sender.simulator.app", "serve": "sender.simulator.serving"}


def __getattr__(name: str) -> Any:
    """Import the server on first use."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
