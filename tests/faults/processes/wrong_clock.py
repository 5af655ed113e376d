"""``celery`` in a process whose wall clock is wrong by ``CLOCK_WRONG_BY`` seconds.

What Python reads is changed before anything else is imported: ``time.time`` and its kin, and what
``datetime`` calls now. The process says on standard error what time Celery takes it to be.
"""

import datetime as dt
import os
import sys
import time
from typing import Any

_WRONG_BY = float(os.environ["CLOCK_WRONG_BY"])
_right, _right_ns = time.time, time.time_ns
_datetime = dt.datetime


class _AnyDatetime(type(_datetime)):  # type: ignore[misc]  # the class of a class
    """What was made elsewhere counts as well."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _datetime)


class _WrongDatetime(_datetime, metaclass=_AnyDatetime):
    """Makes plain ones; its now is wrong."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return _datetime(*args, **kwargs)

    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> Any:
        """What this clock shows."""
        return _datetime.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls) -> Any:
        """The same in UTC, without saying so."""
        return _datetime.fromtimestamp(time.time(), dt.UTC).replace(tzinfo=None)


def _set_clock() -> None:
    time.time = lambda: _right() + _WRONG_BY
    time.time_ns = lambda: _right_ns() + int(_WRONG_BY * 1e9)
    dt.datetime = _WrongDatetime  # type: ignore[misc]  # on purpose


if __name__ == "__main__":
    _set_clock()
    from celery.__main__ import main
    from celery.worker.request import datetime

    print("It is", datetime.now(dt.UTC).isoformat(), file=sys.stderr, flush=True)  # noqa: T201
    sys.exit(main())  # type: ignore[func-returns-value]  # Celery has no types
