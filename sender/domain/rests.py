"""Why a sender rests: it passes by itself, unlike a hold."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self


class RestReason(StrEnum):
    """Why nothing of a sender is sent before a given time."""

    #: Its pace: the next tokens are some seconds away.
    PACE = "pace"
    #: The provider limits the account's requests (429) and asked to be left alone.
    THROTTLED = "throttled"
    #: The provider's queue for this sender is full.
    QUEUE_FULL = "queue_full"
    #: Its daily cap, or its tenant's, is used up. A raised cap ends it.
    DAILY_CAP = "daily_cap"
    #: The provider cannot be reached, or gives no proper answer.
    OUTAGE = "provider_takes_nothing"
    #: Redis is away: without it there is no pacing, so nothing is sent.
    PACING_UNAVAILABLE = "pacing_unavailable"
    #: Postgres is away.
    DATABASE_UNAVAILABLE = "database_unavailable"
    #: The tenant's credentials cannot be read.
    CANNOT_SIGN_IN = "tenant_cannot_sign_in"


@dataclass(frozen=True, kw_only=True)
class Rest:
    """How long a sender is to rest, and why."""

    length: timedelta
    why: RestReason

    def or_longer(self, other: Self | None) -> Self:
        """The longer one of two, for both would end with it."""
        return self if other is None or other.length <= self.length else other


@dataclass(frozen=True, kw_only=True)
class Resting:
    """A rest under way."""

    #: One of `RestReason`.
    reason: str
    until: datetime
