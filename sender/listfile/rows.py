"""A row of a list of opt-outs, and how its cells are read."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache

from sender.domain.consent import ReasonClass

#: What stands in the scope column for all senders.
ALL = "all"


class Status(StrEnum):
    """What a row says about the person."""

    OPTED_OUT = "opted_out"
    #: Counted and left alone: an import never opts anybody in.
    OPTED_IN = "opted_in"


@dataclass(frozen=True, kw_only=True, slots=True)
class ListRow:
    """One person's opt-out as a file tells of it."""

    #: Where it stands in the file, from 1.
    line: int
    #: E.164 digits.
    recipient: int
    reason: ReasonClass
    #: When they opted out; ``None`` if the file does not say.
    since: datetime | None
    #: ``all``, or the address of the sender they opted out of.
    scope: str
    status: Status
    #: Empty where the file has no such column.
    author: str | None
    evidence: Mapping[str, str] = field(default_factory=dict)


_OPTED_IN = frozenset({"subscribed", "opted in", "optin", "opt in", "resubscribed"})
_YES, _NO = frozenset({"yes", "true", "1", "y"}), frozenset({"no", "false", "0", "n"})
#: Headers of columns that say yes or no, by what yes means.
_YES_IS_OUT = frozenset({"opted_out", "opt_out", "optout", "unsubscribed", "is_opted_out"})
_YES_IS_IN = frozenset({"consent", "opted_in", "opt_in", "optin", "subscribed"})
_COMPLAINTS = frozenset({"complaint", "complained", "spam", "spam complaint", "abuse", "fbl"})
#: A date in figures, with the year at its end: which comes first, day or month, is a guess.
_FIGURES = re.compile(r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})(.*)")


@lru_cache(maxsize=1024)
def read_status(cell: str, *, header: str) -> Status:
    """Opted in, if it says so plainly; whatever else it says is taken for an opt-out.

    Args:
        cell: a word, or yes or no.
        header: the column's name, which tells what yes means.
    """
    said = " ".join(re.split(r"[\s_-]+", cell.strip().casefold()))
    welcome = _OPTED_IN
    if header in _YES_IS_OUT:
        welcome = welcome | _NO
    elif header in _YES_IS_IN:
        welcome = welcome | _YES
    return Status.OPTED_IN if said in welcome else Status.OPTED_OUT


@lru_cache(maxsize=1024)  # a list has a handful of reasons, and a million rows
def read_reason(cell: str) -> tuple[ReasonClass, str]:
    """The class a reason belongs to, and the words if they are none of ours.

    A word of another system is an ``import``: nobody here knows what led to it, so nothing but a
    person with evidence may lift it.
    """
    said = cell.strip()
    word = re.sub(r"[\s-]+", "_", said.casefold())
    if word in set(ReasonClass):
        return ReasonClass(word), ""
    if word.replace("_", " ") in _COMPLAINTS:
        return ReasonClass.COMPLAINT, said
    return ReasonClass.IMPORT, said


def read_time(cell: str, *, day_first: bool | None) -> datetime | None:
    """When, in UTC where no zone is given; ``None`` for an empty cell.

    Args:
        cell: ISO 8601, or day, month and year in figures.
        day_first: which comes first in figures; ``None`` if nobody has said.

    Raises:
        ValueError: it is no time, or day and month cannot be told apart.
    """
    said = cell.strip()
    if not said:
        return None
    if not said[:4].isdecimal() and (found := _FIGURES.fullmatch(said)):
        first, second, year, rest = found.groups()
        day, month = _day_and_month(int(first), int(second), day_first)
        said = f"{year}-{month:02}-{day:02}{rest}"
    at = datetime.fromisoformat(said)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _day_and_month(first: int, second: int, day_first: bool | None) -> tuple[int, int]:  # noqa: FBT001
    if day_first is None and first <= 12 and second <= 12 and first != second:  # noqa: PLR2004
        raise ValueError("ambiguous")
    if day_first is None:
        day_first = first > 12  # noqa: PLR2004  # months
    return (first, second) if day_first else (second, first)


def read_evidence(cell: str) -> dict[str, str]:
    """Evidence as we export it (a JSON object of texts), or any text."""
    said = cell.strip()
    if said.startswith("{"):
        try:
            content = json.loads(said)
        except ValueError:
            content = None
        if isinstance(content, dict) and all(isinstance(one, str) for one in content.values()):
            return content
    return {"evidence": said} if said else {}
