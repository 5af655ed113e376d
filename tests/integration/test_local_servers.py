"""The embedded servers are real, durable, restartable and gone afterwards."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psutil
import psycopg
import pytest
import redis
from sqlalchemy import make_url

from sender.errors import LocalServersMissing, ProcessFailed
from sender.local.child import Child, Program
from sender.local.installs import copy_postgres_programs, postgres_programs
from sender.local.servers import LocalPostgres, LocalRedis, LocalServers, StopMode
from sender.local.waiting import wait_until

_BOUND = timedelta(seconds=20)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[LocalServers]:
    """Both servers, for a test that stops or kills them."""
    with LocalServers.start(tmp_path) as servers:
        yield servers


def _connect(server: LocalPostgres) -> psycopg.Connection:
    url = make_url(server.url).set(drivername="postgresql")
    return psycopg.connect(url.render_as_string(hide_password=False), autocommit=True)


def _one(server: LocalPostgres, query: str) -> object:
    with _connect(server) as connection:
        row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None


def _commit_a_row(server: LocalPostgres) -> None:
    with _connect(server) as connection:
        connection.execute("CREATE TABLE kept (value int)")
        connection.execute("INSERT INTO kept VALUES (42)")


def _processes_below(folder: Path) -> list[int]:
    """Every process that works in the folder, which all PostgreSQL and Redis processes do."""
    return [
        process.pid
        for process in psutil.process_iter(["cwd"])
        if (process.info["cwd"] or "").startswith(str(folder.resolve()))
    ]


def test_postgres_runs_with_what_the_promises_rest_on(stack: LocalServers) -> None:
    """The embedded PostgreSQL is durable, speaks UTF-8 and listens on loopback only."""
    wanted = {
        "fsync": "on",
        "full_page_writes": "on",
        "listen_addresses": "127.0.0.1",
        "max_connections": "200",
        "server_encoding": "UTF8",
        "synchronous_commit": "on",
        "unix_socket_directories": "",
    }
    with _connect(stack.postgres) as connection:
        found: dict[str, str] = dict(
            connection.execute("SELECT name, setting FROM pg_settings").fetchall()
        )
    assert {name: found[name] for name in wanted} == wanted


def test_postgres_refuses_a_wrong_password(stack: LocalServers) -> None:
    """Another user of the machine cannot log in without the generated password."""
    url = make_url(stack.postgres.url).set(drivername="postgresql", password="guess")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url.render_as_string(hide_password=False))


def test_redis_keeps_nothing_on_disk_and_evicts_nothing(stack: LocalServers) -> None:
    """The embedded Redis refuses writes when full rather than forget a suppression."""
    with redis.Redis.from_url(stack.redis.url, decode_responses=True) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("save") == {"save": ""}
        assert client.config_get("appendonly") == {"appendonly": "no"}
        assert client.config_get("databases") == {"databases": "16"}


def test_broker_and_suppression_use_two_databases(stack: LocalServers) -> None:
    """Database 0 is for suppression and pacing, database 1 for Celery."""
    assert stack.redis.url.endswith("/0")
    assert stack.redis.broker_url.endswith("/1")


@pytest.mark.parametrize("mode", list(StopMode))
def test_committed_rows_survive_a_restart(stack: LocalServers, mode: StopMode) -> None:
    """After a restart in either mode the same URL leads to the same rows."""
    url = stack.postgres.url
    _commit_a_row(stack.postgres)
    stack.postgres.restart(mode)
    assert stack.postgres.url == url
    assert _one(stack.postgres, "SELECT value FROM kept") == 42


def test_committed_rows_survive_a_kill(stack: LocalServers) -> None:
    """A PostgreSQL killed with clients connected keeps what it had committed."""
    _commit_a_row(stack.postgres)
    with _connect(stack.postgres):
        stack.postgres.kill()
    stack.postgres.restart()
    assert _one(stack.postgres, "SELECT value FROM kept") == 42


def test_a_killed_redis_comes_back_empty_on_its_port(stack: LocalServers) -> None:
    """Losing Redis loses its content, never its address."""
    with redis.Redis.from_url(stack.redis.url) as client:
        client.set("key", "value")
    stack.redis.kill()
    stack.redis.restart()
    with redis.Redis.from_url(stack.redis.url) as client:
        assert client.get("key") is None


def test_a_folder_is_started_again_with_its_rows(tmp_path: Path) -> None:
    """The second start in a folder finds the rows and the password of the first."""
    with LocalPostgres.start(tmp_path) as first:
        _commit_a_row(first)
    with LocalPostgres.start(tmp_path) as second:
        assert _one(second, "SELECT value FROM kept") == 42


def test_two_stacks_run_side_by_side(tmp_path: Path) -> None:
    """Stacks in two folders share neither ports nor data."""
    with (
        LocalServers.start(tmp_path / "one") as one,
        LocalServers.start(tmp_path / "two") as two,
    ):
        _commit_a_row(one.postgres)
        assert _one(two.postgres, "SELECT to_regclass('kept')") is None
        assert one.redis.url != two.redis.url


def _interrupted(folder: Path) -> None:
    with LocalServers.start(folder):
        assert _processes_below(folder)
        raise KeyboardInterrupt


def test_nothing_is_left_when_the_block_is_left_by_an_exception(tmp_path: Path) -> None:
    """An interruption stops both servers; afterwards the folder can be removed."""
    with pytest.raises(KeyboardInterrupt):
        _interrupted(tmp_path)
    assert _processes_below(tmp_path) == []


def test_a_second_server_on_the_same_folder_is_refused(stack: LocalServers, tmp_path: Path) -> None:
    """Two servers never share one data folder; the error names the processes that use it."""
    with pytest.raises(ProcessFailed, match=str(stack.postgres.pid)):
        LocalPostgres.start(tmp_path / "postgres")


def test_a_foreign_process_id_in_a_stale_file_does_not_matter(tmp_path: Path) -> None:
    """A postmaster.pid from before a reboot may carry the number of a process that lives now."""
    with LocalPostgres.start(tmp_path) as first:
        _commit_a_row(first)
        stale = (tmp_path / "data" / "postmaster.pid").read_text().split("\n", 1)[1]
        first.kill()
    (tmp_path / "data" / "postmaster.pid").write_text(f"{os.getpid()}\n{stale}")
    with LocalPostgres.start(tmp_path) as second:
        assert _one(second, "SELECT value FROM kept") == 42


def test_an_interrupted_first_start_is_done_anew(tmp_path: Path) -> None:
    """What a killed first start left of the data folder is thrown away."""
    (tmp_path / "data.unfinished").mkdir()
    (tmp_path / "data.unfinished" / "PG_VERSION").write_text("18")
    with LocalPostgres.start(tmp_path) as server:
        assert _one(server, "SELECT 1") == 1


def test_a_server_that_cannot_start_shows_its_log(tmp_path: Path) -> None:
    """The error of a failed start carries what the server said."""
    with LocalPostgres.start(tmp_path):
        pass
    (tmp_path / "data" / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(ProcessFailed, match="no_such_setting"):
        LocalPostgres.start(tmp_path)
    assert _processes_below(tmp_path) == []


_STARTER = """
import sys, time
from pathlib import Path
from sender.local.servers import LocalServers

