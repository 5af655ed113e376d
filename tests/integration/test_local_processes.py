"""Supervised processes start together, are replaced when wanted, and always end."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psutil
import pytest

from sender.errors import ProcessFailed, WaitedTooLong
from sender.local.ports import free_port
from sender.local.processes import Supervisor
from sender.local.waiting import answers_http, wait_for_http, wait_until

_BOUND = timedelta(seconds=20)
_SOON = timedelta(milliseconds=200)

_SLEEP = "import time; print('up', flush=True); time.sleep(600)"
_STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {_SLEEP}"
_POLITE = f"import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit()); {_SLEEP}"


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    """An empty group that passes on our environment."""
    with Supervisor(tmp_path) as group:
        yield group


def _python(script: str) -> list[str]:
    return [sys.executable, "-c", script]


def _is_up(supervisor: Supervisor, name: str) -> bool:
    return "up" in supervisor.log(name).read_text()


def _start(supervisor: Supervisor, name: str, script: str) -> psutil.Process:
    """Start a script that prints "up", wait for that, and return its process."""
    supervisor.start(name, _python(script), ready=lambda: _is_up(supervisor, name))
    supervisor.wait_ready(_BOUND)
    return psutil.Process(supervisor.pid(name))


def _has_ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_both_outputs_go_to_the_log_of_the_process(supervisor: Supervisor, tmp_path: Path) -> None:
    """What a process prints is in folder/logs/NAME.log."""
    _start(supervisor, "talker", f"import sys; print('oops', file=sys.stderr); {_SLEEP}")
    assert supervisor.log("talker") == tmp_path / "logs" / "talker.log"
    assert supervisor.log("talker").read_text().split() == ["oops", "up"]


def test_a_process_gets_exactly_the_environment_it_was_given(tmp_path: Path) -> None:
    """The environment is the group's plus the process's own, and nothing of ours."""
    script = f"import os; print(sorted(os.environ)); {_SLEEP}"
    with Supervisor(tmp_path, {"GROUP": "1", "LC_ALL": "C"}) as supervisor:
        supervisor.start("one", _python(script), env={"OWN": "2"}, ready=lambda: True)
        wait_until(lambda: _is_up(supervisor, "one"), _BOUND, "one")
        assert "['GROUP', 'LC_ALL', 'OWN']" in supervisor.log("one").read_text()


def test_an_early_death_shows_the_log_and_what_to_do(supervisor: Supervisor) -> None:
    """A process that ends before it is ready fails at once, with its last words."""
    supervisor.start("broken", _python("raise SystemExit('no such table')"), ready=lambda: False)
    with pytest.raises(ProcessFailed, match="exit code 1") as failure:
        supervisor.wait_ready(_BOUND)
    assert "no such table" in str(failure.value)
    assert str(supervisor.log("broken")) in str(failure.value)


def test_the_death_of_one_ends_the_wait_for_another(supervisor: Supervisor) -> None:
    """Nobody waits out the bound for a process when another has died already."""
    supervisor.start("slow", _python(_SLEEP), ready=lambda: False)
    supervisor.start("broken", _python("raise SystemExit('no such table')"))
    with pytest.raises(ProcessFailed, match="no such table"):
        supervisor.wait_ready(_BOUND)


def test_a_program_that_does_not_exist_is_named(supervisor: Supervisor) -> None:
    """A misspelt program fails like one that dies early."""
    supervisor.start("typo", ["no-such-program"], ready=lambda: False)
    with pytest.raises(ProcessFailed, match="cannot run no-such-program"):
        supervisor.wait_ready(_BOUND)


def test_a_process_that_never_gets_ready_fails_within_the_bound(supervisor: Supervisor) -> None:
    """Waiting for readiness ends, even if the process lives on."""
    supervisor.start("idle", _python(_SLEEP), ready=lambda: False)
    with pytest.raises(ProcessFailed, match="idle was not ready in time"):
        supervisor.wait_ready(_SOON)


def test_check_notices_a_process_that_ended_by_itself(supervisor: Supervisor) -> None:
    """A process that ends without being asked to is a failure."""
    supervisor.start("short", _python("raise SystemExit(1)"))
    process = psutil.Process(supervisor.pid("short"))
    wait_until(lambda: _has_ended(process), _BOUND, "the end of short")
    with pytest.raises(ProcessFailed, match="short ended by itself with exit code 1"):
        supervisor.check()


def test_check_forgives_a_process_we_killed(supervisor: Supervisor) -> None:
    """A kill on purpose is no failure, and the name can be used again."""
    first = _start(supervisor, "worker", _SLEEP)
    supervisor.kill("worker")
    supervisor.check()
    second = _start(supervisor, "worker", _SLEEP)
    assert first.pid != second.pid


def test_a_name_is_not_given_twice(supervisor: Supervisor) -> None:
    """Two running processes of one name are refused."""
    _start(supervisor, "worker", _SLEEP)
    with pytest.raises(ProcessFailed, match="runs already"):
        supervisor.start("worker", _python(_SLEEP))


def test_a_killed_process_is_replaced_when_it_restarts(supervisor: Supervisor) -> None:
    """With `restart`, a killed process comes back under its name."""
    supervisor.start("worker", _python(_SLEEP), restart=True)
    killed = supervisor.pid("worker")
    supervisor.kill("worker")
    wait_until(lambda: supervisor.restarts("worker") == 1, _BOUND, "the replacement")
    assert supervisor.pid("worker") != killed
    supervisor.check()


def test_kill_reaches_the_children_of_a_process(supervisor: Supervisor) -> None:
    """A kill ends the whole family, those in sessions of their own included."""
    spawn = "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']"
    parent = _start(
        supervisor,
        "family",
        f"import subprocess, sys; {spawn}); {spawn}, start_new_session=True); {_SLEEP}",
    )
    children = parent.children()
    assert len(children) == 2
    supervisor.kill("family")
    assert all(map(_has_ended, [parent, *children]))


def test_stop_ends_a_stubborn_process_by_force(supervisor: Supervisor) -> None:
    """A process that ignores SIGTERM is killed when the bound is over."""
    process = _start(supervisor, "stubborn", _STUBBORN)
    supervisor.stop(_SOON)
    assert _has_ended(process)


def test_stop_asks_first(supervisor: Supervisor, tmp_path: Path) -> None:
    """A process that handles SIGTERM gets to finish."""
    _start(supervisor, "polite", f"import atexit; atexit.register(print, 'bye'); {_POLITE}")
    supervisor.stop()
    assert "bye" in (tmp_path / "logs" / "polite.log").read_text()


def _interrupted(folder: Path, started: list[psutil.Process]) -> None:
    with Supervisor(folder) as supervisor:
        started.append(_start(supervisor, "worker", _SLEEP))
        raise KeyboardInterrupt


def test_an_interruption_ends_everything(tmp_path: Path) -> None:
    """Leaving the block by Ctrl-C leaves no process."""
    started: list[psutil.Process] = []
    with pytest.raises(KeyboardInterrupt):
        _interrupted(tmp_path, started)
    assert _has_ended(started[0])


def test_a_terminal_interrupt_does_not_reach_the_children(supervisor: Supervisor) -> None:
    """Every process has a session of its own, so a Ctrl-C reaches only us."""
    process = _start(supervisor, "worker", _SLEEP)
    assert os.getsid(process.pid) == process.pid
    assert os.getpgid(process.pid) != os.getpgrp()


_SLEEPER = "[sys.executable, '-c', 'import time; time.sleep(600)']"
_WITH_A_CHILD = f"import subprocess, sys; subprocess.Popen({_SLEEPER}); {_STUBBORN}"
_PARENT = f"""
import sys, threading, time
from datetime import timedelta
from pathlib import Path
from sender.local.processes import Supervisor

