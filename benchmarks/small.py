"""Many small things: ``python -m benchmarks.small --campaigns 1000``.

Starts the whole system beside the benches' provider. First so many campaigns of 50 recipients of
200 tenants are let go at once: what a campaign costs beyond its messages, and whether each tenant
gets its turn. Then transactional campaigns of one recipient, one by one, while a large campaign
takes all the machine gives: how long their message takes. Prints one JSON object.
"""

import argparse
import json
import time
from array import array
from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import partial
from statistics import median
from typing import Any

import psycopg

import sender
from benchmarks import people
from benchmarks.calling import percentiles
from benchmarks.cpu import Usage
from benchmarks.provider import Manners
from benchmarks.rig import NUMBER, PACE, Bench, System, running_bench
from sender.local.waiting import wait_until
from sender.runtime import Runtime

#: A transactional sender of its own, as whoever sends codes has.
CODES = "+15005550007"
RECIPIENTS = 50
LATENCY_MS = 50.0
#: Each tenant's secret is in this variable of every process.
_VARIABLE, _SECRET = "BENCH_AUTH_TOKEN", "a-secret-of-every-tenant"  # of our provider
_WITHIN = timedelta(minutes=10)
_ONE_WITHIN = timedelta(minutes=1)

_COMPLETED = "SELECT count(*) FROM campaign WHERE state = 'COMPLETED'"
#: Of each campaign: its tenant, and when its first and its last request began.
_BEGUN = """
    SELECT c.id, c.tenant_id, extract(epoch FROM min(m.guarded_at))::float8,
           extract(epoch FROM max(m.guarded_at))::float8
    FROM campaign c JOIN message m ON m.campaign_id = c.id GROUP BY c.id
"""


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tenants", type=int, default=200)
    parser.add_argument("--campaigns", type=int, default=1_000)
    parser.add_argument("--large", type=int, default=200_000, help="recipients of the large one")
    parser.add_argument("--codes", type=int, default=100, help="transactional campaigns beside it")
    print(json.dumps(measure(**vars(parser.parse_args())), indent=2))


def measure(
    *, tenants: int = 200, campaigns: int = 1_000, large: int = 200_000, codes: int = 100
) -> dict[str, Any]:
    """The figures."""
    with running_bench() as bench:
        bench.provider.reset(Manners(latency_ms=LATENCY_MS))
        with bench.system(workers=2, settings={_VARIABLE: _SECRET}) as system:
            return {
                "many": _many(bench, system, tenants, campaigns),
                "transactional": _transactional(bench, system, large, codes),
            }


def _many(bench: Bench, system: System, tenants: int, campaigns: int) -> dict[str, Any]:
    clients = [_tenant(system, n) for n in range(tenants)]
    kinds = {**bench.kinds, **system.kinds}
    created, own = time.process_time(), list[sender.Campaign]()
    for n in range(campaigns):
        tenant, numbers = n % tenants, range(n * RECIPIENTS, (n + 1) * RECIPIENTS)
        own.append(
            clients[tenant].create_campaign(
                name=f"small {n}",
                sender=_number(tenant),
                body="Hello from a benchmark",
                audience=sender.from_iterable(people.numbers(numbers)),
            )
        )
    created = time.process_time() - created
    before, began, enqueued = Usage.now(kinds), time.time(), time.process_time()
    asked_at = {}
    for one in own:
        asked_at[one.id] = time.time()
        one.enqueue()
    enqueued = time.process_time() - enqueued
    wait_until(partial(_all_done, bench, campaigns), _WITHIN, "the campaigns")
    used = Usage.now(kinds).since(before)
    with psycopg.connect(bench.postgres_url) as db:
        rows = db.execute(_BEGUN).fetchall()
    return {
        "tenants": tenants,
        "campaigns": campaigns,
        "messages": campaigns * RECIPIENTS,
        "seconds": round(max(last for *_, last in rows) - began, 1),
        "create_cpu_ms_a_campaign": round(created / campaigns * 1000, 1),
        "enqueue_cpu_ms_a_campaign": round(enqueued / campaigns * 1000, 2),
        "cpu_ms_a_campaign": {
            kind: round(each / 1000, 1) for kind, each in used.per_message(campaigns).items()
        },
        "to_first_message": percentiles(first - asked_at[id_] for id_, _, first, _ in rows),
        "tenants_done": _spread([max(_of(rows, t)) - began for t in {row[1] for row in rows}]),
    }


def _of(rows: Sequence[tuple[Any, ...]], tenant: int) -> Iterator[float]:
    return (last for _, owner, _, last in rows if owner == tenant)


def _spread(seconds: Sequence[float]) -> dict[str, float]:
    """When the tenants had their last message: even, if each gets its turn."""
    return {
        "first_s": round(min(seconds), 1),
        "median_s": round(median(seconds), 1),
        "last_s": round(max(seconds), 1),
    }


def _all_done(bench: Bench, campaigns: int) -> bool:
    time.sleep(0.2)
    with psycopg.connect(bench.postgres_url) as db:
        row = db.execute(_COMPLETED).fetchone()
    return row is not None and row[0] >= campaigns


def _tenant(system: System, n: int) -> sender.Client:
    tenancy = Runtime(settings=system.stack.plan.settings).tenancy()
    name = f"tenant {n}"
    tenancy.add(name, account_sid=f"AC{n:032x}")
    tenancy.name_variables(name, {"auth_token": _VARIABLE})
    client = system.client.for_tenant(name)
    client.set_pace(_number(n), PACE)
    return client


def _number(tenant: int) -> str:
    return f"+1500556{tenant:04}"


def _transactional(bench: Bench, system: System, large: int, codes: int) -> dict[str, Any]:
    system.client.set_pace(CODES, PACE)
    bench.provider.reset(Manners(latency_ms=LATENCY_MS))
    campaign = system.client.create_campaign(
        name="large",
        sender=NUMBER,
        body="Hello from a benchmark",
        audience=sender.from_iterable(people.numbers(range(1_000_000, 1_000_000 + large))),
    )
    campaign.enqueue()
    wait_until(lambda: bool(bench.provider.report()["asked"]), _WITHIN, "the large campaign")
    took, beside = array("d"), 0
    for n in range(codes):
        index = 2_000_000 + n
        one = system.client.create_campaign(
            name=f"code {n}",
            sender=CODES,
            body="Your code is 123456",
            audience=sender.from_iterable(people.numbers([index])),
            transactional=True,
        )
        began = time.time()
        one.enqueue()
        took.append(_arrived_at(bench, index) - began)
        beside += campaign.progress().states["pending"] > 0
    return {
        "campaigns": codes,
        "beside_the_large_one": beside,
        "large_pending": campaign.progress().states["pending"],
        "to_first_message": percentiles(took),
    }


def _arrived_at(bench: Bench, index: int) -> float:
    """When the provider was asked to text this recipient."""
    found, wanted = list[float](), people.number(index)
    with psycopg.connect(bench.postgres_url) as db:

        def begun() -> bool:
            row = db.execute(
                "SELECT extract(epoch FROM guarded_at)::float8 FROM message "
                "WHERE recipient = %s AND guarded_at IS NOT NULL",
                [wanted],
            ).fetchone()
            db.rollback()
            found.extend(row or ())
            return row is not None

        wait_until(begun, _ONE_WITHIN, "a transactional message")
    return found[0]


if __name__ == "__main__":
    main()
