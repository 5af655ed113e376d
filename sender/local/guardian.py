"""Kill the process groups of a supervisor that died without stopping them.

The death signal of `leash` reaches only a child itself; what that child started, such as the
workers of a web server, would live on. So a small process of its own (this file, run as a script)
knows the groups, and kills them when the pipe from the supervisor breaks, however that came about.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress


class Guardian:
    """The supervisor's end: names the groups that must not outlive it."""

    def __init__(self) -> None:
        # In its own session, or a Ctrl-C in the terminal would end it first.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def watch(self, group: int) -> None:
        """From now on, this process group dies with us."""
        self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        """The group is gone, and its id may belong to strangers."""
        self._tell(f"-{group}\n")

    def close(self) -> None:
        """Have it kill what it still watches, and wait for its end."""
        with suppress(BrokenPipeError):
            self._process.communicate()

    def _tell(self, line: str) -> None:
        # Should someone have killed it, stopping must still go on to its end.
        with suppress(BrokenPipeError):
            if self._process.stdin:
                self._process.stdin.write(line)
                self._process.stdin.flush()


def guard(lines: Iterable[str]) -> None:
    """Follow the lines ``+GROUP`` and ``-GROUP`` to their end, then kill the groups left."""
    groups: set[int] = set()
    for line in lines:
        change = groups.add if line.startswith("+") else groups.discard
        change(int(line[1:]))
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    guard(sys.stdin)
