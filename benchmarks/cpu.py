"""CPU time of groups of processes: steadier than wall time on a machine that others use too."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

import psutil


def seconds_of(root: int) -> float:
    """User and system seconds of a process and all its descendants, the ended ones included."""
    total = 0.0
    with suppress(psutil.NoSuchProcess):
        top = psutil.Process(root)
        for process in (top, *top.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                used = process.cpu_times()
                # What has ended and was waited for is counted by its parent.
                total += used.user + used.system + used.children_user + used.children_system
    return total


@dataclass(frozen=True)
class Usage:
    """Seconds by kind of process, at one moment or between two."""

    seconds: Mapping[str, float]

    @classmethod
    def now(cls, kinds: Mapping[str, Iterable[int]]) -> Self:
        """Of these groups: kind to the process ids of its roots."""
        return cls({kind: sum(map(seconds_of, roots)) for kind, roots in kinds.items()})

    def since(self, before: Self) -> "Usage":
        """What was used between."""
        return Usage({kind: used - before.seconds[kind] for kind, used in self.seconds.items()})

    def per_message(self, messages: int) -> dict[str, float]:
        """Microseconds by kind."""
        return {kind: used / max(1, messages) * 1e6 for kind, used in self.seconds.items()}
