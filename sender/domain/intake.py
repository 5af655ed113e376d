"""How STOPs come in, what must live for that, and how far back Twilio's log is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sender.domain.phone import SenderKind
from sender.domain.provider import ServiceRecord


class IntakeMode(StrEnum):
    """Where STOPs come from."""

    #: Webhooks, and Twilio's log for what they missed.
    BOTH = "both"
    #: Twilio's log alone, for those who cannot be called.
    PULL = "pull"
    #: Webhooks alone: after a gap a person must say that sending may go on.
    WEBHOOK = "webhook"


class Source(StrEnum):
    """What gives signs of life."""

    #: A webhook app that can write to Postgres.
    WEBHOOK = "webhook"
    #: The consumer, which pulls what webhooks missed.
    CONSUMER = "consumer"
    #: The consumer where nothing else brings STOPs: its sign of life is a pull.
    PULL = "pull"


class Blind(StrEnum):
    """Why Twilio's log cannot show what people text to a sender."""

    #: A name: nobody can reply to it.
    ONE_WAY = "one_way"
    #: A Messaging Service that is told to drop inbound messages, or a number in one: Twilio does
    #: not log them.
    DROPS_INBOUND = "drops_inbound"
    #: A Messaging Service without a number that could be texted.
    NO_NUMBERS = "no_numbers"
    #: A Messaging Service that Twilio does not know in this account.
    UNKNOWN_SERVICE = "unknown_service"
    #: A short code that was never heard of here: its texts may go to another provider.
    SHORT_CODE_UNHEARD = "short_code_unheard"


#: A sign of life is due this often, or six times within the silence that is allowed.
BEAT_EVERY = timedelta(seconds=5)
#: What Twilio received is in its log this much later, surely: the watermark stays as far behind.
LOG_SETTLES = timedelta(seconds=10)
#: A webhook that did not come within this will not come.
LATE = timedelta(minutes=1)
#: Read again before the watermark: Twilio's clock and ours are not the same.
OVERLAP = timedelta(minutes=5)
#: Clocks that differ by more than this are told of: somebody should set Postgres's.
CLOCKS_AGREE = timedelta(minutes=1)
#: How far back a sender is read that was never read and has no campaign under way.
FIRST_LOOK = timedelta(days=1)
#: What Twilio keeps at most.
HISTORY = timedelta(days=400)


@dataclass(frozen=True, kw_only=True)
class Rhythm:
    """The intake as it is configured."""

    mode: IntakeMode
    #: How long a source may give no sign of life.
    silence: timedelta
    pull_every: timedelta

    @property
    def sources(self) -> Mapping[Source, timedelta]:
        """What must live, and how long each sign of life is good for."""
        match self.mode:
            case IntakeMode.BOTH:
                return {Source.WEBHOOK: self.silence, Source.CONSUMER: self.silence}
            case IntakeMode.WEBHOOK:
                return {Source.WEBHOOK: self.silence}
            case IntakeMode.PULL:
                return {Source.PULL: 2 * self.pull_every + self.silence}

    @property
    def pulls(self) -> bool:
        """Whether Twilio's log is read."""
        return self.mode is not IntakeMode.WEBHOOK

    @property
    def beat_every(self) -> timedelta:
        """Between two signs of life."""
        return min(BEAT_EVERY, self.silence / 6)


def read_since(
    *,
    watermark: datetime | None,
    campaign: datetime | None,
    gap: datetime | None,
    at: datetime,
) -> datetime:
    """From when on a sender's inbound messages are read.

    Args:
        watermark: up to when they were; ``None``: never.
        campaign: when the oldest campaign under way was created, if one is.
        gap: since when STOPs may be missing, if they are; a watermark lies before it or in it.
        at: the present.
    """
    since = watermark or min(campaign or at, gap or at, at - FIRST_LOOK)
    return max(since - OVERLAP, at - HISTORY)


def blind_service(service: ServiceRecord | None) -> Blind | None:
    """Why a Messaging Service is blind; ``None``: its numbers' log shows all.

    Args:
        service: ``None``: Twilio has none of this name.
    """
    if service is None:
        return Blind.UNKNOWN_SERVICE
    if not service.receives:
        return Blind.DROPS_INBOUND
    return None if service.numbers else Blind.NO_NUMBERS


def blind_number(kind: SenderKind, *, heard: bool, dropped: bool = False) -> Blind | None:
    """The same for a number or a name.

    Args:
        kind: what it is.
        heard: whether an inbound message to it was ever seen.
        dropped: whether the service that it is in drops inbound messages.
    """
    if kind is SenderKind.ALPHANUMERIC:
        return Blind.ONE_WAY
    if dropped:
        return Blind.DROPS_INBOUND
    if kind is SenderKind.SHORT_CODE and not heard:
        return Blind.SHORT_CODE_UNHEARD
    return None
