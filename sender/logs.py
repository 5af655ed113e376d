"""Structured logs without numbers or texts."""

import logging
import sys

import structlog
from structlog.typing import Processor

from sender.gateway import RECIPIENT_LOGGERS

#: Loggers whose INFO lines tell an operator nothing.
_CHATTY = ("alembic", "aiohttp.access")

#: One list for good: loggers that are in use already keep the one they began with.
_PROCESSORS: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.JSONRenderer(),
]


def configure(level: str) -> None:
    """Log JSON lines to stderr, and keep libraries that print recipients quiet."""
    logging.basicConfig(level=level, stream=sys.stderr, format="%(message)s")
    for name in (*RECIPIENT_LOGGERS, *_CHATTY):
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=_PROCESSORS,
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
