"""Has Twilio call us: which URLs that takes, what it calls now, and the change."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from sender.domain.phone import SenderKind, sender_kind
from sender.domain.webhook_setup import (
    Change,
    EventSettings,
    Hook,
    HookSettings,
    Verdict,
    Wanted,
    judge,
    judge_events,
)
from sender.storage import senders
from sender.storage.database import AsyncDatabase

#: What there is to do about a sender of which there is nothing at Twilio to look at.
_UNSEEN = {SenderKind.ALPHANUMERIC: Verdict.ONE_WAY, None: Verdict.BY_HAND}
#: Nobody need do anything about these.
_FINE = frozenset({Verdict.RIGHT, Verdict.NUMBERS, Verdict.ONE_WAY})


class Urls(Protocol):
    """The URLs below our public address."""

    @property
    def inbound(self) -> str:
        """For what people text."""

    @property
    def fallback(self) -> str:
        """For the same, when the first failed."""

    def status(self, message_id: str) -> str:
        """For the status callbacks of one message."""

    def is_free(self, url: str) -> bool:
        """Whether a URL may be replaced without asking."""


class Hooks(Protocol):
    """The webhooks of one account at Twilio."""

    async def find(self, sender: str) -> HookSettings | None:
        """What is called for a sender; ``None`` if the account does not have it."""

    async def change(self, found: HookSettings, wanted: Wanted) -> HookSettings:
        """Have other URLs called; what is called now."""


class Sinks(Protocol):
    """The Event Streams of one account at Twilio."""

    async def find(self, url: str) -> EventSettings:
        """Which events are posted to this URL."""

    async def change(self, found: EventSettings, url: str) -> EventSettings:
        """Have all be posted there that are wanted; what is posted now."""


#: What stands for a sender where an account's events are meant.
EVENT_STREAMS = "event streams"


@dataclass(frozen=True, kw_only=True)
class SenderHooks:
    """One sender, with what is to be done about it, or was."""

    #: Or `EVENT_STREAMS`.
    sender: str
    verdict: Verdict
    changes: tuple[Change, ...] = ()
    #: Whether the changes were made, and Twilio says so.
    changed: bool = False

    @property
    def is_left(self) -> bool:
        """Whether somebody must still do something about it."""
        return not self.changed and self.verdict not in _FINE


@dataclass(frozen=True, kw_only=True)
class EventInstallation:
    """The Event Streams of one tenant's account."""

    url: str
    #: Each with its schema.
    types: Mapping[str, int]
    #: Whether the webhook app takes events.
    wanted: bool
    sinks: Callable[[], Awaitable[Sinks]]

    async def install(self, *, dry_run: bool) -> SenderHooks:
        """Have Twilio post the account's events to us; what was done, or would be.

        Raises:
            ConfigurationError: the tenant's credentials are missing or cannot be read.
            ProviderUnavailable: Twilio gave no readable answer; doing it again does no harm.
        """
        sinks = await self.sinks()
        found = await sinks.find(self.url)
        verdict, changes = judge_events(found, self.url, self.types)
        changed = False
        if verdict is Verdict.CHANGE and not dry_run:
            after = await sinks.change(found, self.url)
            changed = judge_events(after, self.url, self.types)[0] is Verdict.RIGHT
        return SenderHooks(
            sender=EVENT_STREAMS, verdict=verdict, changes=tuple(changes), changed=changed
        )


@dataclass(frozen=True, kw_only=True)
class Installation:
    """The webhooks of one tenant's senders."""

    db: AsyncDatabase
    tenant_id: int
    urls: Urls
    #: Signs in to the tenant's account.
    hooks: Callable[[], Awaitable[Hooks]]
    events: EventInstallation

    async def senders(self) -> list[str]:
        """The tenant's senders, as far as they are entered."""
        return sorted(await self.db.run(senders.ids_of, self.tenant_id))

    async def install(
        self, chosen: list[str], *, replace: bool, dry_run: bool
    ) -> list[SenderHooks]:
        """Have Twilio call us for these senders; what was done about each, or would be.

        Args:
            chosen: numbers and services of the tenant's account; none: all senders entered. Where
                a service has its numbers' own URLs called, those numbers come after it.
            replace: also where somebody else is called now.
            dry_run: change nothing.

        Raises:
            ConfigurationError: the tenant's credentials are missing or cannot be read.
            ProviderUnavailable: Twilio gave no readable answer; what was changed stays changed,
                and doing it again does no harm.
        """
        hooks = await self.hooks()
        waiting, done = list(chosen or await self.senders()), dict[str, SenderHooks]()
        while waiting:
            sender = waiting.pop(0)
            if sender in done:
                continue
            found = None if _kind(sender) in _UNSEEN else await hooks.find(sender)
            done[sender] = await self._one(hooks, sender, found, replace=replace, dry_run=dry_run)
            waiting = [*((found and found.numbers) or ()), *waiting]
        return list(done.values())

    async def _one(
        self, hooks: Hooks, sender: str, found: HookSettings | None, *, replace: bool, dry_run: bool
    ) -> SenderHooks:
        if found is None:
            missing = _UNSEEN.get(_kind(sender), Verdict.MISSING)
            return SenderHooks(sender=sender, verdict=missing)
        verdict, changes = judge(found, self._wanted, replace=replace)
        changed = False
        if verdict is Verdict.CHANGE and not dry_run:
            after = await hooks.change(found, self._wanted)
            changed = judge(after, self._wanted, replace=False)[0] is Verdict.RIGHT
        return SenderHooks(sender=sender, verdict=verdict, changes=tuple(changes), changed=changed)

    @property
    def _wanted(self) -> Wanted:
        return Wanted(
            inbound=Hook(url=self.urls.inbound),
            fallback=Hook(url=self.urls.fallback),
            is_free=self.urls.is_free,
        )


def _kind(sender: str) -> SenderKind | None:
    try:
        return sender_kind(sender)
    except ValueError:
        return None
