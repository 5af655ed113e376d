"""What Twilio's calls cost: ``python -m benchmarks.webhooks``.

Starts a PostgreSQL, a Redis and the webhook app (one granian worker) in a temporary folder, and
calls it as Twilio does: two signed status callbacks for each message of a campaign, then STOPs,
each of which is answered once it is enforced. Prints one JSON object: calls a second, CPU
microseconds a call by process, and how long answers took.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import text

import sender
from benchmarks.calling import Answered, Caller, call_all, percentiles
from benchmarks.cpu import Usage
from benchmarks.rig import on_disk
from sender.config import Settings
from sender.local.ports import LOOPBACK, free_port
from sender.local.processes import Supervisor
from sender.local.servers import LocalServers
from sender.local.waiting import answers_http
from sender.storage.database import Database
from sender.storage.migrate import migrate

ACCOUNT, TOKEN = "AC" + "a1" * 16, "4" * 32
PUBLIC_URL = "https://sms.example.com"
SENDER = "+15005550006"
FIRST = 12_122_000_000
#: Messages between a message's first callback and its second.
LAG = 500
_CALLER = Caller(account=ACCOUNT, token=TOKEN, public_url=PUBLIC_URL)

#: As they are once their requests were answered.
_SENT = text("""
    UPDATE message SET state = 'sent', sid = 'SM' || replace(CAST(id AS text), '-', ''),
                       guarded_at = now(), gen = 1
""")


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--stops", type=int, default=3_000)
    parser.add_argument("--connections", type=int, default=200)
    print(json.dumps(measure(**vars(parser.parse_args())), indent=2))


def measure(
    *, messages: int = 20_000, stops: int = 3_000, connections: int = 200
) -> dict[str, Any]:
    """The figures."""
    with (
        tempfile.TemporaryDirectory(prefix="sender-bench-", dir=on_disk()) as folder,
        LocalServers.start(Path(folder)) as servers,
    ):
        ids = _messages(servers, messages)
        with _app(servers, Path(folder)) as (port, pid):
            kinds = {"app": [pid], **_kinds(servers)}
            measured = {
                name: _call(port, requests, connections, kinds)
                for name, requests in (
                    ("callbacks", list(_callbacks(ids))),
                    ("stops", list(_stops(stops))),
                )
            }
        _check(servers, messages, stops)
    return measured


def _kinds(servers: LocalServers) -> dict[str, list[int]]:
    """The servers' processes for `Usage`."""
    pids = {"postgres": servers.postgres.pid, "redis": servers.redis.pid}
    return {kind: [pid] for kind, pid in pids.items() if pid is not None}


@contextmanager
def _app(servers: LocalServers, folder: Path) -> Iterator[tuple[int, int]]:
    """The webhook app as it is started in production: its port and its process."""
    port = free_port()
    argv = [
        *(sys.executable, "-m", "granian", "--interface", "asgi", "--no-ws"),
        *("--host", LOOPBACK, "--port", str(port), "--backlog", "4096", "--backpressure", "4096"),
        *("--http", "1", "--http1-header-read-timeout", "10000"),
        *("--log-level", "warning", "workers.webhooks:app"),
    ]
    with Supervisor(folder / "app", {**os.environ, **_variables(servers)}) as processes:
        ready = partial(answers_http, f"http://{LOOPBACK}:{port}/readyz")
        processes.start("app", argv, ready=ready)
        processes.wait_ready()
        yield port, processes.pid("app")


def _variables(servers: LocalServers) -> dict[str, str]:
    return {
        "DATABASE_URL": servers.postgres.url,
        "REDIS_URL": servers.redis.url,
        "PUBLIC_BASE_URL": PUBLIC_URL,
        "TWILIO_ACCOUNT_SID": ACCOUNT,
        "TWILIO_AUTH_TOKEN": TOKEN,
        "SENDER_LOG_LEVEL": "WARNING",
        "SENDER_SCRUB": "off",
        "SENDER_INTAKE": "webhook",
    }


def _messages(servers: LocalServers, count: int) -> list[UUID]:
    """A running campaign whose messages were all accepted."""
    migrate(servers.postgres.url)
    client = sender.connect(Settings.from_variables(_variables(servers)))
    audience = sender.from_iterable(f"+{FIRST + n}" for n in range(count))
    client.create_campaign(
        name="callbacks", sender=SENDER, body="Hello from a benchmark", audience=audience
    ).enqueue()
    db = Database.connect(servers.postgres.url)
    with db.transaction() as tx:
        tx.execute(_SENT)
    with db.transaction() as tx:
        ids = list(tx.execute(text("SELECT id FROM message ORDER BY id")).scalars())
    with db.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text("VACUUM ANALYZE"))
    db.close()
    return ids


def _callbacks(ids: Sequence[UUID]) -> Iterator[bytes]:
    """Two a message: the carrier has it, and a little later the handset."""
    late: list[tuple[int, UUID] | None] = [None] * LAG
    numbered = list(enumerate(ids))
    for first, second in zip([*numbered, *late], [*late, *numbered], strict=True):
        if first is not None:
            yield _callback(*first, "sent")
        if second is not None:
            yield _callback(*second, "delivered")


def _callback(n: int, id_: UUID, status: str) -> bytes:
    sid = f"SM{id_.hex}"
    form = {
        "ApiVersion": "2010-04-01",
        "AccountSid": ACCOUNT,
        "From": SENDER,
        "MessageSid": sid,
        "MessageStatus": status,
        "SmsSid": sid,
        "SmsStatus": status,
        "To": f"+{FIRST + n}",
    }
    if status == "delivered":
        form["RawDlrDoneDate"] = "2601011200"
    return _CALLER.request(f"/twilio/status/{id_}", form)


def _stops(count: int) -> Iterator[bytes]:
    """From that many people."""
    return (_CALLER.stop(f"SM{n:032x}", FIRST + n, SENDER) for n in range(count))


def _call(
    port: int, requests: Sequence[bytes], connections: int, kinds: Mapping[str, list[int]]
) -> dict[str, Any]:
    before, began = Usage.now(kinds), time.perf_counter()
    answers: list[Answered] = asyncio.run(call_all(port, requests, connections=connections))
    took = time.perf_counter() - began
    statuses = {answer.status for answer in answers}
    assert statuses <= {200, 204}, statuses
    used = Usage.now(kinds).since(before).per_message(len(requests))
    return {
        "calls": len(requests),
        "per_second": round(len(requests) / took),
        "per_core_second": round(1e6 / used["app"]),
        "cpu_us": {kind: round(each, 1) for kind, each in used.items()},
        "answered": percentiles(answer.seconds for answer in answers),
    }


def _check(servers: LocalServers, messages: int, stops: int) -> None:
    """Void if anything is missing."""
    db = Database.connect(servers.postgres.url)
    with db.transaction() as tx:
        found = tx.execute(
            text("""
                SELECT (SELECT count(*) FROM message WHERE state = 'delivered'),
                       (SELECT count(*) FROM receipt),
                       (SELECT count(*) FROM enforcement WHERE enforced_at IS NOT NULL)
            """)
        ).one()
    db.close()
    assert tuple(found) == (messages, 2 * messages, stops), found


if __name__ == "__main__":
    main()
