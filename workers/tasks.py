"""Celery tasks: shells that decode, call one use case, and encode. Arguments are ids."""

from datetime import timedelta

import structlog
from celery import Celery, Task
from kombu.exceptions import OperationalError

from sender.seldom import Seldom
from workers.process import WorkerProcess
from workers.pulse import PULSE

log = structlog.get_logger(__name__)

#: A kick publishes a batch of hints about once a second: one line for all that are lost.
LINE_EVERY = timedelta(seconds=1)


def register(app: Celery, process: WorkerProcess) -> None:
    """Register the tasks on ``app``; they run on ``process``.

    Not shared: Celery would hand them to every other app of the interpreter, whose own tasks of
    these names would then run on this process or not, as chance will have it.
    """

    @app.task(name="workers.send_slice", shared=False)  # type: ignore[untyped-decorator]  # Celery has no types
    def send_slice(slice_id: int) -> None:
        """Work on one slice of a bulk campaign, then offer what comes next."""
        if process.work(slice_id):
            process.offer(publish, publish_transactional)

    @app.task(name="workers.send_transactional", shared=False)  # type: ignore[untyped-decorator]
    def send_transactional(slice_id: int) -> None:
        """Work on one slice of a transactional campaign, then offer what comes next."""
        if process.work_transactional(slice_id):
            process.offer(publish, publish_transactional)

    publish, publish_transactional = Publisher(send_slice), Publisher(send_transactional)

    @app.task(name="workers.kick", shared=False)  # type: ignore[untyped-decorator]
    def kick() -> None:
        """Start what is scheduled, and offer slices: what is due, and what the broker lost."""
        process.kick(publish, publish_transactional)

    @app.task(name="workers.sweep", shared=False)  # type: ignore[untyped-decorator]
    def sweep() -> None:
        """Give what nobody works on any more a state that says so."""
        process.sweep()

    @app.task(name="workers.resolve", shared=False)  # type: ignore[untyped-decorator]
    def resolve() -> None:
        """Ask Twilio about messages in doubt or missed callbacks, take back what is wanted back."""
        process.resolve()

    @app.task(name=PULSE, shared=False)  # type: ignore[untyped-decorator]
    def pulse(worker_id: int) -> None:
        """Note that this process hears what is published."""
        process.hear_pulse(worker_id)


class Publisher:
    """Publishes hints; a broker that is away costs hints, and a later kick offers them again."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._lines = Seldom(LINE_EVERY)

    def __call__(self, slice_id: int) -> None:
        """Publish one; the next one is tried whatever becomes of it."""
        try:
            self._task.apply_async((slice_id,), retry=False)
        except OperationalError as exc:
            if self._lines.is_time("lost"):
                log.warning("hint_not_published", slice=slice_id, error=type(exc).__name__)
