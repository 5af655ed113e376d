"""Task events, which Flower shows, are sent together.

Celery sends each as soon as its loop comes round, which is more than half of what a hint costs its
main thread (seen with Celery 5.7.0). What was gathered when the broker's connection breaks is lost:
Flower then shows those tasks as they were before.
"""

from typing import Any

from celery.worker.consumer import Consumer

#: Seconds. Flower is late by as much.
EVERY = 0.5


class GatheringConsumer(Consumer):  # type: ignore[misc]  # Celery has no types
    """Celery's consumer of hints, in this one respect another."""

    def register_with_event_loop(self, hub: Any) -> None:
        """Have the loop send what was gathered, again and again, while this connection lasts."""
        super().register_with_event_loop(hub)
        hub.call_repeatedly(EVERY, self._flush_events)

    def on_send_event_buffered(self) -> None:
        """An event is there: nothing is done about it by itself."""

    def shutdown(self) -> None:
        """Send what is left, of tasks that ended last."""
        self._flush_events()
        super().shutdown()
