"""Posting webhooks as Twilio does: signed, with time-outs and retries, a bounded number at once."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urldefrag, urlencode
from uuid import uuid4

import aiohttp
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]  # no stubs
from yarl import URL

from sender.simulator.log import Entry, RequestLog
from sender.simulator.overrides import Failure, Overrides

#: Idle connections are closed well before common servers close theirs (uvicorn: 5 s), so that no
#: webhook is written to a connection the other side has just given up.
_KEEP_ALIVE_SECONDS = 2.0
#: What a fallback URL is told: the main one gave no usable answer.
_RETRIEVAL_FAILURE = 11200


@dataclass(frozen=True, kw_only=True, eq=False)
class Webhook:
    """One request to the application: posted once, and again as the overrides allow."""

    #: As configured, fragment included; the rest is called byte for byte.
    url: str
    params: dict[str, str]
    entry: Entry
    #: Pause before another attempt.
    retry_seconds: float
    #: Called with the reason when the URL has failed for good; empty: nothing is.
    fallback: str = ""
    #: Done when it was acknowledged or given up.
    finished: asyncio.Event = field(default_factory=asyncio.Event)


class WebhookPool:
    """Posts webhooks in order of arrival on at most ``connections`` kept connections."""

    def __init__(self, *, auth_token: str, connections: int, log: RequestLog) -> None:
        self._validator = RequestValidator(auth_token)
        self._connections = connections
        self._log = log
        self._queue: asyncio.Queue[Webhook] = asyncio.Queue()
        self._workers: list[asyncio.Task[None]] = []
        self._session: aiohttp.ClientSession | None = None

    @property
    def waiting(self) -> int:
        """Webhooks not yet begun."""
        return self._queue.qsize()

    async def start(self) -> None:
        """Open the session and begin to post. Needs the running loop."""
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._connections, keepalive_timeout=_KEEP_ALIVE_SECONDS
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={
                "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
                "User-Agent": "TwilioProxy/1.1",
            },
        )
        self._session = session
        self._workers = [
            asyncio.create_task(self._post_queued(session)) for _ in range(self._connections)
        ]

    async def stop(self) -> None:
        """Drop what is queued, interrupt what is under way, close the connections."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        if self._session:
            await self._session.close()

    def put(self, webhook: Webhook) -> None:
        """Queue a webhook; returns at once."""
        self._queue.put_nowait(webhook)

    async def _post_queued(self, session: aiohttp.ClientSession) -> None:
        while True:
            await self._deliver(session, await self._queue.get())

    async def _deliver(self, session: aiohttp.ClientSession, webhook: Webhook) -> None:
        """Post until it is acknowledged or given up; then the same to the fallback URL."""
        failure = await self._post(session, webhook, webhook.url, webhook.params)
        if failure is not None and webhook.fallback:
            reason = {"ErrorCode": str(_RETRIEVAL_FAILURE), "ErrorUrl": urldefrag(webhook.url).url}
            await self._post(session, webhook, webhook.fallback, {**webhook.params, **reason})
        webhook.finished.set()

    async def _post(
        self, session: aiohttp.ClientSession, webhook: Webhook, to: str, params: dict[str, str]
    ) -> Failure | None:
        """Post until it is acknowledged, or policy, retries or time are used up."""
        url, fragment = urldefrag(to)
        overrides = Overrides.from_fragment(fragment)
        headers = {
            "X-Twilio-Signature": self._validator.compute_signature(url, params),
            "I-Twilio-Idempotency-Token": str(uuid4()),
        }
        body, failure = urlencode(params).encode(), None
        deadline = time.monotonic() + overrides.total_ms / 1000
        for _ in range(1 + overrides.retries):
            timeout = _timeout(overrides, deadline - time.monotonic())
            failure = await self._attempt(
                webhook.entry,
                session.post(
                    _as_is(url), data=body, headers=headers, timeout=timeout, allow_redirects=False
                ),
            )
            pause = webhook.retry_seconds
            if failure is None or not overrides.retries_after(failure):
                break
            if time.monotonic() + pause >= deadline:
                break
            await asyncio.sleep(pause)
        return failure

    async def _attempt(self, entry: Entry, request: Any) -> Failure | None:
        """Make one request and log it. Returns how it failed; ``None`` when acknowledged."""
        started_at = time.time()
        entry["first_attempt_at"] = entry["first_attempt_at"] or started_at
        status, failure = await _outcome_of(request)
        finished_at = time.time()
        entry["attempts"].append(
            {
                "status": status,
                "failure": failure,
                "started_at": started_at,
                "finished_at": finished_at,
                "ms": round((finished_at - started_at) * 1000, 3),
            }
        )
        entry["acknowledged"] = failure is None
        self._log.counts[f"{entry['kind']}_{'failed_attempt' if failure else 'acknowledged'}"] += 1
        self._log.touch(entry)
        return failure


async def _outcome_of(request: Any) -> tuple[int | None, Failure | None]:
    try:
        async with request as response:
            await response.read()
            return response.status, Failure.from_http_status(response.status)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL):
        return None, Failure.CONNECT
    except (aiohttp.ClientError, TimeoutError):
        return None, Failure.READ


def _timeout(overrides: Overrides, remaining: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(
        total=max(remaining, 0.001),
        sock_connect=overrides.connect_ms / 1000,
        sock_read=overrides.read_ms / 1000,
    )


def _as_is(url: str) -> URL:
    """The URL without yarl's normalisation: the signature covers what was configured."""
    return URL(url, encoded=True)
