"""When a campaign's 21610s call for a person: a pure policy over counts."""

from dataclasses import dataclass
from typing import Final

#: Fewer prove nothing, however small the campaign: lists go stale by a few people a day.
ALERT_LEAST: Final = 20
#: As many must be among the last answers for a hold: a quarter of a minute's bad luck is none.
HOLD_LEAST: Final = 50


@dataclass(frozen=True, kw_only=True)
class BlockLimits:
    """From which share of 21610s on somebody is told, and the campaign is held; 0: never."""

    #: Of all its answers. A list that knows its opt-outs meets far fewer: only those whose STOP
    #: crossed a request.
    alert_share: float = 0.01
    #: Of its latest answers. One in five is no list that went stale, but the wrong list, or one
    #: without its opt-outs.
    hold_share: float = 0.2

    @property
    def alert_from(self) -> int | None:
        """How many 21610s there must be at least for an alert; ``None``: there never is one."""
        return ALERT_LEAST if self.alert_share else None

    @property
    def window(self) -> int:
        """Of how many of the latest answers ``HOLD_LEAST`` are too many; 0: never."""
        return int(HOLD_LEAST / self.hold_share) if self.hold_share else 0

    def enough(self, blocks: int) -> int:
        """From so many answers on, that many 21610s are no reason to alert."""
        return int(blocks / self.alert_share) + 1

    def is_alarming(self, *, blocks: int, answers: int) -> bool:
        """Whether so many 21610s, of so many answers, are to be told of."""
        return 0 < self.alert_share * answers <= blocks and blocks >= ALERT_LEAST
