"""Kombu's Redis transport for messages that are only hints."""

from kombu.transport import redis


class HintChannel(redis.Channel):
    """A channel that puts nothing back into the queue when it closes.

    Kombu restores what was not acknowledged, also on a connection that is gone, where it raises
    and ends the worker (seen with kombu 5.7.0: AttributeError in ``_connparams``). A hint needs
    no restoring: the kicker offers its slice again.
    """

    do_restore = False


class HintTransport(redis.Transport):
    """Redis, with hint channels."""

    Channel = HintChannel
