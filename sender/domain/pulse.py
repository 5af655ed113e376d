"""Whether a worker process does what it is there for, judged by its pulses.

A worker lives as long as its lock, and can be useless all the same: its connection to the broker
may be dead without anybody's knowing, so that it never runs a hint again. So it publishes a pulse
now and then, a hint to itself alone, and notes that it ran.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

#: How often a worker publishes one.
PULSE_EVERY = timedelta(seconds=15)


class Verdict(StrEnum):
    """What a worker's pulses say of it."""

    #: It has run a pulse lately.
    WELL = "well"
    #: It publishes pulses and runs none: it will run nothing else, and only a new process helps.
    DEAF = "deaf"
    #: It has not even tried to publish one: its event loop hangs, or the process is suspended.
    STUCK = "stuck"
    #: It cannot publish: nobody can tell whether it would hear, and a new process could not either.
    BROKER_AWAY = "broker_away"
    #: Its lock is not held: it has ended, or Postgres does not see it.
    GONE = "gone"
    #: It has run no pulse yet, and is too young for that to mean anything.
    STARTING = "starting"

    @property
    def is_sick(self) -> bool:
        """Whether a new process in its place would help."""
        return self in {Verdict.DEAF, Verdict.STUCK, Verdict.GONE}


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How long silence may last before it means something."""

    #: Longer than a thread can be busy with a slice (45 s), and than Celery needs by itself to
    #: replace a connection that broke without a word (a minute); several pulses, because a
    #: broker that is emptied loses one.
    deaf: timedelta = timedelta(seconds=120)
    #: A pulse is due every 15 s, its publishing may take 10 s, and noting it in a Postgres that
    #: is busy or was restarted as long as that again.
    stuck: timedelta = timedelta(seconds=90)


@dataclass(frozen=True, kw_only=True)
class Signs:
    """What is known of a worker: how long ago things happened, ``None`` where they never did."""

    #: Whether its lock is held.
    lives: bool
    #: It was registered.
    started: timedelta
    #: The last pulse that it published.
    sent: timedelta | None = None
    #: The last that it could not publish.
    failed: timedelta | None = None
    #: The last that it ran.
    heard: timedelta | None = None


def judge(signs: Signs, bounds: Bounds = Bounds()) -> Verdict:
    """Say how a worker is.

    Silence counts from the last pulse heard, and anew from each that could not be published: what
    was not sent cannot be heard.
    """
    if not signs.lives:
        return Verdict.GONE
    tried = _latest(signs.sent, signs.failed)
    if (signs.started if tried is None else tried) > bounds.stuck:
        return Verdict.STUCK
    if tried is not None and tried == signs.failed:
        return Verdict.BROKER_AWAY
    silence = _latest(signs.heard, signs.failed, signs.started)
    if silence is not None and silence > bounds.deaf:
        return Verdict.DEAF
    return Verdict.STARTING if signs.heard is None else Verdict.WELL


def _latest(*ages: timedelta | None) -> timedelta | None:
    return min((age for age in ages if age is not None), default=None)
