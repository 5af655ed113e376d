"""Task events are sent together, now and then, and at the end."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from workers.events import EVERY, GatheringConsumer


@dataclass
class Around:
    """What Celery has around its consumer: loop, blueprint, dispatcher. Tells what it was asked."""

    asked: list[str] = field(default_factory=list)
    repeated: dict[float, Callable[[], None]] = field(default_factory=dict)

    def call_repeatedly(self, seconds: float, work: Callable[[], None]) -> None:
        """The loop's."""
        self.repeated[seconds] = work

    def send_all(self, *_: object, **__: object) -> None:
        """The blueprint's."""
        self.asked.append("register")

    def shutdown(self, _: object) -> None:
        """The blueprint's: connections are closed."""
        self.asked.append("shutdown")

    def flush(self) -> None:
        """The dispatcher's."""
        self.asked.append("flush")


@pytest.fixture
def around() -> Around:
    """Not asked for anything."""
    return Around()


@pytest.fixture
def consumer(around: Around) -> Any:
    """A consumer without a connection."""
    consumer = GatheringConsumer.__new__(GatheringConsumer)
    consumer.blueprint = consumer.event_dispatcher = around
    consumer.perform_pending_operations = lambda: None
    return consumer


def test_they_are_sent_now_and_then(around: Around, consumer: Any) -> None:
    """An event by itself has nothing sent; the loop does, again and again."""
    consumer.register_with_event_loop(around)
    consumer.on_send_event_buffered()
    assert around.asked == ["register"]
    around.repeated[EVERY]()
    assert around.asked == ["register", "flush"]


def test_the_last_are_sent_at_the_end(around: Around, consumer: Any) -> None:
    """Before the connection is closed; without a dispatcher there is nothing to send."""
    consumer.shutdown()
    assert around.asked == ["flush", "shutdown"]
    consumer.event_dispatcher = None
    consumer.shutdown()
    assert around.asked == ["flush", "shutdown", "shutdown"]