servers = LocalServers.start(Path(sys.argv[1]))
print("started", flush=True)
if sys.argv[2] == "stay":
    time.sleep(600)
"""


def _start_elsewhere(folder: Path, then: str) -> subprocess.Popen[str]:
    """Start both servers in `folder` from another Python, which prints a line when they run."""
    starter = subprocess.Popen(
        [sys.executable, "-c", _STARTER, str(folder), then], stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout
    assert starter.stdout.readline() == "started\n"
    return starter


@pytest.mark.parametrize(
    ("then", "end"), [("stay", signal.SIGKILL), ("stay", signal.SIGINT), ("leave", None)]
)
def test_no_server_outlives_the_process_that_started_it(
    tmp_path: Path, then: str, end: signal.Signals | None
) -> None:
    """Killed, interrupted or forgetful starters leave no server, and a folder that starts again."""
    with _start_elsewhere(tmp_path, then) as starter:
        if end:
            starter.send_signal(end)
        starter.wait(_BOUND.total_seconds())
    wait_until(lambda: not _processes_below(tmp_path), _BOUND, "the servers to end")
    with LocalServers.start(tmp_path) as servers:
        assert _one(servers.postgres, "SELECT 1") == 1


def test_a_copy_of_the_programs_runs_from_elsewhere(tmp_path: Path) -> None:
    """Programs that the server's account cannot reach work from a copy it can reach."""
    programs = copy_postgres_programs(postgres_programs(), tmp_path)
    log = tmp_path / "log"
    for program in ("initdb", "postgres"):
        argv = [str(programs / program), "--version"]
        child = Child.start(Program(name=program, argv=argv, log=log))
        assert child.wait(_BOUND)
        assert child.exit_code == 0
    assert log.read_text().count("(PostgreSQL) 18") == 2


def test_missing_wheels_are_named_with_the_command_that_installs_them(tmp_path: Path) -> None:
    """Without the extra `local` the error says what to install."""
    script = (
        "import sys; from sender.local.installs import postgres_programs\n"
        "sys.path.clear()  # no package can be found any more\n"
        "postgres_programs()"
    )
    root = Path(__file__).parents[2]
    answer = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert LocalServersMissing.__name__ in answer.stderr
    assert "pip install 'bulk-sms-sender[local]'" in answer.stderr


def test_a_port_taken_by_a_stranger_is_noticed(tmp_path: Path) -> None:
    """A server whose port was taken while it was down fails loudly, with its log."""
    with LocalRedis.start(tmp_path) as server:
        port = int(server.url.rpartition(":")[2].removesuffix("/0"))
        server.kill()
        with socket.socket() as stranger:
            stranger.bind(("127.0.0.1", port))
            stranger.listen()
            with pytest.raises(ProcessFailed, match="Address already in use"):
                server.restart()
