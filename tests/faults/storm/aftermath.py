"""What a storm left behind: the provider's log against our tables, and the totals.

The comparison is the demo's own. A storm adds what a demo cannot have: texts that never reached us,
because we were away for as long as Twilio repeats them.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from sender.domain.message import State
from sender.local.demo.account import Account, Asked, settle_accounts
from sender.local.demo.explaining import Finding, findings
from sender.local.demo.provider_log import Create, ProviderLog, Text
from sender.local.demo.stops import OnArrival, stops_in
from sender.storage.audit import AuditedTables

#: What must have happened at least once, or the storm proves nothing.
DECISIVE = ("refused by the guard", "STOPs that waited", "withdrawn", "in doubt")


@dataclass(frozen=True, kw_only=True)
class Aftermath:
    """The result of one storm."""

    seed: int
    account: Account
    #: Promises that were broken, in words.
    broken: tuple[str, ...]
    totals: Mapping[str, int]

    @property
    def inconclusive(self) -> tuple[str, ...]:
        """What never happened, so that nothing follows from its having gone well."""
        return tuple(name for name in DECISIVE if not self.totals.get(name))

    @property
    def deaths(self) -> int:
        """Workers that were killed."""
        return self.totals["workers killed"] + self.totals["workers dead at a place"]

    def __str__(self) -> str:
        """Lines for people."""
        figures = [f"  {count:>7} {name}" for name, count in self.totals.items()]
        words = [f"  BROKEN: {what}" for what in self.broken]
        return "\n".join([f"storm with seed {self.seed}:", *figures, *words])


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything that was seen."""

    seed: int
    log: ProviderLog
    #: The same log, if every status callback that was posted was counted, answered or not.
    hopeful: ProviderLog
    tables: AuditedTables
    file_rows: int
    #: Rows that were in doubt at some time.
    doubted: frozenset[UUID]
    #: Who died, what happened to the servers.
    happened: Mapping[str, int]
    #: Structured lines of all processes: rows by what they say became of them.
    lines: Mapping[str, int]


def look_back(seen: Evidence) -> Aftermath:
    """Compare, and count."""
    asked = Asked(file_rows=seen.file_rows, stops_per_state=0)
    account = settle_accounts(seen.log, seen.tables, asked)
    return Aftermath(
        seed=seen.seed,
        account=account,
        broken=tuple(_broken(account, seen)),
        totals=_totals(account, seen),
    )


def _broken(account: Account, seen: Evidence) -> Iterator[str]:
    unexplained = Counter(one.kind for one in account.findings if not _is_excused(one, seen))
    counted = {
        "leaks": len(account.leaks),
        "sent twice": account.sent_twice,
        "STOPs not enforced": account.stops.unenforced,
        "STOPs answered before they were enforced": _too_early(seen),
        "requests without a guard": _unguarded(seen),
        **unexplained,
    }
    yield from (f"{what}: {count}" for what, count in counted.items() if count)
    yield from account._wrong_sums()


def _is_excused(finding: Finding, seen: Evidence) -> bool:
    """Whether it is explained by what reached us, or did not, while processes died."""
    if finding.kind == "text_not_stored":
        return any(
            text.sid == finding.subject and text.acknowledged_at is None for text in seen.log.texts
        )
    kinds = {(one.kind, one.subject) for one in findings(seen.hopeful, seen.tables)}
    return (finding.kind, finding.subject) not in kinds


def _too_early(seen: Evidence) -> int:
    """STOPs that were answered 200 before they were in force."""
    enforced = {
        event.source_id: seen.tables.enforced.get(event.id)
        for event in seen.tables.events
        if event.id in seen.tables.enforced
    }
    return sum(_is_early(text, enforced.get(text.sid)) for text in stops_in(seen.log))


def _is_early(stop: Text, enforced_at: datetime | None) -> bool:
    if stop.acknowledged_at is None:
        return False
    return enforced_at is None or enforced_at > stop.acknowledged_at


def _unguarded(seen: Evidence) -> int:
    """Requests of rows without a guard, and accepted ones whose row was guarded again later.

    (One that was refused with 429 may be guarded again by a worker that dies before its request.)
    """
    guarded = {str(row.id): row.guarded_at for row in seen.tables.messages}
    return sum(_is_unguarded(one, guarded.get(one.message_id)) for one in seen.log.creates)


def _is_unguarded(create: Create, guarded_at: datetime | None) -> bool:
    return guarded_at is None or (create.accepted and create.arrived_at < guarded_at)


def _totals(account: Account, seen: Evidence) -> Mapping[str, int]:
    by_state = account.stops.by_state
    doubts = [row for row in seen.tables.messages if row.id in seen.doubted]
    ends = Counter(
        "found at the provider" if row.reason == "found_at_provider" else row.state.value
        for row in doubts
    )
    return {
        "messages": account.recipients,
        "requests": account.requests,
        "accepted": account.accepted,
        **seen.happened,
        **{f"STOPs while {state}": by_state[state] for state in OnArrival if state in by_state},
        "STOPs that waited": by_state.get(OnArrival.SENDING, 0)
        + by_state.get(OnArrival.IN_DOUBT, 0),
        "attempts answered 503": account.stops.answered_503,
        "refused by the guard": seen.lines["guard_refused"],
        "withdrawn": seen.lines["withdrawn"],
        "suppressed": account.states.get(State.SUPPRESSED, 0),
        "in doubt": len(doubts),
        **{f"doubts that ended {end}": count for end, count in sorted(ends.items())},
        "leaks": len(account.leaks),
        "sent twice": account.sent_twice,
    }


#: Lines that count rows, and the field that has how many.
_COUNTED = {"guard_refused": "suppressed", "withdrawn": "rows"}


def count_lines(logs: Sequence[Path]) -> Mapping[str, int]:
    """Rows that the guard refused because of a STOP, and rows that STOPs withdrew."""
    found: Counter[str] = Counter()
    for line in (line for log in logs for line in log.read_text(errors="replace").splitlines()):
        event = _event(line)
        if (name := event.get("event")) in _COUNTED:
            found[name] += event[_COUNTED[name]]
    return found


def _event(line: str) -> dict[str, object]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
