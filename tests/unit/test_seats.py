"""A process's seats for bulk slices, and the queues its hints come from."""

from contextlib import ExitStack

import pytest

from sender.config import Settings
from workers.app import create_app
from workers.seats import Seats


def test_no_more_than_there_are() -> None:
    """Whoever comes when all seats are taken has none, and takes none from those who have."""
    seats = Seats(2)
    with ExitStack() as turns:
        assert [turns.enter_context(seats.taken()) for _ in range(3)] == [True, True, False]
    with ExitStack() as turns:
        assert [turns.enter_context(seats.taken()) for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    ("task", "queue"),
    [("send_slice", "slices"), ("send_transactional", "transactional"), ("kick", "recovery")],
)
def test_the_queue_of_a_task(task: str, queue: str) -> None:
    """Bulk slices, transactional ones and recovery wait in queues of their own; all are served."""
    names = {"DATABASE_URL": "postgresql://h/d", "REDIS_URL": "redis://h/0"}
    app = create_app(settings=lambda: Settings.from_variables(names))
    assert app.amqp.router.route({}, f"workers.{task}")["queue"].name == queue
    assert queue in app.amqp.queues.consume_from
