"""Waits until nothing more will happen, so that the account is of something that stands still."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from sender.config import STOP_PATIENCE
from sender.local.demo.conducting import Stage
from sender.local.demo.scenario import AFTER_MS, DELIVERED_AFTER_MS, SENT_AFTER_MS, START_AFTER_MS
from sender.storage import audit

#: Somebody may still answer this long after the last request.
ANSWERS_WITHIN = timedelta(milliseconds=START_AFTER_MS + AFTER_MS + 200)
#: Callbacks come at most this far apart; reordered ones are the slowest.
CALLBACKS_WITHIN = timedelta(milliseconds=SENT_AFTER_MS + 3 * DELIVERED_AFTER_MS)
#: A text whose webhook is answered 503 is tried again, or given up, within this.
ATTEMPTS_WITHIN = STOP_PATIENCE + timedelta(seconds=1)
#: The longest thing to wait for is a STOP for a message in doubt: the doubt's horizon (15 s).
PATIENCE = timedelta(seconds=60)
LOOK_EVERY = timedelta(milliseconds=200)


def wait_for_the_end(stage: Stage) -> None:
    """Return when all is delivered, enforced, dated and asked about, or after `PATIENCE`.

    After that the account is made all the same, and says what is not as it should be.
    """
    traffic, began = _Traffic(), time.monotonic()
    while (waited := time.monotonic() - began) < PATIENCE.total_seconds():
        stats = stage.provider.stats()
        left = stage.db.run(audit.unfinished)
        is_late = waited > ANSWERS_WITHIN.total_seconds()
        if traffic.has_ended(stats["counts"]) and left.is_nothing and is_late:
            return
        stage.view.waiting(_words(left, stats))
        time.sleep(LOOK_EVERY.total_seconds())


@dataclass
class _Quiet:
    """How long some counters have not moved."""

    within: timedelta
    _seen: object = None
    _since: float = field(default_factory=time.monotonic)

    def is_quiet(self, counters: object) -> bool:
        """Whether they have stood still for long enough by now."""
        if counters != self._seen:
            self._seen, self._since = counters, time.monotonic()
        return time.monotonic() - self._since >= self.within.total_seconds()


@dataclass
class _Traffic:
    """Both kinds of webhook, by the provider's counters."""

    _callbacks: _Quiet = field(default_factory=partial(_Quiet, CALLBACKS_WITHIN))
    _texts: _Quiet = field(default_factory=partial(_Quiet, ATTEMPTS_WITHIN))

    def has_ended(self, counts: Mapping[str, int]) -> bool:
        """Whether no more webhooks are to be expected."""
        callbacks = self._callbacks.is_quiet(_named(counts, "create", "status"))
        texts = self._texts.is_quiet(_named(counts, "inbound"))
        return callbacks and (texts or counts["inbound"] == counts["inbound_acknowledged"])


def _named(counts: Mapping[str, int], *kinds: str) -> dict[str, int]:
    return {name: count for name, count in counts.items() if name.startswith(kinds)}


def _words(left: audit.Unfinished, stats: Mapping[str, Any]) -> str:
    waiting = stats["inbound_webhooks_waiting"] + stats["status_webhooks_waiting"]
    parts = {
        "webhooks": waiting,
        "STOPs to enforce": left.unenforced,
        "provider times": left.undated,
        "doubts to ask about": left.unasked_doubts,
    }
    named = [f"{count} {what}" for what, count in parts.items() if count]
    return ", ".join(named) or "the last callbacks"
