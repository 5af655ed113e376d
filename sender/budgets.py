"""What one run may take of its sender's and its tenant's daily caps.

Segments are counted before their rows are guarded, whatever crashes: in the guard's own transaction
where a cap comes near its end, so that it is reached exactly; in advance where there is plenty
left, since windows that each lock the caps' rows wait for each other. What then did not go, by a
proven answer or because the run ended, is given back when it ends; what a crash or a broken
connection leaves unclear stays counted. So a cap may be reached a little early, and is never
passed. A text that is larger than a whole day's cap would find no room on any day, and keep all
others from finding theirs: it fails.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import accumulate

from sender.domain.message import Guarded
from sender.domain.outcome import Accepted, Ambiguous, Outcome
from sender.domain.rests import Rest, RestReason
from sender.storage import daily_caps
from sender.storage.daily_caps import CapToday
from sender.storage.database import Transaction
from sender.storage.messages import DueMessage, MessageTable
from sender.storage.slices import SliceWork
from sender.texts import DueText

#: Commits "I am about to send" for those of these rows that nothing forbids.
Guard = Callable[[Transaction, Sequence[DueMessage]], list[Guarded]]

#: What the provider took, or may have.
_MAY_HAVE_GONE = (Accepted, Ambiguous)
#: How long a sender rests whose run met the cap, and whose next run will find room: what the run
#: gave back, or what a person raised meanwhile.
LOOK_AGAIN = timedelta(seconds=1)
#: Segments that a run counts in advance: those of eight windows, and of the one that asks.
AHEAD = 512
#: What must be left of the day for that: towards its end runs would keep it from each other.
PLENTY = 256 * AHEAD
#: How long these are good for: as long as a cap that was lowered goes unnoticed.
GOOD_FOR = timedelta(seconds=2)
#: The reason of a message that has more segments than may go on a whole day.
OVER_DAILY_CAP = "over_daily_cap"


@dataclass(kw_only=True)
class Budget:
    """One run's. A sender without a cap has no end of it, and costs nothing."""

    work: SliceWork
    messages: MessageTable
    #: The caps of the latest window, and when their day was first met, by the send clock.
    _caps: list[CapToday] = field(default_factory=list, init=False)
    _since: float = field(default=float("-inf"), init=False)
    _unused: int = field(default=0, init=False)
    #: What of the latest window was counted.
    _taken: int = field(default=0, init=False)
    #: What was counted in advance and is still to be used, until a time by the send clock.
    _ahead: int = field(default=0, init=False)
    _good_until: float = field(default=float("-inf"), init=False)
    #: Until a look at the caps shows otherwise: then each window is counted by itself.
    _has_plenty: bool = field(default=True, init=False)
    #: Segments of the message that found no room; 0: all did.
    _short: int = field(default=0, init=False)

    @property
    def is_used_up(self) -> bool:
        """Whether a message found no room: the run must end."""
        return self._short > 0

    def draw(self, texts: Sequence[DueText], *, at: float) -> bool:
        """Use what was counted in advance for a whole window; `went` must be told afterwards.

        Args:
            texts: the window.
            at: when it began, by the send clock.

        Returns:
            Whether the window may be guarded as it is; else it has to be counted.
        """
        if not self.work.capped:
            return True
        wanted = _segments(texts)
        if not self._covers(wanted, at):
            return False
        self._ahead -= wanted
        self._taken = wanted
        return True

    def is_short_of(self, texts: Sequence[DueText], *, at: float) -> bool:
        """Whether a window is worth counting in advance now."""
        return self.work.capped and self._has_plenty and not self._covers(_segments(texts), at)

    def _covers(self, segments: int, at: float) -> bool:
        return segments <= self._ahead and at < self._good_until

    def count_ahead(self, tx: Transaction, texts: Sequence[DueText], *, at: float) -> None:
        """Count a window and some more in advance, in one statement, where there is plenty left."""
        wanted = _segments(texts) + AHEAD
        caps = daily_caps.reserve(
            tx,
            tenant_id=self.work.tenant_id,
            sender_id=self.work.sender_id,
            segments=wanted,
            plenty=PLENTY,
        )
        self._has_plenty = bool(caps)
        if caps:
            self._see(caps, at)
            self._ahead += wanted

    def _see(self, caps: list[CapToday], at: float) -> None:
        """Take note of the caps; what was counted on a day that is over is worth nothing."""
        if _days(caps) != _days(self._caps):
            self._since, self._unused, self._ahead = at, 0, 0
        self._caps = caps
        good_for = min((cap.until_midnight for cap in caps), default=GOOD_FOR)
        self._good_until = at + min(good_for, GOOD_FOR).total_seconds()

    def guard(
        self, tx: Transaction, texts: Sequence[DueText], guard: Guard, *, at: float
    ) -> list[Guarded]:
        """Count as many of a window's texts as there is room for, and guard these.

        What no day has room for fails.

        The caps stay locked until that is committed; `went` must be told then.

        Args:
            tx: the transaction, of which the guard is the last statement.
            texts: the window.
            guard: guards rows.
            at: when the window began, by the send clock.
        """
        caps = self._locked(tx)
        texts = self._without_too_large(tx, caps, texts)
        texts = texts[: self._take(tx, caps, [text.segments for text in texts], at)]
        return guard(tx, [text.row for text in texts]) if texts else []

    def _without_too_large(
        self, tx: Transaction, caps: Sequence[CapToday], texts: Sequence[DueText]
    ) -> Sequence[DueText]:
        """Those that a whole day has room for. A cap of 0 says "not now", of no text "never"."""
        largest = min((cap.segments for cap in caps if cap.segments), default=None)
        if largest is None:
            return texts
        if too_large := [text.row.id for text in texts if text.segments > largest]:
            self.messages.refuse(tx, too_large, reason=OVER_DAILY_CAP)
        return [text for text in texts if text.segments <= largest]

    def _take(
        self, tx: Transaction, caps: list[CapToday], segments: Sequence[int], at: float
    ) -> int:
        """Count what there is room for, in order; how many messages that is."""
        self._see(caps, at)
        # What was counted in advance goes back; it is needed no longer where little is left.
        self._unused, self._ahead = self._unused + self._ahead, 0
        left = min((cap.left for cap in caps), default=sum(segments))
        room = sum(total <= left for total in accumulate(segments))
        self._short = segments[room] if room < len(segments) else 0
        self._taken = sum(segments[:room])
        if room:
            daily_caps.use(tx, caps, self._taken)
        return room

    def note(self, outcome: Outcome, segments: int, *, at: float) -> None:
        """Remember what the provider provably did not take; of a day that is over, nothing.

        Args:
            outcome: what it said.
            segments: the message's.
            at: when the message's window began, by the send clock.
        """
        counts = self.work.capped and at >= self._since
        if counts and not isinstance(outcome, _MAY_HAVE_GONE):
            self._unused += segments

    def went(self, segments: int) -> None:
        """Remember that of the latest window so many were guarded, and the others did not go."""
        if self.work.capped:
            self._unused += self._taken - segments

    @property
    def is_left(self) -> bool:
        """Whether `give_back` has anything to do; it asks nothing otherwise."""
        return bool(self._unused + self._ahead)

    def give_back(self, tx: Transaction) -> None:
        """Give back what did not go, in one statement."""
        # At most once, whatever becomes of the transaction: twice would let the cap be passed.
        unused, self._unused, self._ahead = self._unused + self._ahead, 0, 0
        if unused:
            daily_caps.give_back(tx, self._caps, unused)

    def rest(self, tx: Transaction) -> Rest | None:
        """How long the sender must rest for want of room, if so; after `give_back`."""
        if not self.is_used_up:
            return None
        # Asked again, for a cap that was raised meanwhile has woken the sender already.
        full = [cap.until_midnight for cap in self._locked(tx) if cap.left < self._short]
        return Rest(length=max(full, default=LOOK_AGAIN), why=RestReason.DAILY_CAP)

    def _locked(self, tx: Transaction) -> list[CapToday]:
        return daily_caps.lock(tx, tenant_id=self.work.tenant_id, sender_id=self.work.sender_id)


def _days(caps: Sequence[CapToday]) -> list[tuple[str, date]]:
    return [(cap.level, cap.day) for cap in caps]


def _segments(texts: Sequence[DueText]) -> int:
    return sum(text.segments for text in texts)
