"""The fault proxy does what the tests that stand on it believe."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from sender.local.ports import LOOPBACK
from tests.faults.proxy import FaultProxy


@contextmanager
def _echo(answer: bytes = b"") -> Iterator[int]:
    """A server that says everything back, after `answer`; its port."""
    with socket.create_server((LOOPBACK, 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=_talk, args=(connection, answer), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def _talk(connection: socket.socket, answer: bytes) -> None:
    with connection, suppress(OSError):
        while data := connection.recv(1000):
            connection.sendall(answer + data)


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    """A proxy in front of an echo."""
    with _echo() as port, FaultProxy(port) as proxy:
        yield proxy


@contextmanager
def _client(proxy: FaultProxy) -> Iterator[socket.socket]:
    with socket.create_connection((LOOPBACK, proxy.port), timeout=5) as client:
        yield client


def _asked(client: socket.socket, what: bytes) -> bytes:
    client.sendall(what)
    return client.recv(1000)


def test_what_is_not_broken_passes(proxy: FaultProxy) -> None:
    """Without a fault every byte arrives."""
    with _client(proxy) as client:
        assert _asked(client, b"hello") == b"hello"


def test_a_black_hole_swallows_the_open_connections(proxy: FaultProxy) -> None:
    """An open connection stays silent without an end; a new one works."""
    with _client(proxy) as old:
        assert _asked(old, b"before") == b"before"
        proxy.black_hole()
        old.settimeout(0.2)
        with pytest.raises(TimeoutError):
            _asked(old, b"after")
        with _client(proxy) as new:
            assert _asked(new, b"new") == b"new"


def test_a_reset_is_an_error(proxy: FaultProxy) -> None:
    """A broken connection ends with RST, not with an orderly end."""
    with _client(proxy) as client:
        assert _asked(client, b"before") == b"before"
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            _asked(client, b"after")


def test_refused(proxy: FaultProxy) -> None:
    """Whoever is refused is not served; afterwards they are again."""
    proxy.refuse()
    with _client(proxy) as client, pytest.raises(ConnectionError):
        _asked(client, b"hello")
    proxy.refuse(refusing=False)
    with _client(proxy) as client:
        assert _asked(client, b"hello") == b"hello"


def test_another_server(proxy: FaultProxy) -> None:
    """Led to another server, new connections reach that one."""
    with _echo(b"other: ") as port:
        proxy.lead_to(port)
        with _client(proxy) as client:
            assert _asked(client, b"hello") == b"other: hello"


@pytest.mark.parametrize("delivered", [True, False])
def test_a_cut(proxy: FaultProxy, *, delivered: bool) -> None:
    """The connection breaks where the last marker comes after the first, also in pieces."""
    with _client(proxy) as client:
        assert _asked(client, b"before") == b"before"
        proxy.cut_at(b"guard", b"COMMIT", delivered=delivered)
        assert _asked(client, b"COMMIT") == b"COMMIT"
        assert _asked(client, b"gu") == b"gu"
        assert _asked(client, b"ard COM") == b"ard COM"
        with pytest.raises(ConnectionResetError):
            _asked(client, b"MIT")
    assert proxy.cuts == 1
    with _client(proxy) as client:
        assert _asked(client, b"guard COMMIT") == b"guard COMMIT"
