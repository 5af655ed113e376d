"""What the provider calls for a sender, and what has to change so that it calls us."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum

METHOD = "POST"


@dataclass(frozen=True, kw_only=True)
class Hook:
    """One URL of a sender's."""

    url: str
    method: str = METHOD

    def __str__(self) -> str:
        if not self.url:
            return "nothing"
        return self.url if self.method == METHOD else f"{self.method} {self.url}"


@dataclass(frozen=True, kw_only=True)
class HookSettings:
    """What the provider calls when somebody texts a sender."""

    #: ``+1…``, ``12345`` or ``MG…``
    sender: str
    #: The provider's name for it: ``PN…``, ``SC…`` or ``MG…``
    sid: str
    inbound: Hook
    fallback: Hook
    #: An application (``AP…``) whose URLs are called instead of these.
    application: str = ""
    #: A service whose numbers' own URLs are called instead of these: its numbers.
    numbers: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class EventSettings:
    """Which of an account's events are posted to us."""

    #: The provider's name for where to: ``DG…``; empty: nowhere.
    sink: str
    #: ``DF…``; empty: nothing is.
    subscription: str
    types: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be called."""

    inbound: Hook
    fallback: Hook
    #: Whether a URL may be replaced without asking: it is ours, or nobody's.
    is_free: Callable[[str], bool]


class Verdict(StrEnum):
    """What is to be done about a sender."""

    #: We are called.
    RIGHT = "right"
    #: We are not, and nothing stands in the way.
    CHANGE = "change"
    #: Somebody else is called: only who says so may replace that.
    FOREIGN = "foreign"
    #: Its numbers' own URLs are called, and those are looked at instead.
    NUMBERS = "numbers"
    #: The account has no such sender.
    MISSING = "missing"
    #: A name: nobody can reply to it, so that nothing is called.
    ONE_WAY = "one_way"
    #: It is no sender, as far as we know: nothing can be set here.
    BY_HAND = "by_hand"


@dataclass(frozen=True, kw_only=True)
class Change:
    """One setting, as it is and as it is to be."""

    setting: str
    before: str
    after: str


def judge(found: HookSettings, wanted: Wanted, *, replace: bool) -> tuple[Verdict, list[Change]]:
    """What is to be done about a sender, and what would change."""
    if found.numbers is not None:
        return Verdict.NUMBERS, []
    pairs = {
        "inbound": (found.inbound, wanted.inbound),
        "fallback": (found.fallback, wanted.fallback),
    }
    changes = [
        Change(setting=name, before=str(called), after=str(to_be))
        for name, (called, to_be) in pairs.items()
        if called != to_be
    ]
    if found.application:
        changes.append(Change(setting="application", before=found.application, after="nothing"))
    if not changes:
        return Verdict.RIGHT, []
    ours = all(wanted.is_free(called.url) for called, to_be in pairs.values() if called != to_be)
    free = ours and not found.application
    return Verdict.CHANGE if free or replace else Verdict.FOREIGN, changes


def judge_events(
    found: EventSettings, url: str, wanted: Collection[str]
) -> tuple[Verdict, list[Change]]:
    """The same of an account's events; nobody else's are in the way."""
    changes = []
    if not found.sink:
        changes.append(Change(setting="sink", before="nothing", after=url))
    changes += [
        Change(setting="events", before="not posted", after=kind)
        for kind in wanted
        if kind not in found.types
    ]
    return (Verdict.CHANGE if changes else Verdict.RIGHT), changes
