"""How long messages wait between Redis's answer about their recipient and their request.

The shorter, the less has to be caught by the guard. What `benchmarks.timed_worker` wrote is read
here, and set beside the provider's history.
"""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from benchmarks.history import History
from benchmarks.percentiles import percentile
from sender.local.waiting import wait_until

#: Workers write once a second.
_WRITTEN_WITHIN = timedelta(seconds=30)
#: Of one message: what may be half written is left for the next look.
_BYTES = 24


@dataclass(frozen=True)
class Times:
    """What the workers of one system noted."""

    folder: Path

    def of(self, history: History) -> Mapping[str, float]:
        """Milliseconds of the messages of a round, as percentiles.

        ``p50`` and ``p99`` end where the worker is about to write, with a connection in hand;
        ``arrived p99`` where the provider had read the request, which on a machine that both share
        includes its waiting for a core.
        """
        wanted = set(history.recipients)
        wait_until(
            lambda: wanted <= {recipient for recipient, _, _ in self._noted()},
            _WRITTEN_WITHIN,
            "the workers' times",
        )
        arrived = dict(zip(history.recipients, history.times, strict=True))
        noted = [one for one in self._noted() if one[0] in wanted]
        begun = sorted((begun - asked) * 1000 for _, asked, begun in noted)
        read = sorted((arrived[recipient] - asked) * 1000 for recipient, asked, _ in noted)
        return {
            "p50": percentile(begun, 0.5),
            "p99": percentile(begun, 0.99),
            "arrived p99": percentile(read, 0.99),
        }

    def _noted(self) -> list[tuple[int, float, float]]:
        values = array("d")
        for path in self.folder.glob("*.times"):
            written = path.read_bytes()
            values.frombytes(written[: len(written) // _BYTES * _BYTES])
        each = iter(values)
        return [
            (int(who), asked, begun) for who, asked, begun in zip(each, each, each, strict=True)
        ]
