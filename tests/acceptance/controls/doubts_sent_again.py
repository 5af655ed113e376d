"""Workers that send again what may have been accepted."""

from dataclasses import replace

from sender.domain.message import Guarded, State
from sender.domain.outcome import Ambiguous, Outcome
from sender.parts import Parts
from sender.settlement import Settlement
from sender.storage.settling import Way
from workers.app import create_app


class Hasty(Settlement):
    """Takes a lost answer for a refusal."""

    def decide(self, guarded: Guarded, outcome: Outcome) -> Way:
        """As always, but what is ambiguous goes back to pending."""
        way = super().decide(guarded, outcome)
        return replace(way, state=State.PENDING) if isinstance(outcome, Ambiguous) else way


app = create_app(parts=Parts(settlement=Hasty))
