"""STOPs while a campaign is sent: ``python -m benchmarks.stops --per-second 100 500``.

Starts the whole system beside the benches' provider, which answers after 50 ms, lets a campaign go
at a pace that leaves both cores room, and has people of its audience text STOP at each rate in
turn. Prints one JSON object. For each rate: how many were answered 200 in time; from a STOP's first
byte to the moment it was enforced (`enforced_at`), to its answer, and from the one to the other;
and requests that began after a STOP's answer, of which there must be none.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from random import Random
from typing import Any

import psycopg

import sender
from benchmarks import people
from benchmarks.calling import Answered, Caller, call_all, percentiles
from benchmarks.cpu import Usage
from benchmarks.history import History
from benchmarks.provider import Manners
from benchmarks.rig import ACCOUNT, NUMBER, TOKEN, Bench, System, running_bench
from sender.local.waiting import wait_until

LATENCY_MS = 50.0
_BEGUN_WITHIN = timedelta(minutes=1)
#: Of the people of the audience one in so many texts STOP, in no order.
_ENFORCED = """
    SELECT e.source_id, extract(epoch FROM e.received_at)::float8,
           extract(epoch FROM f.enforced_at)::float8
    FROM consent_event e JOIN enforcement f ON f.event_id = e.id
    WHERE e.source = 'inbound' AND e.source_id LIKE %s
"""


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--per-second", type=int, nargs="+", default=[100, 500])
    parser.add_argument("--seconds", type=int, default=10, help="for each rate")
    parser.add_argument("--pace", type=int, default=300, help="messages a second meanwhile")
    given = parser.parse_args()
    figures = measure(rates=given.per_second, seconds=given.seconds, pace=given.pace)
    print(json.dumps(figures, indent=2))


def measure(
    *, rates: Sequence[int] = (100, 500), seconds: int = 10, pace: int = 300
) -> dict[str, Any]:
    """The figures."""
    audience = pace * seconds * (len(rates) + 3) + sum(rates) * seconds
    with running_bench() as bench:
        bench.provider.reset(Manners(latency_ms=LATENCY_MS))
        with bench.system(workers=1) as system:
            system.client.set_pace(NUMBER, pace)
            system.client.create_campaign(
                name="stops",
                sender=NUMBER,
                body="Hello from a benchmark",
                audience=sender.from_iterable(people.numbers(range(audience))),
            ).enqueue(scrub=False)
            wait_until(lambda: len(bench.provider.history()) > pace, _BEGUN_WITHIN, "messages")
            order = Random(7).sample(range(audience), sum(rates) * seconds)
            measured = []
            for rate in rates:
                chosen, order = order[: rate * seconds], order[rate * seconds :]
                measured.append(_at_rate(bench, system, rate, chosen))
    return {"latency_ms": LATENCY_MS, "pace": pace, "rates": measured}


def _at_rate(bench: Bench, system: System, rate: int, chosen: Sequence[int]) -> dict[str, Any]:
    plan = system.stack.plan
    caller = Caller(account=ACCOUNT, token=TOKEN, public_url=plan.webhook_url)
    sids = [f"SM{rate:08x}{n:024x}" for n in range(len(chosen))]
    requests = [
        caller.stop(sid, people.number(index), NUMBER)
        for sid, index in zip(sids, chosen, strict=True)
    ]
    apart = {name: [system.stack.pid(name)] for name in ("webhooks", "consumer")}
    kinds = {**bench.kinds, "workers": system.kinds["sender"], **apart}
    before, began, sent = Usage.now(kinds), time.monotonic(), len(bench.provider.history())
    port = plan.ports.webhooks
    # As many connections as STOPs come in a second: where answers take longer, the rate falls.
    answers = asyncio.run(call_all(port, requests, connections=rate, per_second=rate))
    took = time.monotonic() - began
    used, history = Usage.now(kinds).since(before), bench.provider.history()
    with psycopg.connect(bench.postgres_url) as db:
        rows = db.execute(_ENFORCED, [f"SM{rate:08x}%"]).fetchall()
    times = {sid: (stored, enforced) for sid, stored, enforced in rows}
    return {
        "stops": len(answers),
        "asked_per_second": rate,
        "answered_per_second": round(len(answers) / took),
        "messages_per_second": round((len(history) - sent) / took),
        "not_acknowledged": sum(one.status != 200 for one in answers),  # noqa: PLR2004
        "leaks": _leaks(history, chosen, answers),
        **_durations(sids, answers, times),
        "cpu_us_a_stop": {k: round(v) for k, v in used.per_message(len(answers)).items()},
    }


def _durations(
    sids: Sequence[str],
    answers: Sequence[Answered],
    times: Mapping[str, tuple[float, float | None]],
) -> dict[str, dict[str, float]]:
    stored, enforced, beyond = [], [], []
    for sid, answer in zip(sids, answers, strict=True):
        at = times[sid]
        stored.append(at[0] - answer.asked_at)
        if at[1] is not None:
            enforced.append(at[1] - answer.asked_at)
            beyond.append(answer.asked_at + answer.seconds - at[1])
    return {
        "stored": percentiles(stored),
        "enforced": percentiles(enforced),
        "acknowledged": percentiles(one.seconds for one in answers),
        "acknowledged_beyond_enforced": percentiles(beyond),
    }


def _leaks(history: History, chosen: Sequence[int], answers: Sequence[Answered]) -> int:
    """Requests that arrived after the person's STOP was acknowledged."""
    acknowledged = {
        people.number(index): answer.asked_at + answer.seconds
        for index, answer in zip(chosen, answers, strict=True)
        if answer.status == 200  # noqa: PLR2004
    }
    asked = zip(history.recipients, history.times, strict=True)
    return sum(at > acknowledged.get(recipient, at) for recipient, at in asked)


if __name__ == "__main__":
    main()
