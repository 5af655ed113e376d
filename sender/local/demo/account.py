"""The account of a demo: what became of every row, and whether the promises were kept.

Computed from two witnesses, the provider's log of every request and our tables, and from nothing
the demo meant to do.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any

from sender.local.demo.explaining import Finding, findings
from sender.local.demo.leaks import Leak, leaks, sent_twice
from sender.local.demo.provider_log import ProviderLog
from sender.local.demo.stops import REQUIRED, StopAccount, stop_account
from sender.storage.audit import AuditedTables, OpenedIncident
from sender.storage.campaigns import LeftOut

_SHOWN_FINDINGS = 20


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the run was, as far as the account must know."""

    #: Rows of the audience file below its header, counted without our reader.
    file_rows: int
    #: STOPs that must have met a message in each of the states that matter, to prove anything.
    stops_per_state: int


@dataclass(frozen=True, kw_only=True)
class IncidentAccount:
    """The 21610s."""

    total: int
    by_cause: Mapping[str, int]
    by_door: Mapping[str, int]
    #: For those that raced a STOP: STOP received minus request begun, shortest and longest.
    raced_by_ms: tuple[float, float] | None


@dataclass(frozen=True, kw_only=True)
class Account:
    """The result of a demo."""

    asked: Asked
    file_rows: int
    recipients: int
    duplicates: int
    #: Rows that became no message, by reason.
    rejected: Mapping[str, int]
    #: A few of them, to be shown.
    left_out: tuple[LeftOut, ...]
    #: Messages by final state, and by state and reason.
    states: Mapping[str, int]
    reasons: Mapping[str, Mapping[str, int]]
    stops: StopAccount
    incidents: IncidentAccount
    leaks: tuple[Leak, ...]
    sent_twice: int
    findings: tuple[Finding, ...]
    #: Create requests that reached the provider, and those it accepted.
    requests: int
    accepted: int
    #: From the campaign's start to its completion.
    duration: timedelta

    @property
    def messages_per_second(self) -> float:
        """Create requests answered, by the campaign's duration."""
        seconds = self.duration.total_seconds()
        return self.requests / seconds if seconds else 0.0

    @property
    def kept(self) -> bool:
        """Whether every promise was kept, and put to the test."""
        return not self.broken

    @cached_property
    def broken(self) -> tuple[str, ...]:
        """What was not kept, in words."""
        return tuple(self._broken())

    def _broken(self) -> list[str]:
        found = {
            "leaks": len(self.leaks),
            "sent twice": self.sent_twice,
            "unexplained": len(self.findings),
            "STOPs not enforced": self.stops.unenforced,
        }
        words = [f"{what}: {count}" for what, count in found.items() if count]
        return words + self._wrong_sums() + self._untested()

    def _wrong_sums(self) -> list[str]:
        parts = self.recipients + self.duplicates + sum(self.rejected.values())
        sums = {
            "the file has": self.asked.file_rows,
            "the campaign counted": self.file_rows,
        }
        words = [
            f"{who} {rows} rows, recipients + duplicates + rejected are {parts}"
            for who, rows in sums.items()
            if rows != parts
        ]
        if (messages := sum(self.states.values())) != self.recipients:
            words.append(f"{self.recipients} recipients, but {messages} messages")
        return words

    def _untested(self) -> list[str]:
        least = self.asked.stops_per_state
        return [
            f"only {count} of at least {least} STOPs met a message that was {state}"
            for state in REQUIRED
            if (count := self.stops.by_state.get(state, 0)) < least
        ]

    def as_json(self) -> dict[str, Any]:
        """Everything, for programs."""
        return {
            "kept": self.kept,
            "broken": list(self.broken),
            "file_rows": self.file_rows,
            "recipients": self.recipients,
            "duplicates": self.duplicates,
            "rejected": dict(self.rejected),
            "states": dict(self.states),
            "reasons": {state: dict(found) for state, found in self.reasons.items()},
            "stops": self._stops_as_json(),
            "incidents": self._incidents_as_json(),
            "leaks": len(self.leaks),
            "sent_twice": self.sent_twice,
            "unexplained": len(self.findings),
            "findings": [vars(one) for one in self.findings[:_SHOWN_FINDINGS]],
            "requests": self.requests,
            "accepted": self.accepted,
            "messages_per_second": round(self.messages_per_second, 1),
            "seconds": round(self.duration.total_seconds(), 3),
        }

    def _stops_as_json(self) -> dict[str, Any]:
        stops = self.stops
        by_state = {state.value: count for state, count in stops.by_state.items()}
        return {**vars(stops), "by_state": by_state, "received": stops.received}

    def _incidents_as_json(self) -> dict[str, Any]:
        return {
            **vars(self.incidents),
            "by_cause": dict(self.incidents.by_cause),
            "by_door": dict(self.incidents.by_door),
        }


def settle_accounts(log: ProviderLog, tables: AuditedTables, asked: Asked) -> Account:
    """Compare the two witnesses. Pure; a second or so for tens of thousands of messages."""
    campaign = tables.campaign
    rejected = Counter(row.reason for row in tables.left_out if row.first_line is None)
    return Account(
        asked=asked,
        file_rows=campaign.file_rows,
        recipients=campaign.recipients,
        duplicates=sum(row.first_line is not None for row in tables.left_out),
        rejected=rejected,
        left_out=tuple(row for row in tables.left_out if row.first_line is None),
        states=Counter(row.state.value for row in tables.messages),
        reasons=_reasons(tables),
        stops=stop_account(log, tables),
        incidents=_incidents(tables.incidents),
        leaks=leaks(log, tables),
        sent_twice=sent_twice(log.creates),
        findings=findings(log, tables),
        requests=len(log.creates),
        accepted=sum(create.accepted for create in log.creates),
        duration=_duration(tables),
    )


def _reasons(tables: AuditedTables) -> Mapping[str, Mapping[str, int]]:
    found: dict[str, Counter[str]] = {}
    for row in tables.messages:
        found.setdefault(row.state.value, Counter())[row.reason] += 1
    return found


def _incidents(incidents: tuple[OpenedIncident, ...]) -> IncidentAccount:
    raced = [one.raced_by_ms for one in incidents if one.raced_by_ms is not None]
    return IncidentAccount(
        total=len(incidents),
        by_cause=Counter(one.cause for one in incidents),
        by_door=Counter(one.door for one in incidents),
        raced_by_ms=(min(raced), max(raced)) if raced else None,
    )


def _duration(tables: AuditedTables) -> timedelta:
    campaign = tables.campaign
    if campaign.started_at is None or campaign.completed_at is None:
        return timedelta()
    return campaign.completed_at - campaign.started_at
