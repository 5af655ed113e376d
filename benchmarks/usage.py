"""What processes use: CPU seconds, by name; steadier than wall time on a busy machine."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import psutil


@dataclass(kw_only=True)
class Usage:
    """CPU seconds of named processes, their descendants included, since this was begun."""

    pids: Mapping[str, int]
    _before: dict[str, float] = field(default_factory=dict)

    @classmethod
    def begin(cls, **pids: int | None) -> Self:
        """Count from now on."""
        usage = cls(pids={name: pid for name, pid in pids.items() if pid is not None})
        usage._before = usage._now()
        return usage

    def seconds(self) -> dict[str, float]:
        """What each has used."""
        now = self._now()
        return {name: now[name] - before for name, before in self._before.items()}

    def microseconds_each(self, count: int) -> dict[str, float]:
        """The same for one of so many operations."""
        return {name: round(used / count * 1e6, 1) for name, used in self.seconds().items()}

    def _now(self) -> dict[str, float]:
        return {name: _tree(psutil.Process(pid)) for name, pid in self.pids.items()}


def _tree(root: psutil.Process) -> float:
    """A process, its descendants, and those of its children that have ended."""
    times = root.cpu_times()
    used = times.user + times.system + times.children_user + times.children_system
    return float(used + sum(_own(child) for child in root.children(recursive=True)))


def _own(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)
