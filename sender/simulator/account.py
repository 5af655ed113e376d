"""The simulated account: its credentials, numbers and Messaging Services."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from zlib import crc32

from sender.simulator.behaviour import Behaviour

#: Twilio's test number: always a valid From, without being configured.
MAGIC_SENDER = "+15005550006"


@dataclass(frozen=True, kw_only=True)
class SimulatorConfig(Behaviour):
    """Everything a simulator is started with: its first behaviour, and what cannot change."""

    #: Interface to listen on. The control API has no authentication: keep it on loopback.
    host: str = "127.0.0.1"
    port: int = 8080
    account_sid: str = "AC00000000000000000000000000000000"
    #: Checked on every API request, and the key every webhook is signed with.
    auth_token: str = "simulated-auth-token"  # noqa: S105  the simulator guards nothing
    #: API keys (``SK…``) and their secrets, accepted beside the AuthToken.
    api_keys: Mapping[str, str] = field(default_factory=dict)
    #: Numbers and sender IDs of the account outside any Messaging Service.
    numbers: tuple[str, ...] = (MAGIC_SENDER,)
    #: Messaging Service SID (``MG…``) → the numbers in its pool.
    services: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: Services with Advanced Opt-Out: their inbound webhooks carry ``OptOutType``.
    advanced_opt_out: frozenset[str] = frozenset()
    #: JSON lines of every request and webhook are appended here; ``None``: memory only.
    log_path: Path | None = None
    #: Log entries kept for ``GET /_simulator/log``; the file keeps all.
    log_keep: int = 500_000
    #: Same seed, same recipients: same faults and endings, in whatever order requests arrive.
    seed: int = 0
    #: Status callbacks posted at the same time.
    status_connections: int = 64
    #: Inbound messages posted at the same time, from a pool of their own: a STOP never queues
    #: behind status callbacks.
    inbound_connections: int = 256


@dataclass(frozen=True)
class Account:
    """Answers questions about the account that never change while the simulator runs."""

    config: SimulatorConfig

    @property
    def sid(self) -> str:
        """The AccountSid."""
        return self.config.account_sid

    @cached_property
    def _authorizations(self) -> frozenset[str]:
        pairs = {self.sid: self.config.auth_token, **self.config.api_keys}
        return frozenset(f"Basic {_base64(f'{user}:{word}')}" for user, word in pairs.items())

    @cached_property
    def _service_of(self) -> dict[str, str]:
        return {
            number: service for service, pool in self.config.services.items() for number in pool
        }

    def authorizes(self, header: str) -> bool:
        """Whether this Authorization header names the account or one of its API keys."""
        return header in self._authorizations

    def owns(self, sender: str) -> bool:
        """Whether messages can be sent from this number."""
        return sender == MAGIC_SENDER or sender in self._service_of or sender in self.config.numbers

    def service_of(self, number: str) -> str | None:
        """The Messaging Service a number is in; Twilio allows at most one (21712)."""
        return self._service_of.get(number)

    def scope_of(self, sender: str) -> str:
        """What an opt-out to this sender blocks: its whole service, or the number alone."""
        return self._service_of.get(sender, sender)

    def pool(self, service: str) -> tuple[str, ...] | None:
        """The numbers of a Messaging Service; ``None`` when the account has no such service."""
        return self.config.services.get(service)

    def number_for(self, sender: str, service: str, recipient: str) -> str:
        """The number a message leaves through: always the same one per recipient (sticky)."""
        pool = self.config.services.get(service, ())
        if sender or not pool:
            return sender
        return pool[crc32(recipient.encode()) % len(pool)]


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()
