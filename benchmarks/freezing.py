"""Processes that stand still while others are measured: an idle system still looks around a lot."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress

import psutil


@contextmanager
def frozen(pids: Mapping[str, Iterable[int]]) -> Iterator[None]:
    """Freeze groups of processes, with all they started, during the block."""
    roots = [pid for group in pids.values() for pid in group]
    freeze(roots)
    try:
        yield
    finally:
        thaw(roots)


def freeze(roots: Iterable[int]) -> None:
    """Stop processes and their descendants, parents first: they start no more of them then."""
    for process in _trees(roots):
        with suppress(psutil.NoSuchProcess):
            process.suspend()


def thaw(roots: Iterable[int]) -> None:
    """Let them go on."""
    for process in _trees(roots):
        with suppress(psutil.NoSuchProcess):
            process.resume()


def _trees(roots: Iterable[int]) -> Iterator[psutil.Process]:
    for pid in roots:
        with suppress(psutil.NoSuchProcess):
            top = psutil.Process(pid)
            yield top
            yield from top.children(recursive=True)
