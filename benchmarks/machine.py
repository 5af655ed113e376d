"""Where a bench was run, and on what: no figure means anything without."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil
import psycopg

from benchmarks.rig import Bench, file_system
from sender.suppression import connect_sync

_LIBRARIES = ("aiohttp", "celery", "psycopg", "redis", "sqlalchemy", "twilio")
#: What the promises rest on, hence what every figure has to be taken with.
_DURABLE = ("fsync", "synchronous_commit", "full_page_writes")


def machine(bench: Bench) -> dict[str, object]:
    """The machine, the servers and the code."""
    with psycopg.connect(bench.postgres_url) as db:
        postgres = {name: str(_value(db, f"SHOW {name}")) for name in _DURABLE}
        postgres["version"] = str(_value(db, "SHOW server_version"))
    with connect_sync(bench.servers.redis.url) as redis:
        redis_version = redis.info("server")["redis_version"]
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "load_before": os.getloadavg()[2],
        "platform": platform.platform(),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in _LIBRARIES},
        "postgres": postgres,
        "redis": redis_version,
        "file_system": file_system(bench.folder),
        "commit": commit(),
    }


def commit() -> str:
    """The revision of this checkout, ``+`` if it was changed since; empty outside of one."""
    try:
        found = _git("rev-parse", "--short", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return ""
    return found + ("+" if changed else "")


def _git(*words: str) -> str:
    here = Path(__file__).parent
    return subprocess.run(
        ["git", "-C", str(here), *words], check=True, capture_output=True, text=True
    ).stdout.strip()


def _value(db: "psycopg.Connection[tuple[object, ...]]", question: str) -> object:
    row = db.execute(question.encode()).fetchone()
    assert row is not None
    return row[0]
