"""Hints are published one by one; a broker that is away costs hints and nothing else."""

from dataclasses import dataclass, field

from celery import Celery
from kombu.exceptions import OperationalError
from structlog.testing import capture_logs

from sender.local.ports import free_port
from workers.tasks import Publisher


@dataclass
class Task:
    """A task whose broker is away for some slices."""

    lost: frozenset[int]
    tried: list[int] = field(default_factory=list)

    def apply_async(self, args: tuple[int], *, retry: bool) -> None:
        """Publish, or not."""
        assert not retry
        self.tried += args
        if args[0] in self.lost:
            raise OperationalError("connection refused")


def test_the_rest_of_a_batch_is_published() -> None:
    """Each hint of a batch is tried, whatever became of those before; one line tells of all."""
    task = Task(lost=frozenset({1, 2, 4}))
    publish = Publisher(task)
    with capture_logs() as lines:
        for slice_id in (1, 2, 3, 4, 5):
            publish(slice_id)
    assert task.tried == [1, 2, 3, 4, 5]
    assert [(line["event"], line["slice"]) for line in lines] == [("hint_not_published", 1)]


def test_what_celery_raises() -> None:
    """A real task whose broker does not answer raises nothing through the publisher."""
    app = Celery("test", broker=f"redis://127.0.0.1:{free_port()}/0", set_as_current=False)
    app.conf.broker_transport_options = {"max_retries": 0}  # to be tried once

    @app.task(name="test.nothing", shared=False)  # type: ignore[untyped-decorator]
    def nothing(slice_id: int) -> None:
        """Never runs."""

    publish = Publisher(nothing)
    with capture_logs() as lines:
        publish(7)
    assert [line["slice"] for line in lines] == [7]
