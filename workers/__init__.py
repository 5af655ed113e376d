"""The processes: Celery workers and beat, the webhook app, the suppression consumer.

The only package that imports Celery. ``celery -A workers …`` finds ``app`` here; the webhook app
and the consumer do without Celery.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from sender.collecting import uncollected

if TYPE_CHECKING:
    from workers.app import app

__all__ = ["app"]

if not TYPE_CHECKING:  # to type checkers it would say that every name exists

    def __getattr__(name: str) -> object:
        """Load the Celery app when it is first asked for."""
        if name != "app":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        with uncollected():
            # The import itself names the module here, which is called the same.
            value = globals()[name] = import_module("workers.app").app
        return value
