"""Hints are taken and acknowledged whatever the broker says to it: a worker never ends of that."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from kombu import Connection, Queue
from redis import Redis

from tests.bench import eventually
from workers.transport import HintTransport


@pytest.fixture
def connection(broker_url: str) -> Iterator[Connection]:
    """A connection with a hint in the queue "hints"."""
    with Connection(broker_url, transport=HintTransport) as connection:
        with connection.SimpleQueue("hints") as queue:
            queue.put({"slice": 7})
        yield connection


@contextmanager
def _full(broker_url: str) -> Iterator[None]:
    """The broker takes nothing."""
    with Redis.from_url(broker_url) as broker:
        broker.config_set("maxmemory", "1")
        try:
            yield
        finally:
            broker.config_set("maxmemory", "0")


@contextmanager
def _consumer(connection: Connection) -> Iterator[list[Any]]:
    """What a consumer has taken."""
    taken: list[Any] = []
    consumer = connection.Consumer([Queue("hints")], accept=["json"])
    consumer.register_callback(lambda _, message: taken.append(message))
    with consumer:
        yield taken


def _take(connection: Connection, taken: list[Any]) -> Any:
    def arrived() -> list[Any]:
        with suppress(TimeoutError):
            connection.drain_events(timeout=1)
        return taken

    eventually(arrived)
    return taken.pop()


def test_a_full_broker(connection: Connection, broker_url: str) -> None:
    """A hint can be taken from a broker that takes nothing itself, and acknowledged."""
    with _consumer(connection) as taken, _full(broker_url):
        hint = _take(connection, taken)
        assert hint.payload == {"slice": 7}
        hint.ack()
        assert hint.acknowledged


def test_a_connection_that_is_gone(connection: Connection) -> None:
    """A hint that was followed for longer than its connection lived is acknowledged to nobody."""
    with _consumer(connection) as taken:
        hint = _take(connection, taken)
    hint.channel.close()
    hint.ack()
    assert hint.acknowledged
