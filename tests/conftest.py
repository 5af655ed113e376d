"""Real servers for the tests, and no way to any other machine.

Two environment variables name servers on this machine to use instead of the embedded ones:
`TEST_DATABASE_URL` (``postgresql+psycopg://…``, PostgreSQL 15 or newer, a role that may create
databases) and `TEST_REDIS_URL` (without a database index; databases 14 and 15 are emptied). A
server that is missing fails the tests that need it.

Temporary files are kept in memory where the machine offers that: the servers do all that they do
on a disk, and a thousand databases are made and dropped in a tenth of the time. `TMPDIR` says
otherwise.
"""

import gc
import ipaddress
import itertools
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from hypothesis import HealthCheck, settings
from psycopg import sql
from sqlalchemy import URL, make_url

from sender.local.servers import LocalPostgres, LocalRedis

_MEMORY = Path("/dev/shm")  # noqa: S108  # Linux's file system in memory
#: What the servers of files that run side by side need, and room to spare.
_ENOUGH_BYTES = 4 * 1024**3
if (
    "TMPDIR" not in os.environ
    and os.access(_MEMORY, os.W_OK)
    and shutil.disk_usage(_MEMORY).free >= _ENOUGH_BYTES
):
    os.environ["TMPDIR"] = str(_MEMORY)  # child processes look there, too
    tempfile.tempdir = None  # asked anew

# Child processes are started by the hundred; a fifth of a start would be compiling our modules.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A run in the background is started without it, and so would be all that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says something about the machine, and nothing about the code.
settings.register_profile("calm", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("calm")

# What runs test files side by side sets it, and a terminal's width is a test's own business.
os.environ.pop("COLUMNS", None)

#: The files that take longest, the longest first. Where files run side by side a long one must not
#: be the last, with nothing beside it; the short ones at the end even things out.
_LONGEST = (
    "faults/test_worker_life.py",
    "faults/test_troubles.py",
    "acceptance/test_demo.py",
    "faults/test_storm.py",
    "acceptance/test_negative_controls.py",
    "faults/test_frozen_workers.py",
    "faults/test_restore.py",
    "faults/test_crash_points.py",
    "faults/test_machine_lost.py",
    "acceptance/test_small_campaigns.py",
    "acceptance/test_benchmarks.py",
)
_TURNS = {Path(__file__).parent / name: turn for turn, name in enumerate(_LONGEST)}
_CONNECTING = {"socket.connect", "socket.sendto", "socket.sendmsg"}
_REDIS_DATABASE = 14
_BROKER_DATABASE = 15
_numbers = itertools.count(1)


def _refuse_other_machines(event: str, arguments: tuple[Any, ...]) -> None:
    """Raise no `OSError`: the code under test might take that for a broken connection."""
    if event in _CONNECTING:
        address = arguments[1]
        # The address of a Unix socket is no tuple; `sendto` on a connected socket has none.
        if isinstance(address, tuple) and not _is_this_machine(address[0]):
            raise RuntimeError(f"tests may not reach {address}")
    elif event == "socket.getaddrinfo" and not _is_this_machine(arguments[0]):
        raise RuntimeError(f"tests may not look up {arguments[0]}")


def _is_this_machine(host: str | bytes | None) -> bool:
    name = host.decode() if isinstance(host, bytes) else host
    if name in {None, "", "localhost", socket.gethostname()}:
        return True
    with suppress(ValueError):
        address = ipaddress.ip_address(str(name).partition("%")[0])
        return address.is_loopback or address.is_unspecified
    return False


def pytest_collection(session: pytest.Session) -> None:
    """Have the collector leave alone what is made until the tests begin: it stays for good."""
    gc.disable()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Have it look at what tests make only, not at all modules and tests again and again."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; `make test` has them run in this order."""
    items.sort(key=lambda item: _TURNS.get(item.path, len(_TURNS)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests have to tell beside their outcome: the totals of storms."""
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, told in getattr(report, "user_properties", ()):
                if name == "told" and report.when == "call":
                    terminalreporter.write_line(str(told))


@pytest.fixture(scope="session", autouse=True)
def only_loopback() -> None:
    """Have Python refuse every connection to another machine, for the rest of the session."""
    sys.addaudithook(_refuse_other_machines)


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A folder that lives as long as the servers do; gone at the end."""
    with tempfile.TemporaryDirectory(prefix="sender-tests-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def postgres(server_folder: Path) -> Iterator[str]:
    """The URL of a running PostgreSQL, shared by all tests."""
    if given := os.environ.get("TEST_DATABASE_URL"):
        yield given
        return
    with LocalPostgres.start(server_folder / "postgres") as server:
        yield server.url


@pytest.fixture(scope="session")
def redis_server(server_folder: Path) -> Iterator[str]:
    """The URL of a running Redis without a database index, shared by all tests."""
    if given := os.environ.get("TEST_REDIS_URL"):
        yield given.rstrip("/")
        return
    with LocalRedis.start(server_folder / "redis") as server:
        yield server.url.removesuffix("/0")


@pytest.fixture(scope="session")
def migrated_template(postgres: str) -> Iterator[str]:
    """The name of a database with our schema that others are copied from."""
    from sender.storage.migrate import migrate  # noqa: PLC0415  # only tests that need a schema

    with _database(postgres) as url:
        migrate(url)
        yield _name(url)


@pytest.fixture
def database_url(postgres: str, migrated_template: str) -> Iterator[str]:
    """The SQLAlchemy URL of a fresh, migrated database of this test alone."""
    with _database(postgres, template=migrated_template) as url:
        yield url


@pytest.fixture
def other_database_url(postgres: str, migrated_template: str) -> Iterator[str]:
    """The same of a second one."""
    with _database(postgres, template=migrated_template) as url:
        yield url


@pytest.fixture
def empty_database_url(postgres: str) -> Iterator[str]:
    """The SQLAlchemy URL of a fresh database without our schema."""
    with _database(postgres) as url:
        yield url


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """The URL of an empty Redis database for suppression and pacing."""
    return _emptied(f"{redis_server}/{_REDIS_DATABASE}")


@pytest.fixture
def broker_url(redis_server: str) -> str:
    """The URL of an empty Redis database for Celery."""
    return _emptied(f"{redis_server}/{_BROKER_DATABASE}")


@contextmanager
def _database(server_url: str, template: str = "template1") -> Iterator[str]:
    """Create a database as a copy of `template`; drop it afterwards, whoever is connected."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    url = make_url(server_url)
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
    _execute(url, create.format(sql.Identifier(name), sql.Identifier(template)))
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        _execute(url, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _execute(url: URL, statement: sql.Composed) -> None:
    conninfo = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(statement)


def _name(url: str) -> str:
    return str(make_url(url).database)


def _emptied(url: str) -> str:
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url
