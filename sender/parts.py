"""What every process is built from, and what each kind of process works with.

``Parts`` holds what has no state. Tests that show what a missing safeguard would do hand in other
parts; there is no setting that could.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sender.alerting import Alerting
from sender.audience import admit
from sender.batching import Batcher
from sender.campaigns import Campaigns
from sender.chasing import Chaser
from sender.crashing import Passing
from sender.domain.inbound import InboundText
from sender.domain.pulse import PULSE_EVERY
from sender.domain.receipt import Receipt
from sender.doubting import Doubts
from sender.enforcement import Enforcement, EnforcementQueue
from sender.forwarding import Forwarding
from sender.gateways import Verifiers
from sender.heartbeat import Heartbeat
from sender.high_water import HighWater
from sender.holding import Holds
from sender.inbound import Applied
from sender.investigating import Investigation
from sender.marking import GatheredCache
from sender.mirroring import Mirror
from sender.months import Months
from sender.numbers import Numbers
from sender.overhearing import Overhearing
from sender.pulling import Puller
from sender.pulsing import Pulse
from sender.recalling import Recaller
from sender.receipts import Answer
from sender.reconcile import ProviderTimes
from sender.recovery import Resolver
from sender.retention import Retention
from sender.scrubbing import Scrubber
from sender.sealing import Sealer
from sender.sending import Pump
from sender.settlement import Settlement
from sender.storage.database import AsyncDatabase, Database
from sender.storage.enforcement import EnforcementTable
from sender.storage.messages import MessageTable
from sender.storage.slices import SliceTable
from sender.streaming import EventStream
from sender.suppression_list import SuppressionList
from sender.tracing import Tracing


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The stateless collaborators every process is built from."""

    messages: MessageTable = field(default_factory=MessageTable)
    slices: SliceTable = field(default_factory=SliceTable)
    enforcement: EnforcementTable = field(default_factory=EnforcementTable)
    settlement: type[Settlement] = Settlement
    admit: Any = admit
    #: How often a worker publishes a pulse.
    pulse_every: timedelta = PULSE_EVERY


@dataclass(frozen=True, kw_only=True)
class ApiRuntime:
    """What the Python API works with."""

    db: Database
    campaigns: Campaigns
    suppression: SuppressionList
    numbers: Numbers
    holds: Holds
    doubts: Doubts
    tracing: Tracing
    #: The same for another tenant, over the same connections.
    of_tenant: Callable[[str], "ApiRuntime"]


@dataclass(frozen=True, kw_only=True)
class WorkerRuntime:
    """One worker process's use cases, on its event loop."""

    pump: Pump
    resolver: Resolver
    recaller: Recaller
    chaser: Chaser
    pulse: Pulse

    def stop(self) -> None:
        """Have slices end at their next window; what is in flight is settled."""
        self.pump.stopping.set()
        self.pump.permits.open(for_good=True)  # who waits there would not see it


@dataclass(frozen=True, kw_only=True)
class WebhookRuntime:
    """The webhook app's use cases."""

    db: AsyncDatabase
    verifiers: Verifiers
    texts: Batcher[InboundText, Applied]
    receipts: Batcher[Receipt, Answer]
    queue: EnforcementQueue
    #: ``None`` where events are not taken.
    stream: EventStream | None
    cache: GatheredCache
    passing: Passing
    heartbeat: Heartbeat


@dataclass(frozen=True, kw_only=True)
class ConsumerRuntime:
    """The consumer's use cases."""

    db: AsyncDatabase
    water: HighWater
    enforcement: Enforcement
    mirror: Mirror
    times: ProviderTimes
    investigation: Investigation
    alerting: Alerting
    forwarding: Forwarding
    sealer: Sealer
    heartbeat: Heartbeat
    puller: Puller
    scrubber: Scrubber
    months: Months
    retention: Retention
    overhearing: Overhearing
