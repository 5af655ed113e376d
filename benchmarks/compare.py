"""Two revisions beside each other: ``python -m benchmarks.compare A B`` (`make bench-compare`).

Each is checked out into a temporary folder and measured by *this* checkout's bench, in turns, on
servers of its own every time. Prints B ÷ A by round: the median, the least and the most; above 1
is better for rates, below 1 for CPU.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.figures import Spread
from benchmarks.measured import Case
from benchmarks.table import plain_table

_HERE = Path(__file__).parent
_CPU = ("sender", "others", "postgres", "redis (INFO)")


@dataclass(frozen=True, kw_only=True)
class Revision:
    """One side."""

    name: str
    folder: Path

    def measure(self, options: Sequence[str]) -> dict[str, Any]:
        """One round of the speed bench; its document.

        Raises:
            CalledProcessError: the bench failed otherwise than by a floor.
        """
        out = self.folder / "build" / "speed.json"
        out.unlink(missing_ok=True)
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.speed", "--rounds", "1", *options],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(self.folder)},
            stdout=subprocess.DEVNULL,
            check=False,
        )
        if not out.exists():
            raise subprocess.CalledProcessError(done.returncode, done.args)
        found: dict[str, Any] = json.loads(out.read_text())
        return found


@contextmanager
def checked_out(revision: str) -> Iterator[Revision]:
    """A revision in a folder of its own, with this checkout's benches in it; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="sender-compare-") as scratch:
        folder = Path(scratch) / "checkout"
        _git("worktree", "add", "--quiet", "--detach", str(folder), revision)
        try:
            shutil.rmtree(folder / "benchmarks", ignore_errors=True)
            shutil.copytree(_HERE, folder / "benchmarks")
            yield Revision(name=revision, folder=folder)
        finally:
            _git("worktree", "remove", "--force", str(folder))


def _git(*words: str) -> None:
    subprocess.run(["git", "-C", str(_HERE), *words], check=True)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("a", help="a revision, as git names it")
    parser.add_argument("b", help="the one it is compared with")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--points", default="50 ms,saturated")
    parser.add_argument("--scale", type=float, default=1.0, help="times the messages of a round")
    parser.add_argument("--suppressed", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path, default=Path("build/compare.json"))
    given = parser.parse_args()
    options = [
        *("--points", given.points, "--scale", str(given.scale)),
        *("--suppressed", str(given.suppressed), "--cases", f"{Case.BARE},{Case.FULL}"),
    ]
    rounds: list[dict[str, Any]] = []
    with checked_out(given.a) as a, checked_out(given.b) as b:
        for n in range(given.rounds):
            # Each begins every other round.
            sides = {"a": a, "b": b} if n % 2 == 0 else {"b": b, "a": a}
            rounds.append({side: one.measure(options) for side, one in sides.items()})
            print(f"round {n + 1} of {given.rounds} is done", file=sys.stderr, flush=True)
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps({"a": given.a, "b": given.b, "rounds": rounds}, indent=2))
    _print(given.a, given.b, rounds)
    return 0


def _print(a: str, b: str, rounds: Sequence[dict[str, Any]]) -> None:
    title = f"{b} ÷ {a}, the same case of the same round"
    table = plain_table(title, "at", "case", "figure", "median", "min to max", "rounds")
    for point in dict.fromkeys(one["point"] for one in rounds[0]["a"]["rounds"]):
        for case in (Case.BARE, Case.FULL):
            for figure in ("msg/s", *_CPU):
                both = [_ratio(one, point, case, figure) for one in rounds]
                found = [ratio for ratio in both if ratio is not None]
                if spread := Spread.of(found):
                    table.add_row(
                        *(point, case, figure if figure == "msg/s" else f"CPU {figure}"),
                        f"{spread.median:.2f}",
                        f"{spread.least:.2f} to {spread.most:.2f}",
                        f"{len(found)} of {len(rounds)}",
                    )
    Console(width=132, highlight=False).print(table)


def _ratio(both: dict[str, Any], point: str, case: Case, figure: str) -> float | None:
    a, b = (_value(both[side], point, case, figure) for side in ("a", "b"))
    return b / a if a and b is not None else None


def _value(document: dict[str, Any], point: str, case: Case, figure: str) -> float | None:
    cases = next(one["cases"] for one in document["rounds"] if one["point"] == point)
    found = cases.get(case)
    if found is None or found["void"]:
        return None
    value = (
        found["messages_a_second"] if figure == "msg/s" else found["cpu_us_a_message"].get(figure)
    )
    return None if value is None else float(value)


if __name__ == "__main__":
    sys.exit(main())
