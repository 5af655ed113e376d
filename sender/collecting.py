"""Python's garbage collector, in a process that starts once and serves for weeks."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

#: Allocations (less what was freed) until the young objects are looked through, and how often that
#: makes a look through the older ones. A request leaves a few hundred; nearly all are freed
#: without the collector.
_THRESHOLDS = (10_000, 20, 20)


@contextmanager
def uncollected() -> Iterator[None]:
    """Have the collector leave alone what is made while modules are imported: it stays for good.

    By default it looks through all of that again and again, a third of the time an import takes.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


def collect_seldom() -> None:
    """Have the collector leave alone what is there now: libraries, settings, connections.

    By default it looks through all of that, some 300,000 objects, again and again: a fifth of the
    time a callback takes, and pauses of a tenth of a second that STOPs wait for. For the whole
    process, so only programs call it, and never code that tests run in theirs.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
