"""Which column of a list says what: by the headers that systems and people use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from sender.audience.layout import find_number
from sender.domain.template import field_name
from sender.errors import InvalidList


class Role(StrEnum):
    """What a column says."""

    NUMBER = "number"
    REASON = "reason"
    SINCE = "since"
    SCOPE = "scope"
    STATUS = "status"
    AUTHOR = "author"
    EVIDENCE = "evidence"


_HEADERS: dict[Role, tuple[str, ...]] = {
    Role.REASON: ("reason", "opt_out_reason", "unsubscribe_reason", "category", "type", "cause"),
    Role.SINCE: (
        *("since", "opted_out_at", "opt_out_date", "optout_date", "unsubscribed_at", "date"),
        *("unsubscribe_date", "unsubscribed_on", "timestamp", "time", "created_at", "created"),
        *("date_created", "date_added", "updated_at", "opt_out_time"),
    ),
    Role.SCOPE: ("scope", "sender", "from", "from_number", "messaging_service", "service"),
    Role.STATUS: (
        *("status", "subscription_status", "sms_status", "opted_out", "opt_out", "optout"),
        *("is_opted_out", "unsubscribed", "consent", "opted_in", "opt_in", "subscribed", "state"),
    ),
    Role.AUTHOR: ("author", "added_by", "user", "by"),
    Role.EVIDENCE: ("evidence", "note", "notes", "comment", "comments", "message", "body"),
}


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The index of each column that was found, by what it says."""

    header: tuple[str, ...]
    of: Mapping[Role, int]

    @classmethod
    def from_header(cls, header: Sequence[str], named: Mapping[Role, str]) -> Self:
        """Find the columns.

        Args:
            header: the cells of the first row.
            named: headers that the caller names; the others are found by their usual names.

        Raises:
            InvalidList: a named column is missing, or none looks like the number.
        """
        names = [field_name(cell) for cell in header]
        of = {role: _named(names, header, wanted) for role, wanted in named.items()}
        if Role.NUMBER not in of:
            of[Role.NUMBER] = find_number(header)
        for role, usual in _HEADERS.items():
            free = [
                name for name in usual if name in names and names.index(name) not in of.values()
            ]
            if role not in of and free:
                of[role] = names.index(free[0])
        return cls(header=tuple(header), of=of)

    def cell(self, cells: Sequence[str], role: Role) -> str | None:
        """A row's cell by what it says; ``None`` where the file has no such column."""
        index = self.of.get(role)
        if index is None:
            return None
        return cells[index] if index < len(cells) else ""

    def name(self, role: Role) -> str:
        """The plain name of the column that says this; empty where there is none."""
        index = self.of.get(role)
        return "" if index is None else field_name(self.header[index])


def _named(names: Sequence[str], header: Sequence[str], wanted: str) -> int:
    name = field_name(wanted)
    if name not in names:
        raise InvalidList(f"there is no column {wanted!r}; there are: {', '.join(header)}")
    return names.index(name)
