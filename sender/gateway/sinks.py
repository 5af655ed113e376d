"""Event Streams at Twilio: the sink that posts to us, and what it is subscribed to, by the SDK.

Source: twilio.com/docs/events/webhook-quickstart. A sink cannot be changed, and takes no
connection overrides in its URL.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from twilio.rest import Client  # type: ignore[import-untyped]  # the SDK ships no types

from sender.domain.webhook_setup import EventSettings
from sender.gateway.asking import asking

#: What is read here (`sender.gateway.stream`), each with the newest schema that was looked at.
EVENT_TYPES: Final[Mapping[str, int]] = MappingProxyType(
    {
        "com.twilio.messaging.inbound-message.received": 6,
        "com.twilio.messaging.message.delivered": 8,
        "com.twilio.messaging.message.undelivered": 8,
        "com.twilio.messaging.message.failed": 8,
    }
)
_NAME: Final = "sender"
_PAGE_SIZE: Final = 100


class SinksGateway:
    """One account's sinks; over a client of `GatewayFactory.client`."""

    def __init__(self, client: Client) -> None:
        self._events = client.events.v1

    async def find(self, url: str) -> EventSettings:
        """Which events are posted to this URL.

        Raises:
            ProviderUnavailable: no readable answer.
        """
        with asking("show the sinks of Event Streams"):
            return await self._find(url)

    async def change(self, found: EventSettings, url: str) -> EventSettings:
        """Have the events of `EVENT_TYPES` posted there; what Twilio says that it posts now.

        Raises:
            ProviderUnavailable: no readable answer; some of it may have been done.
        """
        missing = {kind: EVENT_TYPES[kind] for kind in EVENT_TYPES if kind not in found.types}
        with asking("have Event Streams post to us"):
            sink = found.sink or await self._create(url)
            if missing and found.subscription:
                subscribed = self._events.subscriptions(found.subscription).subscribed_events
                for kind, version in missing.items():
                    await subscribed.create_async(type=kind, schema_version=version)
            elif missing:
                types = [{"type": one, "schema_version": missing[one]} for one in missing]
                await self._events.subscriptions.create_async(
                    description=_NAME, sink_sid=sink, types=types
                )
            return await self._find(url)

    async def _find(self, url: str) -> EventSettings:
        sinks = await self._events.sinks.list_async(page_size=_PAGE_SIZE)
        sink = next((one.sid for one in sinks if _posts_to(one, url)), "")
        if not sink:
            return EventSettings(sink="", subscription="", types=frozenset())
        found = await self._events.subscriptions.list_async(sink_sid=sink, page_size=_PAGE_SIZE)
        types = set()
        for one in found:
            subscribed = self._events.subscriptions(one.sid).subscribed_events
            types |= {event.type for event in await subscribed.list_async(page_size=_PAGE_SIZE)}
        subscription = found[0].sid if found else ""
        return EventSettings(sink=sink, subscription=subscription, types=frozenset(types))

    async def _create(self, url: str) -> str:
        # Batches: a sink without them posts a million events one by one.
        to = {"destination": url, "method": "POST", "batch_events": True}
        sink = await self._events.sinks.create_async(
            description=_NAME, sink_configuration=to, sink_type="webhook"
        )
        return str(sink.sid)


def _posts_to(sink: Any, url: str) -> bool:
    """Whether it is one that we could use: another one's failure or method cannot be changed."""
    to = sink.sink_configuration or {}
    usable = sink.sink_type == "webhook" and sink.status != "failed"
    return usable and to.get("destination") == url and to.get("method", "POST").upper() == "POST"
