"""One run of some work for many who ask for it at about the same time."""

import threading
from collections.abc import Callable
from typing import Protocol


class Lock(Protocol):
    """`threading.Lock`, as far as it is used here."""

    def acquire(self, blocking: bool = True) -> bool:  # noqa: FBT001, FBT002  # the library's
        """Take it; whether it was got."""

    def release(self) -> None:
        """Give it back."""


class Coalescing:
    """Does work in one thread at a time; whoever asks meanwhile has it done once more, after.

    So it begins anew after everybody's asking, and nobody waits for a run of another's; the thread
    that is at it goes on for as long as others ask.
    """

    def __init__(self, running: Lock | None = None) -> None:
        """Held by whoever does the work; a lock of its own, unless another is given."""
        self._running = running or threading.Lock()
        self._is_wanted = False

    def ask(self, work: Callable[[], object]) -> None:
        """Have it done, by this thread or by the one that is at it.

        Raises:
            Exception: whatever the work raises; who asked meanwhile may have asked for nothing.
        """
        self._is_wanted = True
        # In this order: who does not get the lock has asked before its holder looks again.
        while self._is_wanted and self._running.acquire(blocking=False):
            try:
                self._is_wanted = False
                work()
            finally:
                self._running.release()
