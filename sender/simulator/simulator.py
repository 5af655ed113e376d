"""The simulated provider: its state, and the timers that move it."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVarTuple

from sender.simulator.account import Account, SimulatorConfig
from sender.simulator.alerts import Alerts
from sender.simulator.behaviour import Behaviour
from sender.simulator.chance import Chance
from sender.simulator.hooks import Hooks
from sender.simulator.log import RequestLog
from sender.simulator.messages import Messages
from sender.simulator.optouts import BlockTable
from sender.simulator.script import Script
from sender.simulator.webhooks import Webhook, WebhookPool

Args = TypeVarTuple("Args")


class Simulator:
    """One account at the provider, and everything that has happened to it."""

    def __init__(self, config: SimulatorConfig) -> None:
        self.config = config
        self.account = Account(config)
        self.log = RequestLog(path=config.log_path, keep=config.log_keep)
        self.status_webhooks = self._pool(config.status_connections)
        self.inbound_webhooks = self._pool(config.inbound_connections)
        #: Create requests being answered now (the ``Twilio-Concurrent-Requests`` header).
        self.in_flight = 0
        self._forget()

    def _pool(self, connections: int) -> WebhookPool:
        return WebhookPool(auth_token=self.config.auth_token, connections=connections, log=self.log)

    def _forget(self) -> None:
        self.behaviour: Behaviour = self.config
        self.messages = Messages()
        self.alerts = Alerts()
        self.blocks = BlockTable()
        self.script = Script()
        self.chance = Chance(self.config.seed)
        self.hooks = Hooks(self.account)

    def reset(self) -> None:
        """Be as just started. Webhooks already under way still arrive."""
        self._forget()
        self.log.clear()

    async def start(self) -> None:
        """Begin to post webhooks."""
        await self.status_webhooks.start()
        await self.inbound_webhooks.start()

    async def stop(self) -> None:
        """Stop posting webhooks and write the rest of the log."""
        await self.inbound_webhooks.stop()
        await self.status_webhooks.stop()
        self.log.flush()

    def later(self, milliseconds: float, action: Callable[[*Args], object], *args: *Args) -> None:
        """Do something after a while; at once, before returning, when that is 0."""
        if milliseconds <= 0:
            action(*args)
        else:
            asyncio.get_running_loop().call_later(milliseconds / 1000, action, *args)

    def post(
        self, pool: WebhookPool, kind: str, url: str, params: dict[str, str], **fields: object
    ) -> Webhook:
        """Log and queue one webhook, twice where the behaviour says so.

        Args:
            pool: that posts it.
            kind: for the log.
            url: as configured.
            params: the form.
            fields: for the log; ``fallback`` is called where the URL fails for good.
        """
        webhook = self._webhook(kind, url, params, fields)
        pool.put(webhook)
        if self.chance.happens(self.behaviour.duplicate_rate, "duplicate", params["MessageSid"]):
            pool.put(self._webhook(kind, url, params, {**fields, "duplicate": True}))
        return webhook

    def _webhook(
        self, kind: str, url: str, params: dict[str, str], fields: dict[str, object]
    ) -> Webhook:
        entry = self.log.open(
            kind,
            **fields,
            url=url,
            queued_at=time.time(),
            first_attempt_at=None,
            attempts=[],
            acknowledged=False,
        )
        retry_seconds = self.behaviour.webhook_retry_ms / 1000
        return Webhook(
            url=url,
            params=params,
            entry=entry,
            retry_seconds=retry_seconds,
            fallback=str(fields.get("fallback", "")),
        )
