"""What a start costs: ``python -m benchmarks.startup``.

Starts the whole system as `sender up` and the demo do, and looks at what each process has used once
all are ready. Prints one JSON object. Nearly all of it is importing: of ours, and of the libraries
that every process needs.
"""

import json
import subprocess
import sys
import time
from statistics import median
from typing import Any

import psutil

from benchmarks.cpu import seconds_of
from benchmarks.rig import running_bench

_IMPORTS = {
    "python": "pass",
    "sender": "import sender",
    "webhook app": "import workers.webhooks",
    "worker": "import workers.app",
    "sqlalchemy": "import sqlalchemy.ext.asyncio, psycopg",
    "aiohttp": "import aiohttp",
    "redis": "import redis.asyncio",
    "twilio": "import twilio.rest",
    "celery": "import celery.app, kombu",
}
_TIMES = 5


def main() -> None:
    """Measure, and print."""
    print(json.dumps(measure(), indent=2))


def measure() -> dict[str, Any]:
    """The figures."""
    return {"import_cpu_ms": {name: _import(code) for name, code in _IMPORTS.items()}, **_start()}


def _import(code: str) -> int:
    """Of several the median, an interpreter's own start included."""
    took: list[float] = []
    for _ in range(_TIMES):
        before = psutil.Process().cpu_times()
        subprocess.run([sys.executable, "-c", code], check=True)
        after = psutil.Process().cpu_times()
        user = after.children_user - before.children_user
        took.append(user + after.children_system - before.children_system)
    return round(median(took) * 1000)


def _start() -> dict[str, Any]:
    with running_bench() as bench:
        began = time.monotonic()
        with bench.system(workers=2) as system:
            took = time.monotonic() - began
            names = {"webhooks": "webhooks", "consumer": "consumer", "beat": "beat"}
            pids = {name: system.stack.pid(name) for name in names} | system.stack.worker_pids()
            used = {name: round(seconds_of(pid), 2) for name, pid in pids.items()}
    return {"start_s": round(took, 1), "start_cpu_s": used}


if __name__ == "__main__":
    main()
