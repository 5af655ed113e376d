"""Kombu's Redis transport for messages that are only hints.

Kombu notes in Redis what it has taken, to put it back if the worker dies. What goes wrong there
ends the worker (seen with kombu 5.7.0). A hint needs none of it: the kicker offers its slice again.
"""

from typing import Any

from kombu.transport import redis, virtual

#: What a Redis that is full says: it takes no notes.
REFUSALS = redis.get_redis_error_classes().channel_errors  # type: ignore[no-untyped-call]


class HintQoS(redis.QoS):
    """Notes what was taken where that can be noted, and goes on where it cannot."""

    def append(self, message: Any, delivery_tag: str) -> None:
        """A hint was taken."""
        try:
            super().append(message, delivery_tag)  # type: ignore[no-untyped-call]
        except REFUSALS:
            virtual.QoS.append(self, message, delivery_tag)  # type: ignore[no-untyped-call]

    def ack(self, delivery_tag: str) -> None:
        """A hint was followed, perhaps for longer than the connection lived that it came by."""
        if self.channel.connection is None:
            return
        try:
            super().ack(delivery_tag)  # type: ignore[no-untyped-call]
        except REFUSALS:
            virtual.QoS.ack(self, delivery_tag)  # type: ignore[no-untyped-call]


class HintChannel(redis.Channel):
    """A channel that puts nothing back into the queue when it closes.

    Kombu restores what was not acknowledged, also on a connection that is gone, where it raises.
    """

    QoS = HintQoS
    do_restore = False


class HintTransport(redis.Transport):
    """Redis, with hint channels."""

    Channel = HintChannel
