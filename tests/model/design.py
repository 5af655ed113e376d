"""The safeguards as switches, so that each can be taken away; and what the person texts."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

from tests.model.state import NO_WINDOWS, State, Text, Windows

STOP: Final = "STOP"
START: Final = "START"


@dataclass(frozen=True, kw_only=True)
class Design:
    """Ours, unless told otherwise."""

    #: The guard's statement asks for suppressions.
    guard_asks: bool = True
    #: What the guard's statement finds is looked at again under the row's lock.
    guard_rechecks: bool = True
    #: The guard passes only at the generation that was read.
    guard_names_generation: bool = True
    guard_raises_generation: bool = True
    put_back_raises_generation: bool = True
    #: What puts back a guard whose commit broke names the row's owner.
    undo_names_owner: bool = True
    #: A settlement counts only at the generation of its guard.
    settle_names_generation: bool = True
    #: A process works on a slice once at a time.
    one_run_a_process: bool = True
    #: What was guarded too long ago is not begun.
    checks_clock: bool = True
    #: Once the first byte is written a row is never taken for not begun.
    knows_what_was_begun: bool = True
    #: A request without an answer is sent again.
    retries_timeouts: bool = False
    #: What Twilio's log does not have is sent again.
    resends_doubts: bool = False
    #: What a lost worker leaves in ``sending`` becomes in doubt, not pending.
    sweeper_doubts: bool = True
    sweeps: bool = True
    #: After 48 hours a doubt is unknown.
    gives_up: bool = True
    #: The answer to a STOP waits for its enforcement.
    ack_waits: bool = True
    #: The answer to a STOP waits until it is stored.
    ack_after_commit: bool = True
    withdraws: bool = True
    #: The withdrawal waits for a guard that holds the row.
    withdrawal_waits: bool = True
    #: The look has a snapshot of its own, younger than the withdrawal.
    looks_afterwards: bool = True
    looks_for_pending: bool = True
    looks_for_sending: bool = True
    looks_for_fresh_doubts: bool = True
    #: The consumer enforces what is stored and not enforced.
    consumer_enforces: bool = True
    #: The puller finds texts whose webhook never came.
    pulls: bool = True
    #: A START lifts only what is older by the provider's clock.
    start_must_be_later: bool = True


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What the person texts, in that order, and what the fleet is."""

    name: str
    texts: tuple[str, ...] = (STOP,)
    #: The two runs are of one worker process and not of two.
    one_process: bool = False
    #: Somebody works on the row sooner or later: the campaign is not paused, a worker is there.
    pump_works: bool = True
    windows: Windows = NO_WINDOWS

    @property
    def initial(self) -> State:
        """The campaign has not started, the person has texted nothing."""
        return State(texts=(Text(),) * len(self.texts), windows=self.windows)


@dataclass(frozen=True, kw_only=True)
class World:
    """A design in a scenario: the questions every actor asks."""

    design: Design
    scenario: Scenario

    @cached_property
    def stops(self) -> tuple[tuple[int, tuple[int, ...]], ...]:
        """Each STOP with the STARTs that are later."""
        texts = list(enumerate(self.scenario.texts))
        return tuple(
            (number, tuple(later for later, other in texts if other == START and later > number))
            for number, kind in texts
            if kind == STOP
        )

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """All STARTs."""
        return tuple(number for number, kind in enumerate(self.scenario.texts) if kind == START)

    def suppressed(self, state: State) -> bool:
        """What the suppression table says: the fold of what is stored."""
        texts = state.texts
        if not self.design.start_must_be_later and any(texts[one].stored for one in self.starts):
            return False
        return any(
            texts[stop].stored
            and not (texts[stop].dated and any(texts[later].dated for later in starts))
            for stop, starts in self.stops
        )

    def closed(self, state: State) -> bool:
        """Whether nothing may be begun: a STOP is in force, and enforced or acknowledged."""
        texts = state.texts
        return any(
            (texts[stop].enforced or texts[stop].acknowledged)
            and not any(texts[later].dated for later in starts)
            for stop, starts in self.stops
        )
