"""What whoever watches a demo is told while it runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

#: States of messages that the provider took, and those nothing is begun from any more.
_SENT = ("sent", "delivered", "undelivered")
_OPEN = ("pending", "sending")


@dataclass(frozen=True, kw_only=True)
class Figures:
    """A campaign at one moment."""

    elapsed: timedelta
    recipients: int
    #: Messages by state.
    states: Mapping[str, int]
    stops: int
    stops_enforced: int
    incidents: int

    @property
    def over(self) -> int:
        """Messages that nothing is begun for any more."""
        return self.recipients - sum(self.states.get(state, 0) for state in _OPEN)

    @property
    def sent(self) -> int:
        """Messages the provider took."""
        return sum(self.states.get(state, 0) for state in _SENT)

    @property
    def share(self) -> float:
        """The part of the campaign that is over."""
        return self.over / self.recipients


class View(Protocol):
    """Somebody, or nobody, who watches."""

    def step(self, what: str) -> None:
        """Something begins; it is over when anything else is told."""

    def progress(self, figures: Figures) -> None:
        """The campaign runs."""

    def waiting(self, what: str) -> None:
        """The campaign is over, and this is still awaited."""

    def note(self, what: str) -> None:
        """Something happened, or something to know."""

    def close(self) -> None:
        """Nothing more will be told."""


class NoView:
    """Nobody watches."""

    def step(self, what: str) -> None:
        """Show nothing."""

    def progress(self, figures: Figures) -> None:
        """Show nothing."""

    def waiting(self, what: str) -> None:
        """Show nothing."""

    def note(self, what: str) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Show nothing."""
