"""What one case came to in one round, and what makes it void."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

#: A provider that is busier than this is part of what is measured.
BUSIEST_PROVIDER = 0.7


class Case(StrEnum):
    """What is run in a round."""

    #: The fastest loop on the same client.
    BARE = "bare"
    #: The same, its status callbacks posted to somebody who only says thanks.
    BARE_CALLBACKS = "bare + callbacks"
    #: The system.
    FULL = "full"
    #: The same, its status callbacks applied.
    FULL_CALLBACKS = "full + callbacks"
    #: What a user would write: a Celery task for each recipient.
    NAIVE = "naive -c 32"
    NAIVE_TWO = "naive -c 2"
    #: The same with the SDK's stock asynchronous client.
    NAIVE_ASYNC = "naive async"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One case in one round."""

    case: Case
    #: Accepted by the provider.
    messages: int
    #: From the first request to the last answer, or to the commit of the last settlement.
    seconds: float
    #: CPU microseconds a message by kind of process; ``sender`` is what sends.
    cpu: Mapping[str, float]
    #: Why it counts for nothing; empty: it counts.
    void: tuple[str, ...]
    #: The provider's report.
    provider: Mapping[str, Any]
    #: Milliseconds from each Redis lookup to the first byte of the POST: percentiles.
    gap: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def broken_off(cls, case: Case, why: str) -> Self:
        """A case that did not come to an end."""
        return cls(case=case, messages=0, seconds=0.0, cpu={}, void=(why,), provider={})

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds if self.seconds else 0.0

    def as_json(self) -> dict[str, Any]:
        """For the record."""
        return {
            "messages": self.messages,
            "seconds": self.seconds,
            "messages_a_second": self.rate,
            "cpu_us_a_message": dict(self.cpu),
            "gap_ms": dict(self.gap),
            "void": list(self.void),
            "provider": dict(self.provider),
        }


def wire_faults(report: Mapping[str, Any], *, expected: int) -> list[str]:
    """What the provider's history says against a round."""
    faults = []
    if report["leaks"]:
        faults.append(f"{report['leaks']} requests for suppressed recipients")
    if report["doubles"]:
        faults.append(f"{report['doubles']} recipients were asked for twice")
    if report["asked"] != report["answered"] or report["answered"] != expected:
        faults.append(f"{report['asked']} asked, {report['answered']} accepted, not {expected}")
    busy = report["cpu_seconds"] / max(report["last_answered_at"] - report["first_at"], 0.1)
    if busy > BUSIEST_PROVIDER:
        faults.append(f"the provider used {busy:.0%} of a core")
    return faults
