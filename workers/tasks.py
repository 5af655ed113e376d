"""Celery tasks: shells that decode, call one use case, and encode. Arguments are ids."""

from celery import Celery, Task

from workers.process import WorkerProcess


def register(app: Celery, process: WorkerProcess) -> None:
    """Register the tasks on ``app``; they run on ``process``.

    Not shared: Celery would hand them to every other app of the interpreter, whose own tasks of
    these names would then run on this process or not, as chance will have it.
    """

    @app.task(name="workers.send_slice", shared=False)  # type: ignore[untyped-decorator]  # Celery has no types
    def send_slice(slice_id: int) -> None:
        """Work on one slice of a campaign, then offer what comes next."""
        if process.work(slice_id):
            kick.run()

    @app.task(name="workers.kick", shared=False)  # type: ignore[untyped-decorator]
    def kick() -> None:
        """Offer slices: those that are due, and those the broker lost."""
        process.kicker(publish=_publisher(send_slice)).kick()

    @app.task(name="workers.sweep", shared=False)  # type: ignore[untyped-decorator]
    def sweep() -> None:
        """Give what nobody works on any more a state that says so."""
        process.sweeper().sweep()

    @app.task(name="workers.resolve", shared=False)  # type: ignore[untyped-decorator]
    def resolve() -> None:
        """Ask Twilio about messages in doubt."""
        process.resolve()


class _publisher:  # noqa: N801  # a function with its task bound
    def __init__(self, task: Task) -> None:
        self._task = task

    def __call__(self, slice_id: int) -> None:
        """Publish the hint; a broker that is away costs a hint, and the next kick repairs it."""
        self._task.apply_async((slice_id,), retry=False)
