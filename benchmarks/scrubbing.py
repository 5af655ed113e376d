"""What a scrub adds to the time to the first message: ``python -m benchmarks.scrubbing``.

Starts the whole system beside a local Twilio on free ports. Small campaigns are timed from
`enqueue` to their first request, round after round: with a scrub, without, and transactional ones,
first beside an empty log and then beside ones that grew by so many messages since the scrub before.
The local Twilio shows a page of a thousand in tens of milliseconds, Twilio itself takes most of a
second: so the requests of a scrub are counted, too. Prints one JSON object.
"""

import argparse
import json
import statistics
import tempfile
import time
from base64 import b64encode
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import sender
from tests.acceptance.rig import ACCOUNT, TOKEN, System, running_system, until

NUMBER, OTHER = "+14155580001", "+14155580002"
KINDS: dict[str, dict[str, Any]] = {
    "scrubbed": {},
    "without": {"scrub": False},
    "transactional": {"transactional": True},
}
#: What a scrub asks for, in the simulator's log.
ASKED = {"list", "alerts", "alert", "service"}
PATIENCE_SECONDS = 120
CONNECTIONS = 8


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, nargs="*", default=[0, 1_000, 20_000])
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="sender-bench-") as folder,
        running_system(Path(folder), numbers=[NUMBER, OTHER]) as system,
    ):
        system.client.set_pace(NUMBER, 1000)
        found = {many: _measure(system, many, asked.rounds) for many in asked.messages}
        print(json.dumps({"rounds": asked.rounds, "messages_since_the_last": found}, indent=2))


def _measure(system: System, many: int, rounds: int) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    requests: list[int] = []
    scrubs: list[float] = []
    for n in range(rounds):
        _fill(system, many)
        for kind, wanted in KINDS.items():
            first = _first(system, f"{kind} {many} {n}", wanted)
            seconds[kind].append(first.seconds)
            if kind == "scrubbed":
                requests.append(first.requests)
                scrubs.append(first.scrub_seconds)
    medians = {kind: round(statistics.median(all_), 2) for kind, all_ in seconds.items()}
    worst = {kind: round(max(all_), 2) for kind, all_ in seconds.items()}
    scrub = {"seconds": [round(one, 2) for one in scrubs], "requests": requests}
    return {"median_s": medians, "worst_s": worst, "scrubs": scrub}


@dataclass(frozen=True)
class _First:
    """How a campaign began."""

    #: From `enqueue` to its first request.
    seconds: float
    #: From `enqueue` to the end of its scrub.
    scrub_seconds: float
    #: What Twilio was asked until then.
    requests: int


def _first(system: System, body: str, wanted: dict[str, Any]) -> _First:
    campaign = system.client.create_campaign(
        name=body,
        sender=NUMBER,
        body=body,
        audience=sender.from_iterable(["+12122000000"]),
        transactional=wanted.get("transactional", False),
    )
    before = int(system.simulator.ask("GET", "stats")["log_entries"])
    began = time.time()
    campaign.enqueue(scrub=wanted.get("scrub"))

    def sent() -> Sequence[float]:
        entries = system.simulator.ask("GET", f"log?after={before}&limit=100000")["entries"]
        return [one["arrived_at"] for one in entries if one.get("body") == body]

    until(lambda: bool(sent()), body, PATIENCE_SECONDS)
    entries = system.simulator.ask("GET", f"log?after={before}&limit=100000")["entries"]
    at = min(sent())
    asked = [one for one in entries if one["kind"] in ASKED and one["arrived_at"] < at]
    scrub = campaign.progress().scrub
    ended = scrub.ended_at - scrub.asked_at if scrub and scrub.ended_at else timedelta()
    return _First(at - began, ended.total_seconds(), len(asked))


def _fill(system: System, many: int) -> None:
    """Another system sends so many from the same number."""
    parts = [many // CONNECTIONS] * (CONNECTIONS if many else 0)
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(partial(_send, system.simulator.url), parts, count(0)))


def _send(url: str, many: int, part: int) -> None:
    place = urlsplit(url)
    connection = HTTPConnection(place.hostname or "", place.port)
    login = b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
    headers = {
        "Authorization": f"Basic {login}",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    for n in range(many):
        to = f"+1{2_132_000_000 + part * 1_000_000 + n}"
        form = urlencode({"To": to, "From": NUMBER, "Body": "from elsewhere"})
        connection.request("POST", f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json", form, headers)
        connection.getresponse().read()


if __name__ == "__main__":
    main()
