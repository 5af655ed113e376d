"""Waiting with a bound: poll a condition, never sleep for luck."""

import http.client
import time
from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus
from urllib.parse import urlsplit

from sender.errors import WaitedTooLong

_POLL_SECONDS = 0.02
# How long a condition is left alone, as a multiple of what its last answer took, and at most.
_PAUSE_PER_ANSWER, _LONGEST_PAUSE_SECONDS = 4, 0.2
_HTTP_TIMEOUT_SECONDS = 2.0


def wait_until(condition: Callable[[], bool], timeout: timedelta, what: str) -> None:
    """Return as soon as `condition()` is true; it is asked every 20 ms, and at least once.

    One that takes long to answer is asked less often: what is waited for needs the time, too.

    Args:
        condition: what it raises reaches the caller.
        timeout: how long to go on asking.
        what: completes the sentence "waited 5 s for …" of the error.

    Raises:
        WaitedTooLong: the condition was still false after `timeout`.
    """
    deadline = time.monotonic() + timeout.total_seconds()
    asked_at = time.monotonic()
    while not condition():
        now = time.monotonic()
        if now >= deadline:
            raise WaitedTooLong(f"Waited {timeout.total_seconds():g} s for {what}.")
        pause = max(_POLL_SECONDS, _PAUSE_PER_ANSWER * (now - asked_at))
        time.sleep(min(pause, _LONGEST_PAUSE_SECONDS))
        asked_at = time.monotonic()


def wait_for_http(url: str, timeout: timedelta = timedelta(seconds=30)) -> None:
    """Return once a GET of `url` (plain HTTP) answers 200.

    Raises:
        WaitedTooLong: it did not within `timeout`.
    """
    wait_until(lambda: answers_http(url), timeout, f"{url} to answer 200")


def answers_http(url: str) -> bool:
    """Whether a GET of `url` (plain HTTP) answers 200 now; refused and broken count as no."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=_HTTP_TIMEOUT_SECONDS)
    try:
        connection.request("GET", parts._replace(scheme="", netloc="").geturl() or "/")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
