"""The cost of the rest, in one run: ``python -m benchmarks.rest`` (`make bench-rest`).

Webhooks and callbacks, STOPs under load, many small campaigns, lists in and out, the Redis set, a
start. Each starts what it needs in a temporary folder. Writes all figures as one JSON object.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import import_export, small, startup, stops, suppression_set, webhooks
from benchmarks.machine import machine
from benchmarks.rig import running_bench

#: Seconds a bench of a rate goes on.
_SECONDS = 10


def main() -> None:
    """Measure, write, and say so."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", help="some of them, by name")
    parser.add_argument("--scale", type=float, default=1.0, help="times the usual sizes")
    parser.add_argument("--json", type=Path, default=Path("build/rest.json"))
    given = parser.parse_args()
    wanted = {name: work for name, work in _benches(given.scale).items() if _is(given.only, name)}
    found: dict[str, Any] = {"machine": _machine(), "scale": given.scale}
    for name, work in wanted.items():
        began = time.monotonic()
        found[name] = work()
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


def _is(only: list[str] | None, name: str) -> bool:
    return only is None or name in only


def _machine() -> dict[str, object]:
    with running_bench() as bench:
        return machine(bench)


def _benches(scale: float) -> Mapping[str, Callable[[], dict[str, Any]]]:
    def scaled(size: int) -> int:
        return max(1, round(size * scale))

    return {
        "webhooks": partial(webhooks.measure, messages=scaled(20_000), stops=scaled(5_000)),
        "stops": partial(stops.measure, seconds=max(2, scaled(_SECONDS))),
        "small": partial(
            small.measure,
            tenants=scaled(200),
            campaigns=scaled(1_000),
            large=scaled(200_000),
            codes=scaled(100),
        ),
        "lists": partial(import_export.measure, rows=scaled(1_000_000)),
        "suppression_set": partial(suppression_set.measure, largest=scaled(10_000_000)),
        "startup": startup.measure,
    }


if __name__ == "__main__":
    main()
