"""Threads of a worker process that bulk slices may have."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Seats:
    """Counts a process's bulk slices, whatever the hints say.

    Offers leave the reserved threads free as long as every hint is followed once and soon. Hints
    that piled up in the broker and come all at once would fill every thread of every process.
    """

    def __init__(self, bulk: int) -> None:
        self._free = threading.BoundedSemaphore(bulk)

    @contextmanager
    def taken(self) -> Iterator[bool]:
        """Take a seat for a bulk slice, if there is one; whether there was."""
        seated = self._free.acquire(blocking=False)
        try:
            yield seated
        finally:
            if seated:
                self._free.release()
