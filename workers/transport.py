"""Kombu's Redis transport for messages that are only hints.

Kombu notes in Redis what was taken, with four commands a message, to deliver it again where the
worker dies. What goes wrong there ends the worker (seen with kombu 5.7.0). A hint needs none of
it: the kicker offers its slice again.
"""

from kombu.transport import redis


class HintChannel(redis.Channel):
    """A channel that notes nothing, and puts nothing back into the queue when it closes.

    What was not acknowledged would be put back also on a connection that is gone, which raises.
    """

    ack_emulation = False
    do_restore = False


class HintTransport(redis.Transport):
    """Redis, with hint channels."""

    Channel = HintChannel
