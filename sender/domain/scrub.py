"""The scrub before a campaign: whether it is wanted, how far back it reads, and what it found."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from sender.domain.consent import ConsentEvent, Direction, ReasonClass


class ScrubSource(StrEnum):
    """Where Twilio tells of opt-outs that we may not know."""

    #: What people texted to the campaign's senders.
    INBOUND = "inbound"
    #: Messages from these senders that failed because the person has opted out.
    FAILURES = "failures"
    #: The same for requests that were refused at once: they leave nothing but an alert.
    ALERTS = "alerts"


class ScrubOutcome(StrEnum):
    """What became of a campaign's scrub."""

    #: The campaign waits for it.
    WAITING = "waiting"
    #: Twilio was asked, and what it told is in force.
    DONE = "done"
    #: It was not asked for, or not by default.
    SKIPPED = "skipped"
    #: A person let the campaign go without it.
    LIFTED = "lifted"
    #: The campaign ended before.
    DROPPED = "dropped"


#: Why a scrub is skipped.
SWITCHED_OFF, NOT_WANTED, TRANSACTIONAL = "switched_off", "not_wanted", "transactional"

#: How far back the first look for blocks goes: Twilio keeps its alerts no longer.
FIRST_LOOK = timedelta(days=30)
#: Failed messages are read again so long before the mark: a block shows seconds after creation.
FAILURES_OVERLAP = timedelta(minutes=2)
#: The same for the log of an account with more than these senders: so long that it mostly goes back
#: beyond what was read of the texts to its numbers, and stands for a request for each of them.
ACCOUNT_OVERLAP, FEW_SENDERS = timedelta(minutes=10), 5
#: The same for alerts, which Twilio buffers.
ALERTS_OVERLAP = timedelta(minutes=15)
#: How long a scrub is good for where a campaign has not gone on since: after a longer pause it is
#: scrubbed again. It costs a second, and what only a scrub sees (people whom Twilio blocks for
#: another system's texts) grows with that system's campaigns, which take hours.
GOOD_FOR = timedelta(hours=1)
#: Twilio may still refuse what it has not passed on; it keeps nothing queued for longer.
LONGEST_UNDECIDED = timedelta(hours=10)
#: Twilio's clock against ours, and a request's length: within it two reports are of one block.
SAME_BLOCK = timedelta(seconds=15)
#: Between two attempts while Twilio cannot be asked: doubled up to the longest.
FIRST_RETRY, LONGEST_RETRY = timedelta(seconds=1), timedelta(seconds=30)


@dataclass(frozen=True, kw_only=True)
class Scrub:
    """A campaign's scrub as it stands."""

    outcome: ScrubOutcome
    #: Why it was skipped or who lifted it; while it waits, what it failed with last.
    why: str
    #: Opt-outs that we did not know, by `ScrubSource`: people who would have been texted.
    drift: Mapping[str, int]
    #: What Twilio could not show, where that is known.
    unseen: str
    asked_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Found:
    """What one or more readings came to."""

    #: People who were not known to have opted out, by source.
    drift: Mapping[str, int] = field(default_factory=dict)
    #: What could not be seen.
    unseen: tuple[str, ...] = ()


def together(found: Iterable[Found]) -> Found:
    """All of them, every source counted."""
    drift: Counter[str] = Counter({source.value: 0 for source in ScrubSource})
    unseen: dict[str, None] = {}
    for one in found:
        drift.update(one.drift)
        unseen |= dict.fromkeys(one.unseen)
    return Found(drift=dict(drift), unseen=tuple(unseen))


def why_skipped(*, is_on: bool, transactional: bool, wanted: bool | None) -> str:
    """Why a campaign goes without a scrub; empty: it has one.

    Args:
        is_on: as set for everybody.
        transactional: such a text answers a person who waits for it.
        wanted: for this campaign, which decides; ``None``: not said.
    """
    if wanted is not None:
        return "" if wanted else NOT_WANTED
    if not is_on:
        return SWITCHED_OFF
    return TRANSACTIONAL if transactional else ""


def blocks_since(mark: datetime | None, *, at: datetime, overlap: timedelta) -> datetime:
    """From when on blocks are looked for.

    Args:
        mark: up to when they were; ``None``: never.
        at: the present.
        overlap: read again before it.
    """
    oldest = at - FIRST_LOOK
    return oldest if mark is None else max(mark - overlap, oldest)


def blocks_upto(undecided: datetime | None, *, at: datetime) -> datetime:
    """Up to when blocks are known, once all that was created before ``at`` was read.

    Args:
        undecided: when the oldest message was created that the provider had not passed on: it may
            fail with a block later, and is then looked for by its creation.
        at: when that was read.
    """
    if undecided is None:
        return at
    return min(at, max(undecided, at - LONGEST_UNDECIDED))


def retry_after(tries: int) -> timedelta:
    """How long a scrub that failed so often rests."""
    return min(FIRST_RETRY * (1 << min(tries, 10)), LONGEST_RETRY)


def is_told(known: Iterable[ConsentEvent], *, scope: int, at: datetime) -> bool:
    """Whether the log has a provider block in this scope already that is as late as this one.

    Then this one changes nothing: of a class the latest decides. Our own refused requests are in
    the provider's records, too.
    """
    return any(
        one.direction is Direction.OPT_OUT
        and one.reason is ReasonClass.PROVIDER_BLOCK
        and one.scope == scope
        and (one.provider_at is None or one.provider_at >= at - SAME_BLOCK)
        for one in known
    )
