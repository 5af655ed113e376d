"""The suppression set in Redis and the pacing that shares its round trip.

Redis may say "suppressed" and is believed for now; its "not suppressed" is never the last word,
which is the guard's in Postgres. A set that was flushed, evicted, restored or half loaded costs
speed, never a text to somebody who said STOP.

* `SuppressionLookup.check`: the question before a send, with the sender's tokens.
* `SuppressionWriter`, `AsyncSuppressionWriter`: what a STOP adds and a START removes.
* `rebuild`: a scope's set anew from Postgres. `inspect`: what is in it.
* `RedisMarks`: the high-water mark, which has the same server for want of a better one.
* `connect_async`, `connect_sync`: clients with fitting time-outs.
"""

from sender.domain.admission import Admission, Pace, Verdict
from sender.suppression.cache import RedisCache
from sender.suppression.connecting import connect_async, connect_sync
from sender.suppression.health import SetHealth, inspect
from sender.suppression.lookup import LARGEST_WINDOW, SuppressionLookup
from sender.suppression.marks import RedisMarks
from sender.suppression.rebuild import rebuild
from sender.suppression.sets import RedisSets
from sender.suppression.writing import AsyncSuppressionWriter, Entry, SuppressionWriter

__all__ = [
    "LARGEST_WINDOW",
    "Admission",
    "AsyncSuppressionWriter",
    "Entry",
    "Pace",
    "RedisCache",
    "RedisMarks",
    "RedisSets",
    "SetHealth",
    "SuppressionLookup",
    "SuppressionWriter",
    "Verdict",
    "connect_async",
    "connect_sync",
    "inspect",
    "rebuild",
]
