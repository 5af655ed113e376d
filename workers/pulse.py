"""The queue of one worker process's pulses, which nobody else reads."""

import structlog
from celery import Celery
from kombu import Exchange, Queue  # type: ignore[attr-defined]  # kombu loads its names lazily
from kombu.exceptions import OperationalError

log = structlog.get_logger(__name__)

#: The task's name.
PULSE = "workers.pulse"
#: Seconds after which the broker drops what a dead worker left.
EXPIRES = 300


class PulseQueue:
    """Never holds more than one pulse, and vanishes after its worker."""

    def __init__(self, app: Celery, worker_id: int) -> None:
        """Name the queue by the worker's id, which no other process ever has."""
        self._app = app
        name = f"pulse.{worker_id}"
        exchange = Exchange(name, type="direct")  # type: ignore[no-untyped-call]
        self._queue = Queue(name, exchange, routing_key=name, expires=EXPIRES)  # type: ignore[no-untyped-call]

    def consume(self) -> None:
        """Have this app's worker consume it; to be called while the worker sets up."""
        self._app.amqp.queues.select_add(self._queue)

    def publish(self, worker_id: int) -> bool:
        """Publish a pulse in place of one that nobody took; whether the broker took it."""
        try:
            with self._app.producer_or_acquire() as producer:
                self._queue(producer.channel).purge()  # type: ignore[no-untyped-call]
                pulse = self._app.tasks[PULSE]
                pulse.apply_async((worker_id,), queue=self._queue, producer=producer, retry=False)
        except self._failures() as exc:
            log.warning("pulse_not_published", worker=worker_id, error=type(exc).__name__)
            return False
        return True

    def _failures(self) -> tuple[type[Exception], ...]:
        """Celery's own, and what the broker's client raises where Celery does not translate it."""
        connection = self._app.connection_for_write()
        return (OperationalError, *connection.connection_errors, *connection.channel_errors)
