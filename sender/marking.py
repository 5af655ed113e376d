"""One write to the Redis set for all opt-outs of a moment.

A thousand STOPs at once would open a thousand connections otherwise.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import chain

from sender.batching import Batcher
from sender.domain.consent import Suppression
from sender.enforcement import SuppressionCache

#: One that comes alone is written at once; those that come meanwhile are written together.
_GATHER = timedelta(0)
#: As many as one script call takes.
_LARGEST = 500


@dataclass(frozen=True)
class GatheredCache:
    """A cache that is written to once where many ask at the same time."""

    cache: SuppressionCache
    _writes: Batcher[Sequence[Suppression], None] = field(init=False)

    def __post_init__(self) -> None:
        batcher = Batcher(work=self._write, gather=_GATHER, largest=_LARGEST)
        object.__setattr__(self, "_writes", batcher)

    async def add(self, entries: Iterable[Suppression]) -> None:
        """Make these numbers hit, before this returns."""
        if wanted := tuple(entries):
            await self._writes.submit(wanted)

    async def _write(self, asked: Sequence[Sequence[Suppression]]) -> Sequence[None]:
        await self.cache.add(chain.from_iterable(asked))
        return [None] * len(asked)
