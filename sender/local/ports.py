"""Free TCP ports on the loopback interface."""

import errno
import itertools
import random
import socket

from sender.errors import ProcessFailed

LOOPBACK = "127.0.0.1"

# Below what Linux (32768) and macOS (49152) hand to outgoing connections. A port in that range
# can be taken while its server restarts, even by a client that dials the very port it is given.
_PORTS = range(20_000, 32_768)

# From a random start, so that two stacks rarely meet, and onwards, so that one never repeats.
_candidates = itertools.islice(itertools.cycle(_PORTS), random.randrange(len(_PORTS)), None)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on, and that no earlier call here returned.

    Raises:
        ProcessFailed: every port we may use is taken.
    """
    for port in itertools.islice(_candidates, len(_PORTS)):
        if _is_free(port):
            return port
    raise ProcessFailed(
        f"No free TCP port between {_PORTS.start} and {_PORTS.stop}. Stop some local servers."
    )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError as exc:
            if exc.errno not in {errno.EADDRINUSE, errno.EACCES}:
                raise
            return False
    return True
