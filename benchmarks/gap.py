"""How long messages wait between Redis's answer about their recipient and their request.

The shorter, the less has to be caught by the guard. What `benchmarks.timed_worker` wrote is read
here, and set beside the provider's history.
"""

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from benchmarks.history import History
from benchmarks.percentiles import percentile
from sender.local.waiting import wait_until

#: The environment variable that names the folder.
FOLDER = "BENCH_TIMES"
#: Workers write once a second.
_WRITTEN_WITHIN = timedelta(seconds=30)
#: Of one message: what may be half written is left for the next look.
_BYTES = 4 * 8


@dataclass(frozen=True)
class Times:
    """What the workers of one system noted."""

    folder: Path

    def of(self, history: History) -> Mapping[str, float]:
        """Milliseconds of the messages of a round, as percentiles.

        ``p50`` and ``p99`` end where the worker is about to write, with a connection in hand;
        ``arrived p99`` where the provider had read the request, which on a machine that both share
        includes its waiting for a core. ``guarded p99`` is the part until the guard is committed,
        ``begun p99`` the part after it.
        """
        wanted = set(history.recipients)
        wait_until(
            lambda: wanted <= {recipient for recipient, *_ in self._noted()},
            _WRITTEN_WITHIN,
            "the workers' times",
        )
        arrived = dict(zip(history.recipients, history.times, strict=True))
        noted = [one for one in self._noted() if one[0] in wanted]
        whole = _ascending((asked, begun) for _, asked, _, begun in noted)
        parts = {
            "arrived p99": ((asked, arrived[who]) for who, asked, _, _ in noted),
            "guarded p99": ((asked, guarded) for _, asked, guarded, _ in noted),
            "begun p99": ((guarded, begun) for _, _, guarded, begun in noted),
        }
        found = {name: percentile(_ascending(spans), 0.99) for name, spans in parts.items()}
        return {"p50": percentile(whole, 0.5), "p99": percentile(whole, 0.99), **found}

    def _noted(self) -> list[tuple[int, float, float, float]]:
        values = array("d")
        for path in self.folder.glob("*.times"):
            written = path.read_bytes()
            values.frombytes(written[: len(written) // _BYTES * _BYTES])
        each = iter(values)
        quads = zip(each, each, each, each, strict=True)
        return [(int(who), asked, guarded, begun) for who, asked, guarded, begun in quads]


def _ascending(spans: Iterable[tuple[float, float]]) -> list[float]:
    return sorted((end - begin) * 1000 for begin, end in spans)
