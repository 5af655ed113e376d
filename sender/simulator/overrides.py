"""Connection overrides: how Twilio is told, in a webhook URL's fragment, to retry and time out."""

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from urllib.parse import parse_qsl


class Failure(StrEnum):
    """How one attempt to post a webhook failed, in the words of the ``rp`` parameter."""

    #: No connection: refused, unresolvable, or not within ``ct``.
    CONNECT = "ct"
    #: No answer: too late, or the connection was closed first.
    READ = "rt"
    CLIENT_ERROR = "4xx"
    SERVER_ERROR = "5xx"

    @classmethod
    def from_http_status(cls, status: int) -> "Failure | None":
        """What an answer counts as; everything below 400 is a success."""
        if status >= 500:
            return cls.SERVER_ERROR
        return cls.CLIENT_ERROR if status >= 400 else None


@dataclass(frozen=True, kw_only=True)
class Overrides:
    """Limits of one webhook, all attempts together; Twilio's defaults."""

    connect_ms: int = 5_000
    read_ms: int = 15_000
    #: For all attempts and the pauses between them.
    total_ms: int = 15_000
    retries: int = 1
    #: The failures that are tried again. By default a 500 is not.
    policy: frozenset[str] = frozenset({Failure.CONNECT})

    @classmethod
    def from_fragment(cls, fragment: str) -> "Overrides":
        """Read ``ct=3000&rt=2000&tt=15000&rc=5&rp=all``; what is out of range keeps its default."""
        return _parsed(fragment)

    def retries_after(self, failure: Failure) -> bool:
        """Whether the policy (a list of failures, or ``all``) covers this one."""
        return failure in self.policy or "all" in self.policy


_DEFAULTS = Overrides()


@lru_cache(maxsize=256)
def _parsed(fragment: str) -> Overrides:
    given = dict(parse_qsl(fragment))
    return Overrides(
        connect_ms=_number(given.get("ct"), 100, 10_000, _DEFAULTS.connect_ms),
        read_ms=_number(given.get("rt"), 100, 15_000, _DEFAULTS.read_ms),
        total_ms=_number(given.get("tt"), 100, 15_000, _DEFAULTS.total_ms),
        retries=_number(given.get("rc"), 0, 5, _DEFAULTS.retries),
        policy=frozenset(given["rp"].split(",")) if "rp" in given else _DEFAULTS.policy,
    )


def _number(text: str | None, least: int, most: int, default: int) -> int:
    if text is None or not text.isdecimal():
        return default
    return int(text) if least <= int(text) <= most else default
