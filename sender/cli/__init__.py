"""The `sender` command: shells over the API and the local stack."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sender.collecting import uncollected

if TYPE_CHECKING:
    from sender.cli.program import app, main

__all__ = ["app", "main"]


def __getattr__(name: str) -> Any:
    """Import the commands on first use: one of them also runs by itself."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with uncollected():
        return getattr(import_module("sender.cli.program"), name)
