"""The demo itself: a whole campaign on real processes, audited, and everything gone afterwards."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psutil

from sender.local.demo import DemoOptions, run_demo
from sender.local.demo.stops import REQUIRED
from sender.local.waiting import wait_until

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "sender.cli", "demo"]


@contextmanager
def started(*options: str, scratch: Path) -> Iterator[subprocess.Popen[str]]:
    """The command under way, its temporary files below `scratch`, its output in a pipe."""
    environment = {**os.environ, "TMPDIR": str(scratch)}
    with subprocess.Popen(
        [*COMMAND, *options],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as demo:
        try:
            yield demo
        finally:
            demo.terminate()


def test_every_promise_is_kept_and_put_to_the_test() -> None:
    """No leak, nothing sent twice, every row explained; enough STOPs in every state."""
    account = run_demo(DemoOptions())
    assert account.broken == ()
    assert (account.leaks, account.sent_twice, account.findings) == ((), 0, ())
    assert account.stops.unenforced == 0
    assert all(account.stops.by_state[state] >= 20 for state in REQUIRED)
    assert account.stops.started == account.stops.lifted > 0
    assert account.incidents.by_door.keys() == {"create", "callback"}
    assert account.file_rows == account.recipients + account.duplicates + 40 == 2100


def test_a_killed_worker_changes_nothing(tmp_path: Path) -> None:
    """The command exits 0 with one JSON object, also when a worker dies in mid-campaign."""
    with started("--json", "--kill-worker", "--recipients", "1000", scratch=tmp_path) as demo:
        output, errors = demo.communicate(timeout=150)
    assert demo.returncode == 0, output + errors
    account = json.loads(output)
    assert account.keys() >= {
        *("file_rows", "recipients", "states", "reasons", "stops", "incidents", "leaks"),
        *("sent_twice", "unexplained", "messages_per_second", "seconds"),
    }
    assert (account["leaks"], account["sent_twice"], account["unexplained"]) == (0, 0, 0)
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    """No process and no file survives an interruption in the middle of the campaign."""
    with started("--recipients", "400", "--keep-running", scratch=tmp_path) as demo:
        assert demo.stdout
        assert any(" sent " in line for line in demo.stdout)
        children = psutil.Process(demo.pid).children(recursive=True)
        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert len(children) > 5
    wait_until(lambda: not any(map(_lives, children)), timedelta(seconds=5), "the processes' end")
    assert list(tmp_path.iterdir()) == []


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
