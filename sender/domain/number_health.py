"""What failures say about a number: whether, and until when, another text to it is wasted.

It saves money and the sender's standing, and no promise hangs on it. So every mark expires, a
delivery wipes it away, and what proves nothing alone must come again over days.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final


class NumberFault(StrEnum):
    """What a provider's failure says about the number it concerned."""

    #: No number of any plan.
    INVALID = "invalid"
    #: A line that takes no texts.
    LANDLINE = "landline"
    #: A landline, or a carrier that is not reached.
    NO_CARRIER = "no_carrier"
    #: The carrier knows no such handset, or does not know it just now.
    GONE = "gone"
    #: Off, out of coverage, or failed for a reason that nobody tells.
    SILENT = "silent"
    #: Blocked by the carrier or the person. Not known to be an opt-out: that would never expire.
    BLOCKED = "blocked"


@dataclass(frozen=True, kw_only=True)
class Health:
    """What is known of one number with one tenant."""

    #: Failures that prove nothing one by one.
    strikes: int
    first_strike_at: datetime | None
    #: Until then the number is skipped; ``None``: it is not.
    bad_until: datetime | None
    #: When it failed last.
    changed_at: datetime


#: Faults that prove it at once, and how long that is believed.
PROOFS: Final = {
    # Plans are extended and numbers given out, but hardly within a quarter.
    NumberFault.INVALID: timedelta(days=90),
    # A line is seldom ported to a mobile or a text service: twice a year is often enough to ask.
    NumberFault.LANDLINE: timedelta(days=180),
    # As likely as not the carrier's fault, which is repaired sooner.
    NumberFault.NO_CARRIER: timedelta(days=60),
}


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How many strikes, spread over how long, make a number bad; and for how long."""

    strikes: int
    over: timedelta
    bad_for: timedelta


#: The spread keeps one bad day of a carrier, or three campaigns in a week, from marking anybody.
PATIENCE: Final = {
    # A number given up is handed out again after 45 days at the earliest (FCC, 47 CFR 52.15).
    NumberFault.GONE: Patience(strikes=2, over=timedelta(days=2), bad_for=timedelta(days=45)),
    # A week is longer than a trip or a repair; whoever was away for it is back in a fortnight.
    NumberFault.SILENT: Patience(strikes=3, over=timedelta(days=7), bad_for=timedelta(days=14)),
    # Carriers and people lift blocks without a word, so it is tried again, four times a year.
    NumberFault.BLOCKED: Patience(strikes=3, over=timedelta(days=7), bad_for=timedelta(days=90)),
}
#: Strikes older than this say nothing of today; a tenant who texts monthly still collects three.
STRIKES_FADE: Final = timedelta(days=90)


def after_failure(health: Health, fault: NumberFault, *, at: datetime, short_code: bool) -> Health:
    """What is known of a number after one more failure.

    A mark is never shortened, and one that has run out leaves its strikes: the next one soon
    after it marks the number again.

    Args:
        health: what was known before.
        fault: what the failure says.
        at: when it became known.
        short_code: whether the sender was one. To a short code's network more numbers look like
            landlines than are (Twilio, error 30006), so there it is only a strike.
    """
    if fault is NumberFault.NO_CARRIER and short_code:
        fault = NumberFault.SILENT
    if fault in PROOFS:
        bad_until = _later(health.bad_until, at + PROOFS[fault])
        return replace(health, bad_until=bad_until, changed_at=at)
    return _struck(health, PATIENCE[fault], at)


def _struck(health: Health, patience: Patience, at: datetime) -> Health:
    fresh = health.first_strike_at is not None and at - health.changed_at <= STRIKES_FADE
    strikes = health.strikes + 1 if fresh else 1
    first = health.first_strike_at if fresh and health.first_strike_at else at
    enough = strikes >= patience.strikes and at - first >= patience.over
    return Health(
        strikes=strikes,
        first_strike_at=first,
        bad_until=_later(health.bad_until, at + patience.bad_for) if enough else health.bad_until,
        changed_at=at,
    )


def _later(one: datetime | None, other: datetime) -> datetime:
    return other if one is None else max(one, other)
