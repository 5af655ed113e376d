"""The whole system as separate processes beside a simulator, for tests that walk its paths."""

import json
import sys
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import sender
from sender.local.ports import free_port
from sender.local.processes import Supervisor
from sender.local.servers import LocalServers
from sender.local.stack import Plan, Ports, Stack
from sender.local.waiting import answers_http, wait_until

ACCOUNT = "AC" + "a1" * 16
TOKEN = "simulated-auth-token"
NUMBER = "+15005550006"
SERVICE = "MG" + "b2" * 16
SERVICE_NUMBER = "+15557654321"


@dataclass(frozen=True)
class Simulator:
    """The provider's side: its API for people and tests."""

    url: str

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One request to the control API; its JSON answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310  # loopback
            f"{self.url}/_simulator/{path}",
            data=data,
            method=method,
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return json.loads(answer.read() or b"null")

    def text_in(self, recipient: int, body: str, *, to: str = NUMBER) -> list[int | None]:
        """A person texts us; the HTTP status of each attempt of the webhook."""
        answer = self.ask(
            "POST",
            "inbound",
            {"from": f"+{recipient}", "to": to, "body": body, "wait": True},
        )
        return [attempt["status"] for attempt in answer["attempts"]]

    def log(self, kind: str) -> list[dict[str, Any]]:
        """Every entry of a kind (create, inbound, status), oldest first."""
        entries = self.ask("GET", "log?limit=100000")["entries"]
        return [entry for entry in entries if entry["kind"] == kind]

    def creates(self, recipient: int) -> list[dict[str, Any]]:
        """Every create request for a recipient, oldest first."""
        return [entry for entry in self.log("create") if entry["to"] == f"+{recipient}"]

    def acknowledged_at(self, recipient: int) -> float | None:
        """When the first text of a recipient was answered 200; ``None`` if it was not yet."""
        attempts = [
            attempt["finished_at"]
            for entry in self.log("inbound")
            if entry["from"] == f"+{recipient}"
            for attempt in entry["attempts"]
            if attempt["status"] == 200
        ]
        return min(attempts, default=None)


@dataclass(frozen=True)
class System:
    """A running system."""

    client: sender.Client
    simulator: Simulator
    stack: Stack
    servers: LocalServers

    def campaign(
        self, recipients: list[int], *, sender_: str = NUMBER, body: str = "Hello"
    ) -> sender.Campaign:
        """An enqueued campaign to these recipients."""
        audience = sender.from_iterable([f"+{number}" for number in recipients])
        made = self.client.create_campaign(
            name="test", sender=sender_, body=body, audience=audience
        )
        return made.enqueue()

    def flower(self, path: str, *, method: str = "GET") -> tuple[int, str]:
        """Flower's answer with the generated login: status and text."""
        login = self.stack.plan.flower_login
        token = b64encode(f"{login.user}:{login.password}".encode()).decode()
        return self.http(
            f"{self.stack.plan.flower_url}{path}", method, {"Authorization": f"Basic {token}"}
        )

    def http(
        self, url: str, method: str = "GET", headers: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        """Any loopback request: status and text."""
        data = b"{}" if method == "POST" else None
        request = urllib.request.Request(url, data=data, method=method, headers=dict(headers or {}))  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, refusal.read().decode()


def until(condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
    """Wait for a condition, with a bound."""
    wait_until(condition, timedelta(seconds=seconds), what)


@contextmanager
def running_system(
    folder: Path, *, numbers: Sequence[str] = (), flower: bool = False, **variables: str
) -> Iterator[System]:
    """Servers, simulator and every process of the design; all gone afterwards.

    Args:
        folder: for their files.
        numbers: the account's, beside `NUMBER`.
        flower: whether Flower runs as well, of which nothing depends.
        variables: settings of every process.
    """
    with ExitStack() as stack:
        servers = stack.enter_context(LocalServers.start(folder))
        ports, port = Ports(), free_port()
        simulator = Simulator(f"http://127.0.0.1:{port}")
        outer = stack.enter_context(Supervisor(folder / "provider"))
        start_simulator(outer, port, ports, numbers)
        outer.wait_ready()
        plan = Plan(
            folder=folder,
            database_url=servers.postgres.url,
            redis_url=servers.redis.url,
            ports=ports,
            flower=flower,
            environment={
                "TWILIO_ACCOUNT_SID": ACCOUNT,
                "TWILIO_AUTH_TOKEN": TOKEN,
                "TWILIO_API_BASE_URL": simulator.url,
                "SENDER_DOUBT_HORIZON_SECONDS": "15",
                **variables,
            },
        )
        running = stack.enter_context(Stack(plan))
        client = sender.connect(plan.settings)
        stack.callback(client.close)
        for address in (NUMBER, SERVICE):
            client.set_pace(address, 1000)
        yield System(client, simulator, running, servers)


def start_simulator(
    outer: Supervisor, port: int, ports: Ports, numbers: Sequence[str] = ()
) -> None:
    """Start the provider, which posts inbound messages to the webhook app on these ports."""
    argv = [
        *(sys.executable, "-m", "sender.cli.simulating", "--port", str(port)),
        *(word for number in numbers for word in ("--number", number)),
        *("--account-sid", ACCOUNT, "--auth-token", TOKEN, "--number", NUMBER),
        *("--service", f"{SERVICE}={SERVICE_NUMBER}", "--latency-ms", "20"),
        *("--inbound-url", f"http://127.0.0.1:{ports.webhooks}/twilio/inbound#rc=5&rp=all"),
    ]
    outer.start("simulator", argv, ready=lambda: answers_http(f"http://127.0.0.1:{port}/healthz"))


def fictional(first: int, count: int) -> list[int]:
    """North American numbers reserved for fiction: area codes 201 to 989, line 555-01xx."""
    codes = [201, 202, 203, 205, 206, 207, 208, 209, 210, 212, 213, 214, 215, 216, 217, 218]
    every = [
        10_000_000_000 + code * 10_000_000 + 5_550_100 + n for code in codes for n in range(100)
    ]
    return every[first : first + count]
