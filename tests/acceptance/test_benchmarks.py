"""The speed bench itself, as small as it gets: it runs, its guards hold, it tells all it should."""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.figures import FIGURES

ROOT = Path(__file__).parents[2]


def test_a_smoke_run_has_every_figure_and_no_void_round(tmp_path: Path) -> None:
    """Every case of every point leaks nothing, sends nothing twice and settles every row."""
    path = tmp_path / "speed.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.speed", "--smoke", "--json", str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(path.read_text())
    assert [one["name"] for one in found["figures"]] == [figure.name for figure in FIGURES]
    assert all(one["median"] is not None for one in found["figures"]), done.stdout + done.stderr
    cases = [case for one in found["rounds"] for case in one["cases"].values()]
    assert all(case["void"] == [] and case["messages"] > 0 for case in cases)
    assert found["machine"]["postgres"]["fsync"] == "on"
    assert found["machine"]["postgres"]["synchronous_commit"] == "on"
    assert found["machine"]["file_system"] not in {"", "tmpfs"}
