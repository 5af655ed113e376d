"""Cutting a stream into batches (`itertools.batched`, which Python has from 3.12 on)."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")


def batched(items: Iterable[Item], size: int) -> Iterator[tuple[Item, ...]]:
    """Yield the items in tuples of this size, the last one perhaps shorter."""
    stream = iter(items)
    while batch := tuple(islice(stream, size)):
        yield batch
