"""Beat publishes recovery's tasks: steadily, whatever the clocks say, and never very many."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis import Redis

from sender.config import Settings
from sender.local.ports import free_port
from workers.app import RECOVERY, create_app
from workers.beat import MOST_WAITING, BoundedScheduler

Beat = Callable[[str], BoundedScheduler]


@pytest.fixture
def beat() -> Iterator[Beat]:
    """A beat of ours at this broker."""
    apps: list[Any] = []

    def at(broker_url: str) -> BoundedScheduler:
        settings = Settings.model_validate(
            {
                "DATABASE_URL": "postgresql://127.0.0.1/none",
                "REDIS_URL": broker_url,
                "CELERY_BROKER_URL": broker_url,
            }
        )
        apps.append(create_app(settings=lambda: settings))
        apps[-1].conf.broker_connection_max_retries = 1
        return BoundedScheduler(apps[-1])

    yield at
    for app in apps:
        app.close()


def _waiting(broker_url: str) -> int:
    with Redis.from_url(broker_url) as broker:
        return int(broker.llen(f"sender:{RECOVERY}"))


def test_a_queue_that_nobody_empties(beat: Beat, broker_url: str) -> None:
    """While no worker takes them, tasks do not pile up; once one does, publishing goes on."""
    scheduler = beat(broker_url)
    for _ in range(MOST_WAITING):
        for entry in scheduler.schedule.values():
            scheduler.apply_entry(entry, producer=scheduler.producer)
    assert _waiting(broker_url) == MOST_WAITING
    with Redis.from_url(broker_url) as broker:
        broker.lpop(f"sender:{RECOVERY}")
    scheduler.apply_entry(scheduler.schedule["workers.kick"], producer=scheduler.producer)
    assert _waiting(broker_url) == MOST_WAITING
    scheduler.close()


def test_no_expiry(beat: Beat, broker_url: str) -> None:
    """What is published carries no time that a worker would compare with its own clock."""
    scheduler = beat(broker_url)
    assert [entry.options for entry in scheduler.schedule.values()] == [{}] * 3


def test_a_broker_that_is_away(beat: Beat) -> None:
    """Beat lives on without its broker."""
    scheduler = beat(f"redis://127.0.0.1:{free_port()}/0")
    scheduler.apply_entry(scheduler.schedule["workers.kick"])


def test_its_time_only_goes_on(beat: Beat, broker_url: str) -> None:
    """When a task is due follows a clock that nobody sets: it is not the time of day."""
    entry = beat(broker_url).schedule["workers.kick"]
    assert entry.default_now().year < 2000


def test_it_sleeps_until_a_task_is_due(beat: Beat, broker_url: str) -> None:
    """No sooner: it would look at the time again and again until then."""
    scheduler = beat(broker_url)
    assert [scheduler.adjust(wait) for wait in (1.0, 0.004, 0, None)] == [1.0, 0.004, 0, None]
    scheduler.close()
