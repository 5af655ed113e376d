"""A Celery worker that cannot work does not live: it says why, and ends."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

from sender.local.ports import free_port

ROOT = Path(__file__).parents[2]
TWILIO = {
    "TWILIO_ACCOUNT_SID": "AC" + "a1" * 16,
    "TWILIO_AUTH_TOKEN": "token",
    "PUBLIC_BASE_URL": "https://sms.example.com",
}
#: Far more than a start takes; a worker that lives on is found by it.
BOUND_SECONDS = 60


def _refusal_of(**variables: str) -> str:
    """What a worker with these settings prints before it ends, which it must, with an error."""
    ended = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "workers", "worker"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "CELERY_BROKER_URL": _nowhere("redis"), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BOUND_SECONDS,
        check=False,
    )
    assert ended.returncode == 1, ended.stdout
    return ended.stdout


def _nowhere(scheme: str) -> str:
    """A URL where nobody listens."""
    return f"{scheme}://sender@127.0.0.1:{free_port()}/0"


def _lose_commits(database_url: str) -> None:
    """Have every new session of this database commit without waiting for the disk."""
    url = make_url(database_url)
    conninfo = url.set(drivername="postgresql").render_as_string(hide_password=False)
    alter = sql.SQL("ALTER DATABASE {} SET synchronous_commit = off")
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(alter.format(sql.Identifier(str(url.database))))


def test_without_a_setting() -> None:
    """A worker without servers ends and names the settings."""
    said = _refusal_of(**TWILIO)
    assert "DATABASE_URL" in said
    assert "REDIS_URL" in said


@pytest.mark.parametrize("missing", sorted(TWILIO))
def test_without_twilio(missing: str, database_url: str) -> None:
    """A worker that could not send ends and names the missing variable."""
    given = {name: value for name, value in TWILIO.items() if name != missing}
    said = _refusal_of(DATABASE_URL=database_url, REDIS_URL=_nowhere("redis"), **given)
    assert "worker_not_started" in said
    assert missing in said


def test_without_a_database() -> None:
    """A worker whose Postgres is not up ends, for its supervisor to start it again."""
    url = _nowhere("postgresql+psycopg")
    said = _refusal_of(DATABASE_URL=url, REDIS_URL=_nowhere("redis"), **TWILIO)
    assert "the database cannot be used (OperationalError" in said


def test_with_an_older_schema(empty_database_url: str) -> None:
    """A worker whose database was not migrated ends and says what to run."""
    said = _refusal_of(DATABASE_URL=empty_database_url, REDIS_URL=_nowhere("redis"), **TWILIO)
    assert "sender migrate" in said


def test_with_a_database_that_may_lose_commits(database_url: str) -> None:
    """A worker whose Postgres could forget a STOP ends and names the server's setting."""
    _lose_commits(database_url)
    said = _refusal_of(DATABASE_URL=database_url, REDIS_URL=_nowhere("redis"), **TWILIO)
    assert "synchronous_commit=off" in said


def test_with_a_crash_point_outside_of_a_test() -> None:
    """A worker that a stray variable would kill in the middle of its work ends at once."""
    servers = {"DATABASE_URL": _nowhere("postgresql+psycopg"), "REDIS_URL": _nowhere("redis")}
    said = _refusal_of(**servers, **TWILIO, SENDER_CRASH_AT="after_guard")
    assert "SENDER_CRASH_AT would end this process" in said
