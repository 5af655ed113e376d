"""The record of every request answered and every webhook posted, in memory and as JSON lines."""

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

Entry = dict[str, Any]

#: An accepted message is on disk this soon; the promise to readers of the file is 100 ms.
_FLUSH_SECONDS = 0.05
_encode = json.JSONEncoder(separators=(",", ":")).encode


class RequestLog:
    """An append-only list of entries, each with a ``seq`` that grows by one.

    An entry changes while its request or webhook is under way. In the file it is written again
    whenever it has changed: of several lines with one ``seq`` the last one counts.
    """

    def __init__(self, *, path: Path | None = None, keep: int = 500_000) -> None:
        self._path = path
        self._keep = keep
        self._entries: list[Entry] = []
        self._dropped = 0
        self._unwritten: dict[int, Entry] = {}
        self._flush_due = False
        self.counts: Counter[str] = Counter()

    @property
    def last_seq(self) -> int:
        """The ``seq`` of the newest entry; 0 before the first."""
        return self._dropped + len(self._entries)

    def open(self, kind: str, **fields: Any) -> Entry:
        """Append an entry and return it, to be changed in place and then ``touch``-ed."""
        entry: Entry = {"seq": self.last_seq + 1, "kind": kind, **fields}
        self._entries.append(entry)
        self.counts[kind] += 1
        self.touch(entry)
        self._trim()
        return entry

    def touch(self, entry: Entry) -> None:
        """Say that an entry has changed, so that the file gets it within 100 ms."""
        if self._path is None:
            return
        self._unwritten[entry["seq"]] = entry
        if not self._flush_due:
            self._flush_due = True
            asyncio.get_running_loop().call_later(_FLUSH_SECONDS, self.flush)

    def after(self, seq: int, *, limit: int) -> list[Entry]:
        """Up to ``limit`` entries newer than ``seq``, oldest first."""
        start = max(seq - self._dropped, 0)
        return self._entries[start : start + limit]

    def flush(self) -> None:
        """Write what has changed. Blocks for the write: a batch is small and the disk local."""
        self._flush_due = False
        if self._path is None or not self._unwritten:
            return
        lines = "".join(f"{_encode(entry)}\n" for entry in self._unwritten.values())
        self._unwritten.clear()
        with self._path.open("a", encoding="utf-8") as file:
            file.write(lines)

    def clear(self) -> None:
        """Forget what is in memory. ``seq`` goes on, so that a reader's cursor stays valid."""
        self.flush()
        self._dropped = self.last_seq
        self._entries.clear()
        self.counts.clear()

    def _trim(self) -> None:
        """Drop the oldest entries, a tenth at a time so that it costs little."""
        if len(self._entries) > self._keep * 1.1:
            excess = len(self._entries) - self._keep
            del self._entries[:excess]
            self._dropped += excess
