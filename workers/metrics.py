"""The webhook app's figures for Prometheus: no numbers, no texts, no tenants' names."""

from prometheus_client import Counter, Gauge, Histogram

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
#: Status callbacks, by what became of them: counted, or why not.
CALLBACKS = Counter("sender_status_callbacks_total", "Status callbacks answered", ["answer"])
#: Senders held because STOPs may be missing (`intake_gap`); alert on anything but 0.
SENDERS_IN_GAP = Gauge("sender_intake_gap_senders", "Senders held because STOPs may be missing")
