"""Waits until nothing more will happen, so that the account is of something that stands still."""

import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sender.local.demo.conducting import Stage
from sender.storage import audit

#: So long nothing must have happened at the provider: longer than its slowest callback, and than
#: a person's answer takes (`scenario.START_AFTER_MS`).
QUIET_FOR = timedelta(seconds=3)
#: The longest thing to wait for is a STOP for a message in doubt: the doubt's horizon (15 s).
PATIENCE = timedelta(seconds=60)
LOOK_EVERY = timedelta(milliseconds=200)


def wait_for_the_end(stage: Stage) -> None:
    """Return when all is delivered, enforced, dated and asked about, or after `PATIENCE`.

    After that the account is made all the same, and says what is not as it should be.
    """
    quiet = _Quiet()
    give_up_at = time.monotonic() + PATIENCE.total_seconds()
    while time.monotonic() < give_up_at:
        stats = stage.provider.stats()
        left = stage.db.run(audit.unfinished)
        if quiet.since(stats) and left.is_nothing:
            return
        stage.view.waiting(_words(left, stats))
        time.sleep(LOOK_EVERY.total_seconds())


@dataclass
class _Quiet:
    """How long the provider's counters have not moved."""

    _seen: dict[str, Any] = field(default_factory=dict)
    _since: float = field(default_factory=time.monotonic)

    def since(self, stats: dict[str, Any]) -> bool:
        """Whether it is long enough by now. That we ask about messages disturbs nobody."""
        moving = {name: stats[name] for name in ("messages", "log_entries", "in_flight")}
        moving["counts"] = dict(stats["counts"])
        if moving != self._seen:
            self._seen, self._since = moving, time.monotonic()
        return time.monotonic() - self._since >= QUIET_FOR.total_seconds()


def _words(left: audit.Unfinished, stats: dict[str, Any]) -> str:
    waiting = stats["inbound_webhooks_waiting"] + stats["status_webhooks_waiting"]
    parts = {
        "webhooks": waiting,
        "STOPs to enforce": left.unenforced,
        "provider times": left.undated,
        "doubts to ask about": left.unasked_doubts,
    }
    named = [f"{count} {what}" for what, count in parts.items() if count]
    return ", ".join(named) or "the last callbacks"
