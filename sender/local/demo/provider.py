"""The simulated provider as the demo's conductor sees it: started, set up, texted into, read."""

import http.client
import json
import secrets
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any

from sender.errors import ProcessFailed
from sender.local.ports import LOOPBACK, free_port
from sender.local.processes import Supervisor
from sender.local.waiting import answers_http
from sender.simulator.script import Rule

#: A number nobody can have: area code 555 does not exist.
NUMBER = "+15550001111"

#: Twilio repeats no webhook that was answered 5xx unless the URL's fragment asks for it.
#: https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides
RETRY_FIVE_TIMES = "#rc=5&rp=all"

_TIMEOUT_SECONDS = 30.0
_PAGE = 10_000


@dataclass(frozen=True, kw_only=True)
class Account:
    """A made-up account at the provider."""

    sid: str = field(default_factory=lambda: f"AC{secrets.token_hex(16)}")
    auth_token: str = field(default_factory=lambda: secrets.token_hex(16))


@dataclass(frozen=True, kw_only=True)
class Provider:
    """The control API of a running simulator."""

    port: int = field(default_factory=free_port)
    account: Account = field(default_factory=Account)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{LOOPBACK}:{self.port}"

    def start(self, processes: Supervisor, *, webhooks: str) -> None:
        """Start its process; `webhooks` is the URL of our webhook app.

        The auth token goes by the environment: arguments are for everybody to read.
        """
        argv = [
            *(sys.executable, "-m", "sender.cli.simulating"),
            *("--port", str(self.port), "--account-sid", self.account.sid, "--number", NUMBER),
            *("--inbound-url", f"{webhooks}/twilio/inbound{RETRY_FIVE_TIMES}"),
        ]
        ready = partial(answers_http, f"{self.url}/healthz")
        environment = {"TWILIO_AUTH_TOKEN": self.account.auth_token}
        processes.start("simulator", argv, env=environment, ready=ready)

    def behave(self, behaviour: Mapping[str, Any]) -> None:
        """Change how it behaves: fields of `sender.simulator.behaviour.Behaviour`."""
        self._ask("PATCH", "config", behaviour)

    def follow(self, rules: Iterable[Rule]) -> None:
        """Script what happens when recipients are sent to."""
        self._ask("POST", "script", [asdict(rule) for rule in rules])

    def block(self, recipients: Iterable[int]) -> None:
        """Opt these out at the provider, without a word to us."""
        numbers = [f"+{recipient}" for recipient in recipients]
        self._ask("POST", "opt-outs", {"sender": NUMBER, "recipients": numbers})

    def text_in(self, recipient: int, body: str, *, wait: bool = False) -> None:
        """A person texts our number; with `wait`, return after its webhook's last attempt."""
        text = {"from": f"+{recipient}", "to": NUMBER, "body": body, "wait": wait}
        self._ask("POST", "inbound", text)

    def stats(self) -> dict[str, Any]:
        """Its counters."""
        found: dict[str, Any] = self._ask("GET", "stats")
        return found

    def log(self) -> Iterator[dict[str, Any]]:
        """Every request and webhook, in the order in which they began."""
        after = 0
        while entries := self._ask("GET", f"log?after={after}&limit={_PAGE}")["entries"]:
            yield from entries
            after = entries[-1]["seq"]

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=_TIMEOUT_SECONDS)
        try:
            connection.request(method, f"/_simulator/{path}", body=json.dumps(body))
            response = connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as exc:
            raise ProcessFailed(f"the simulator did not answer {path}: {exc!r}") from exc
        finally:
            connection.close()
        if response.status != HTTPStatus.OK:
            raise ProcessFailed(f"the simulator refused {path}: {answer.decode()}")
        return json.loads(answer)
