"""Rows that wait for slots, and tell what became of them."""

import asyncio
from dataclasses import dataclass, field

#: By the send clock: nobody waits for so long.
FAR = float("inf")


@dataclass(kw_only=True, eq=False)
class WaitingRow:
    """One whose request is answered when the test says so."""

    by: float = FAR
    #: ``waiting``, ``begun``, ``ended`` or ``turned away``.
    state: str = "waiting"
    breaks: bool = False
    #: Set once it was turned away.
    turned_away: asyncio.Event = field(default_factory=asyncio.Event)
    _answer: asyncio.Event = field(default_factory=asyncio.Event)

    async def hand_off(self) -> None:
        """Make the request, and wait for its answer."""
        self.state = "begun"
        await self._answer.wait()
        self.state = "ended"
        if self.breaks:
            raise RuntimeError("nobody foresaw this")

    def turn_away(self) -> None:
        """No slot came."""
        self.state = "turned away"
        self.turned_away.set()

    def answer(self) -> None:
        """The answer is there."""
        self._answer.set()


def states(rows: list[WaitingRow]) -> list[str]:
    """What became of them."""
    return [row.state for row in rows]


async def settled() -> None:
    """Let everything that can run, run."""
    for _ in range(10):
        await asyncio.sleep(0)
