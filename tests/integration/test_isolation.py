"""Tests share servers, never data, and reach no other machine."""

import socket

import pytest
import redis
from sqlalchemy import create_engine, inspect, text


def _tables(url: str) -> list[str]:
    engine = create_engine(url)
    try:
        return inspect(engine).get_table_names()
    finally:
        engine.dispose()


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_no_test_reaches_another_machine(kind: socket.SocketKind) -> None:
    """A connection beyond loopback is refused before a packet leaves."""
    with socket.socket(type=kind) as connection, pytest.raises(RuntimeError, match="may not reach"):
        connection.connect(("192.0.2.1", 80))


def test_no_test_asks_a_name_server() -> None:
    """The name of another machine is not even looked up."""
    with pytest.raises(RuntimeError, match="may not look up"):
        socket.getaddrinfo("api.twilio.com", 443)


@pytest.mark.parametrize("_again", [1, 2])
def test_every_test_gets_a_fresh_migrated_database(database_url: str, _again: int) -> None:
    """What one test writes no other test sees."""
    assert "alembic_version" in _tables(database_url)
    assert "left_behind" not in _tables(database_url)
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE left_behind ()"))
    engine.dispose()


def test_an_empty_database_has_no_schema(empty_database_url: str) -> None:
    """Tests of the migration start from nothing."""
    assert _tables(empty_database_url) == []


@pytest.mark.parametrize("_again", [1, 2])
def test_every_test_gets_empty_redis_databases(
    redis_url: str, broker_url: str, _again: int
) -> None:
    """Suppression and broker databases are two, and empty."""
    assert redis_url != broker_url
    for url in (redis_url, broker_url):
        with redis.Redis.from_url(url) as client:
            assert client.dbsize() == 0
            client.set("left", "behind")
