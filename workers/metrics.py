"""The webhook app's figures for Prometheus: no numbers, no texts, no tenants' names."""

import asyncio
import math

from prometheus_client import Counter, Gauge, Histogram

from sender.storage import lag
from sender.storage.database import AsyncDatabase, DatabaseError

#: Inbound messages stored, by keyword.
INBOUND = Counter("sender_inbound_total", "Inbound messages stored", ["keyword"])
#: STOPs by how their webhook was answered: enforced (200) or not yet (503).
STOPS = Counter("sender_stops_total", "STOP webhooks answered", ["answer"])
#: From the STOP's arrival to its enforcement, where that was within the webhook's patience.
STOP_SECONDS = Histogram(
    "sender_stop_enforced_seconds",
    "Seconds from a STOP's arrival to its enforcement",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3),
)
#: Webhooks refused before anything was done, by reason.
REFUSED = Counter("sender_webhooks_refused_total", "Webhooks refused", ["why"])
#: Texts that came to the fallback URL: each is one that the main URL failed on, repeats and all.
FALLBACKS = Counter("sender_fallbacks_total", "Texts that came to the fallback URL")
#: Events of Event Streams: done with, not yet (they will come again), or seen before.
EVENTS = Counter("sender_stream_events_total", "Events of Event Streams answered", ["answer"])
#: Status callbacks, by what became of them: counted, or why not.
CALLBACKS = Counter("sender_status_callbacks_total", "Status callbacks answered", ["answer"])
#: Senders held because STOPs may be missing (`intake_gap`); alert on anything but 0.
SENDERS_IN_GAP = Gauge("sender_intake_gap_senders", "Senders held because STOPs may be missing")

#: What the consumer has yet to do, as the database has it, the same from every process; counted up
#: to 10,000. NaN: it could not be asked.
WAITING = Gauge("sender_waiting", "What waits to be worked off", ["what"])
#: How long the first of it has waited.
OLDEST = Gauge("sender_waiting_oldest_seconds", "Age of the oldest that waits", ["what"])
#: A scrape does not wait longer for the database.
_ASK_SECONDS = 2


async def refresh(db: AsyncDatabase) -> None:
    """Bring the figures that the database has up to date; it never raises."""
    try:
        async with asyncio.timeout(_ASK_SECONDS):
            found = await db.run(lag.waiting)
    except (DatabaseError, TimeoutError):
        found = [lag.Waiting(what=what, count=math.nan, seconds=math.nan) for what in lag.Line]
    for one in found:
        WAITING.labels(one.what).set(one.count)
        OLDEST.labels(one.what).set(one.seconds)
