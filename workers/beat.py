"""Beat: recovery's rhythm, by no host's wall clock and with a bound on what waits.

Celery bounds it by an expiry, which each worker compares with its own clock: one that is seconds
ahead would drop every kick. And it beats by the wall clock: set back by an hour it would be silent
for that long.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from celery.beat import Scheduler
from celery.schedules import schedule
from kombu.exceptions import OperationalError

#: How many may wait in a queue: some seconds' worth. More would only be done after one another by
#: workers that were away or busy, and a broker without workers would fill.
MOST_WAITING = 10
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def every(seconds: float) -> schedule:
    """A schedule that nobody's setting the clock disturbs."""
    return schedule(seconds, nowfun=_steady_now)


def _steady_now() -> datetime:
    """A time that only goes on; it is not today's."""
    return _EPOCH + timedelta(seconds=time.monotonic())


class BoundedScheduler(Scheduler):  # type: ignore[misc]  # Celery has no types
    """Keeps its schedule in memory, and publishes nothing into a queue that is long enough."""

    def adjust(self, n: Any, drift: float = 0.0) -> Any:
        """The seconds until a task is due, and no fewer.

        Celery wakes 10 ms earlier, and does nothing then but look at the time until it is due.
        """
        return super().adjust(n, drift)

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Publish a task that is due, or leave it to its next time."""
        if self._waiting(entry) < MOST_WAITING:
            super().apply_entry(entry, producer=producer)

    def _waiting(self, entry: Any) -> int:
        """How many wait where it goes; 0 where the broker does not say: publishing tells why."""
        queue = self.app.amqp.router.route({}, entry.task)["queue"]
        failures = self.connection.connection_errors + self.connection.channel_errors
        try:
            return int(queue(self.producer.channel).queue_declare().message_count)
        except (OperationalError, *failures):
            return 0
