"""What a test or a person may change while the simulator runs (``PATCH /_simulator/config``)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field, with_config

Rate = Annotated[float, Field(ge=0, le=1)]
Milliseconds = Annotated[float, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]


class BlockStyle(StrEnum):
    """How a create to an opted-out recipient is refused with 21610."""

    #: As Twilio does: synchronously for ``From``, asynchronously for a Messaging Service.
    AUTO = "auto"
    #: Always HTTP 400 on create: no row, no callback.
    SYNC = "sync"
    #: Always 201, then a ``failed`` status callback with ErrorCode 21610.
    ASYNC = "async"


class FaultKind(StrEnum):
    """What can go wrong with one create request."""

    #: The message is accepted, the connection is closed without an answer.
    ACCEPT_AND_DROP = "accept_and_drop"
    #: The connection is closed without an answer; nothing was accepted.
    DROP_BEFORE_ACCEPT = "drop_before_accept"
    #: The message is accepted, the answer is a 500 with a JSON error.
    ERROR_500_AFTER_ACCEPT = "error_500_after_accept"
    #: Nothing was accepted, the answer is a 503 with an HTML page, as a load balancer gives.
    ERROR_503 = "error_503"
    #: 429 with Retry-After; not processed.
    THROTTLE_429 = "throttle_429"
    #: The message is accepted; no answer for ``hang_seconds``, then the connection is closed.
    HANG = "hang"


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """How the provider behaves right now. All rates are probabilities from 0 to 1."""

    #: Where inbound messages are posted, fragment overrides included; empty: nowhere.
    inbound_url: str = ""
    #: False: opted-out recipients are not blocked and keywords get no reply, as on a short code
    #: without opt-out handling.
    provider_block: bool = True
    #: How a blocked create is refused.
    block_style: BlockStyle = BlockStyle.AUTO
    #: Time between the judgement of a create and its answer.
    latency_ms: Milliseconds = 0.0
    #: Up to this much is added to ``latency_ms``, evenly distributed.
    latency_jitter_ms: Milliseconds = 0.0
    #: Rate of each fault among create requests; one request suffers at most one.
    faults: Mapping[FaultKind, Rate] = field(default_factory=dict)
    #: How long a ``hang`` lasts.
    hang_seconds: Seconds = 30.0
    #: The Retry-After header of a 429.
    retry_after_seconds: Annotated[int, Field(ge=0)] = 1
    #: Creates in flight above this are answered 429; ``None``: no limit.
    concurrency_limit: Annotated[int, Field(ge=1)] | None = None
    #: From acceptance to ``sent`` (or ``failed``).
    sent_after_ms: Milliseconds = 20.0
    #: From ``sent`` to ``delivered`` (or ``undelivered``).
    delivered_after_ms: Milliseconds = 60.0
    #: Rate of each asynchronous error code among accepted messages.
    async_failures: Mapping[int, Rate] = field(default_factory=dict)
    #: Accepted messages that are put off when they were to leave: they stay ``scheduled`` until
    #: they are canceled.
    put_off_rate: Rate = 0.0
    #: Messages whose carrier gives no receipt: they stay ``sent``.
    no_receipt_rate: Rate = 0.0
    #: Webhooks (inbound too) that are posted twice.
    duplicate_rate: Rate = 0.0
    #: Messages whose ``sent`` callback arrives after their final one.
    reorder_rate: Rate = 0.0
    #: Status callbacks that are never posted.
    lost_callback_rate: Rate = 0.0
    #: Pause before a webhook is tried again.
    webhook_retry_ms: Milliseconds = 100.0

    def __post_init__(self) -> None:
        """Raise ``ValueError`` where the rates of exclusive events exceed certainty."""
        for name, rates in (("faults", self.faults), ("async_failures", self.async_failures)):
            if sum(rates.values()) > 1:
                raise ValueError(f"the rates in {name} add up to more than 1")
