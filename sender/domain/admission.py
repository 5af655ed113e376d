"""What is asked about a window immediately before it is sent, and the answer.

The lookup and the pacing tokens share one round trip. A hit is believed for now; "clear" and
"cold" are never the last word, which is the guard's in Postgres.
"""

import math
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from sender.domain.phone import SenderKind

#: Segments a second where nothing else is configured, by Twilio's defaults for the kind.
DEFAULT_PACE = {
    SenderKind.LONG_CODE: 1.0,
    SenderKind.TOLL_FREE: 3.0,
    SenderKind.SHORT_CODE: 100.0,
    SenderKind.MESSAGING_SERVICE: 10.0,
    SenderKind.ALPHANUMERIC: 10.0,
}

#: Where a daily cap's day ends where nothing else is said: the caps that US carriers set begin
#: anew at midnight there (T-Mobile's daily brand cap, Twilio's 30023 and 30027).
CAP_ZONE = "America/Los_Angeles"


@dataclass(frozen=True, kw_only=True)
class Pace:
    """The token bucket of one sender, in segments, because carriers count segments.

    In any stretch of t seconds at most ``burst + rate * t`` segments are admitted, plus what the
    last message owes (its segments less one).

    Raises:
        ValueError: a rate or burst at which nothing would ever go; to stop a sender, hold it.
    """

    #: Whose sender it is.
    tenant_id: int
    #: Which sender's tokens are taken.
    sender_id: int
    #: Segments a second in the long run.
    rate: float
    #: Segments that may go at once after a pause.
    burst: int

    def __post_init__(self) -> None:
        if not (self.rate > 0 and math.isfinite(self.rate)):
            raise ValueError(f"rate must be a positive number of segments a second: {self.rate!r}")
        if self.burst < 1:
            raise ValueError(f"burst must be at least one segment: {self.burst!r}")


class Verdict(StrEnum):
    """What the set says about one recipient in all the scopes that cover it."""

    #: In the set of a scope. Settled with Postgres's reason; where Postgres has none, repaired.
    SUPPRESSED = "suppressed"
    #: In none of them, all of them warm. The guard still decides.
    CLEAR = "clear"
    #: A part of a set that could answer is missing. The guard decides alone.
    COLD = "cold"


@dataclass(frozen=True, kw_only=True)
class Admission:
    """The answer for one window."""

    #: One verdict a recipient, in the order asked.
    verdicts: tuple[Verdict, ...]
    #: How many of those not suppressed, in order, may go now: their tokens are taken.
    admitted: int
    #: Time until the next of them is due; zero when all were admitted.
    wait: timedelta
    #: Whether it is the account that must be left alone until then, whatever tokens there are.
    paused: bool = False


@dataclass(frozen=True, kw_only=True)
class ScopeSize:
    """A scope's set in Redis, counted."""

    members: int
    #: Whether any number of it would be answered "cold".
    cold: bool