def start():
    script = {_WITH_A_CHILD!r}
    ready = lambda: "up" in supervisor.log("a").read_text()
    supervisor.start("a", [sys.executable, "-c", script], ready=ready)

supervisor = Supervisor(Path(sys.argv[1]))
starter = threading.Thread(target=start)
starter.start()
starter.join()
supervisor.wait_ready()
print(supervisor.pid("a"), flush=True)
sys.stdin.readline()
{{then}}
"""


@pytest.mark.parametrize("then", ["os.kill(os.getpid(), 9)", "", "1 / 0"])
def test_no_descendant_outlives_us(tmp_path: Path, then: str) -> None:
    """When we are killed, forget to stop or crash, children and grandchildren end all the same.

    They do outlive the *thread* that started them, though Linux ties its death signal to that.
    """
    script = "import os" + _PARENT.replace("{then}", then)
    with subprocess.Popen(
        [*_python(script), str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as parent:
        assert parent.stdout
        child = psutil.Process(int(parent.stdout.readline()))
        family = [child, *child.children()]
        assert [_has_ended(process) for process in family] == [False, False]
        parent.communicate("\n")
    wait_until(lambda: all(map(_has_ended, family)), _BOUND, "the family to end")


def test_no_port_is_given_twice() -> None:
    """Ports asked for one after the other differ, and can be bound."""
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == 50
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", ports[0]))


def test_waiting_ends_with_what_was_waited_for() -> None:
    """The error of a wait says what did not happen, and for how long."""
    with pytest.raises(WaitedTooLong, match=r"Waited 0.2 s for rain\."):
        wait_until(lambda: False, _SOON, "rain")


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/ready?now=1" else 503)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def web_server() -> Iterator[str]:
    """The URL of a server that answers 200 to one path and 503 to all others."""
    with HTTPServer(("127.0.0.1", 0), _Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_only_200_counts_as_an_answer(web_server: str) -> None:
    """A process that says 503, or nothing, is not ready."""
    wait_for_http(f"{web_server}/ready?now=1", _BOUND)
    assert not answers_http(f"{web_server}/other")
    assert not answers_http(f"http://127.0.0.1:{free_port()}/ready")
