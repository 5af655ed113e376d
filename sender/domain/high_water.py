"""How far a database has come, so that an older one in its place is recognised."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, kw_only=True)
class Mark:
    """How far a database had come when somebody looked. A later look never shows a lower one."""

    #: The database's own; a restored copy has it too.
    identity: UUID
    #: Microseconds since 1970 of its last recovery; 0 before the first.
    era: int
    #: Counted up about once a second while processes run.
    seq: int
    #: Postgres's timeline; ``None`` where the server does not tell. It changes with a promotion and
    #: with a restore to a point in time, and means nothing across a recovery.
    timeline: int | None = None

    @property
    def height(self) -> tuple[int, int]:
        """What marks of one database are compared by."""
        return self.era, self.seq


@dataclass(frozen=True, kw_only=True)
class Look:
    """What one look at a database showed."""

    mark: Mark
    #: When it was last counted up, by the database's clock: in an older one, when it was copied.
    ticked_at: datetime
    #: When the server process was started. Another one may serve another state of the data.
    server: datetime
    #: The database's clock.
    at: datetime
    #: It was worked with before it had a mark, and has not been since: its mark does not tell how
    #: old it is, nor ``ticked_at`` when it was copied.
    unmarked: bool = False


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A look, and what is wrong with what it showed."""

    look: Look
    #: Why the database is older than known; empty if it is not.
    why: str
    #: What is known of it, from everywhere.
    known: Mark | None
    timeline: int | None

    @property
    def next_mark(self) -> Mark:
        """What a recovery raises the mark to: above all that was ever seen.

        Above what nobody can be asked for, too: recoveries follow each other in time.
        """
        highest_era = max(self.look.mark.era, self.known.era if self.known else 0)
        microseconds = int(self.look.at.timestamp() * 1_000_000)
        return Mark(
            identity=self.look.mark.identity,
            era=max(highest_era + 1, microseconds),
            seq=self.look.mark.seq + 1,
            timeline=self.timeline,
        )


def highest(marks: Iterable[Mark | None]) -> Mark | None:
    """The highest of these, which are one database's or from before and after its recovery."""
    return max((mark for mark in marks if mark), key=lambda mark: mark.height, default=None)


def why_older(found: Mark, known: Mark | None) -> str:
    """Why what is found is not what was known, or came after it; empty if it may be.

    A recovery since then is an answer to everything that was known before it.
    """
    if known is None or found.era > known.era:
        return ""
    if found.identity != known.identity:
        return f"another database ({found.identity}, known is {known.identity})"
    if found.height < known.height:
        return f"an older database (its mark is {_shown(found)}, known is {_shown(known)})"
    if found.timeline and known.timeline and found.timeline != known.timeline:
        return f"another timeline ({found.timeline}, known is {known.timeline})"
    return ""


def _shown(mark: Mark) -> str:
    return f"{mark.era}/{mark.seq}" if mark.era else str(mark.seq)
