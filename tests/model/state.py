"""What the model knows at one moment. Tuples, because a search compares a million of them."""

from typing import Final, NamedTuple

# The row, in the words of `sender.domain.message`.
PLANNED: Final = "planned"  # its campaign has not started
PENDING: Final = "pending"
SENDING: Final = "sending"
SENT: Final = "sent"
FAILED: Final = "failed"
SUPPRESSED: Final = "suppressed"
IN_DOUBT: Final = "in_doubt"
UNKNOWN: Final = "unknown"

#: From here no request is made.
FINAL: Final = frozenset({SENT, FAILED, SUPPRESSED, UNKNOWN})

# Where a run of the pump is.
IDLE: Final = "idle"
READ: Final = "has read the row"
LOOKED: Final = "its guard has looked"
HOLDING: Final = "its guard holds the row"
UNDOING: Final = "its guard's commit broke"
LICENSED: Final = "may begin"
WRITING: Final = "has looked at the clock"
ASKED: Final = "waits for the answer"
TOLD: Final = {
    "accepted": "knows that it was accepted",
    "refused": "knows that it was refused",
    "back": "knows that nothing came of it",
    "ambiguous": "does not know what came of it",
}
OUTCOMES: Final = {at: outcome for outcome, at in TOLD.items()}

#: A run's generation is kept as its distance to the row's, which only grows: 0 matches now, 1 may
#: match later, and what is far behind is all alike.
_FAR_BEHIND: Final = {READ: -2, LOOKED: -2}

# Where enforcement is. Any number of rounds, of the webhook app and of the consumer, may overlap.
BETWEEN: Final = "between rounds"
WITHDRAWN: Final = "has withdrawn"
SAW_NOTHING: Final = "saw nothing under way, and withdraws"
SAW_SOMETHING: Final = "saw something under way, and withdraws"


class Run(NamedTuple):
    """One run of the pump over the row's slice."""

    at: str = IDLE
    #: The generation it names in its next statement, see above.
    gen: int = 0
    #: Its time to begin is over, as its monotonic clock will tell.
    late: bool = False
    #: Its process owns the row. Kept only where it matters: a row is put back by its owner.
    owner: bool = False


class Text(NamedTuple):
    """A STOP or START and what became of it."""

    stored: bool = False
    #: Its provider time is known.
    dated: bool = False
    enforced: bool = False
    #: Its webhook was answered 200.
    acknowledged: bool = False


class Windows(NamedTuple):
    """How many times each thing may happen that the design excludes."""

    #: The horizon passes between a run's last look at its clock and its first byte.
    zombie: int = 0
    #: The horizon passes while a request is on the network.
    slow_network: int = 0
    #: Postgres forgets something committed.
    lossy: int = 0


NO_WINDOWS: Final = Windows()


class State(NamedTuple):
    """Everything at one moment."""

    texts: tuple[Text, ...]
    row: str = PLANNED
    #: In doubt for less than the horizon.
    fresh: bool = False
    runs: tuple[Run, Run] = (Run(), Run())
    #: Requests on the network that nobody waits for any more.
    flying: int = 0
    accepted: int = 0
    enforcing: str = BETWEEN
    windows: Windows = NO_WINDOWS

    def with_run(self, index: int, run: Run) -> "State":
        """With one run elsewhere."""
        first, second = self.runs
        return self._replace(runs=(run, second) if index == 0 else (first, run))

    def with_text(self, index: int, text: Text) -> "State":
        """With one text's fate changed."""
        texts = list(self.texts)
        texts[index] = text
        return self._replace(texts=tuple(texts))

    def with_row(self, row: str, *, fresh: bool = False) -> "State":
        """With the row in another state; only a row that is sending has an owner."""
        runs = self.runs
        if row != SENDING:
            runs = (runs[0]._replace(owner=False), runs[1]._replace(owner=False))
        return self._replace(row=row, fresh=fresh, runs=runs)

    def raised(self) -> "State":
        """With the row's generation raised, so that what anybody knew of it is one older."""
        return self._replace(runs=(_older(self.runs[0]), _older(self.runs[1])))

    @property
    def held(self) -> bool:
        """Whether a guard that is not committed yet holds the row: others wait."""
        return self.runs[0].at == HOLDING or self.runs[1].at == HOLDING

    @property
    def key(self) -> "State":
        """The same for all states that differ only in which run is which."""
        first, second = self.runs
        return self if first <= second else self._replace(runs=(second, first))


def _older(run: Run) -> Run:
    if run.at == IDLE:
        return run
    return run._replace(gen=max(run.gen - 1, _FAR_BEHIND.get(run.at, -1)))
