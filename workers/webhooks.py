"""The ASGI app that Twilio calls: ``workers.webhooks:app`` for any ASGI server."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

from sender.collecting import collect_seldom, uncollected

with uncollected():
    from sender.runtime import Runtime  # and with it nearly all that this process loads

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sender import logs
from sender.config import STOP_PATIENCE, Settings
from sender.crashing import CrashPoint
from sender.domain.inbound import InboundText
from sender.domain.receipt import Receipt
from sender.domain.stream import StreamEvent
from sender.errors import ConfigurationError, MalformedWebhook, NotFound
from sender.gateway import (
    TWIML_CONTENT_TYPE,
    Form,
    events_from_json,
    failure_from_form,
    inbound_from_form,
    is_json,
    is_sid,
    names_body,
    parse_form,
    parse_json,
    receipt_from_form,
    twiml,
)
from sender.inbound import Applied
from sender.parts import Parts, WebhookRuntime
from sender.receipts import Refusal
from sender.seldom import Seldom
from sender.storage.database import DatabaseError, told
from workers import metrics
from workers.beating import beating
from workers.bodies import TooLarge, read_body
from workers.lanes import Crowded, Lane
from workers.readiness import Readiness
from workers.refusals import Refusals, Refused

log = structlog.get_logger(__name__)

_NOT_STORED = 503
#: How long a text waits for its turn: with its repeats, Twilio gives up after 15 s.
TURN_WITHIN = timedelta(seconds=10)
#: The database is not asked more often for what waits, whoever asks us.
SCRAPE_EVERY = timedelta(seconds=5)
#: Of a batch of events, a few hundred: each is about a kilobyte.
LARGEST_BATCH = 1024 * 1024


def create_app(
    parts: Parts | None = None,
    settings: Callable[[], Settings] = Settings.from_environment,
    on_start: Callable[[], object] = lambda: None,
) -> Starlette:
    """The webhook app over these parts; the environment is read when it starts.

    Args:
        parts: what it is built from.
        settings: read when it starts.
        on_start: called once it is ready to serve.
    """

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[Mapping[str, Any]]:
        runtime = Runtime(settings=settings(), parts=parts or Parts())
        logs.configure(runtime.settings.log_level)
        async with runtime.webhooks() as use_cases, beating(use_cases.heartbeat):
            on_start()
            yield {
                "use_cases": use_cases,
                "refusals": Refusals(db=use_cases.db),
                # As many as fit into transactions; the others wait outside, and not for ever.
                "storing": Lane(places=use_cases.texts.room, within=TURN_WITHIN),
                "scrapes": Seldom(SCRAPE_EVERY),
                "readiness": Readiness(db=use_cases.db),
            }

    routes = [
        # First, because most requests are these, two a message.
        Route("/twilio/status/{message_id:uuid}", status, methods=["POST"]),
        Route("/twilio/inbound", inbound, methods=["POST"]),
        Route("/twilio/fallback", fallback, methods=["POST"]),
        Route("/twilio/events/{account_sid}", events, methods=["POST"]),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", figures),
    ]
    app = Starlette(routes=routes, lifespan=lifespan)
    # Else a path with one slash too many is answered by sending the caller to its own Host header.
    app.router.redirect_slashes = False
    return app


async def inbound(request: Request) -> Response:
    """A person texted us. 200 only once a STOP in it is stored and enforced."""
    form = await _signed_form(request)
    return form if isinstance(form, Response) else await _hear(request, form)


async def fallback(request: Request) -> Response:
    """The same text at our second URL: Twilio got no usable answer at the first."""
    form = await _signed_form(request)
    if isinstance(form, Response):
        return form
    metrics.FALLBACKS.inc()
    log.error("inbound_webhook_failed", code=failure_from_form(form))
    return await _hear(request, form)


async def _hear(request: Request, form: Form) -> Response:
    try:
        text = inbound_from_form(form)
        return await _receive(request, text)
    except MalformedWebhook as exc:
        return await _refuse(request, Refused.MALFORMED, webhook="inbound", what=str(exc))
    except NotFound:
        sids = {"sid": text.sid, "account_sid": text.account_sid}
        return await _refuse(request, Refused.UNKNOWN_ACCOUNT, **sids)


async def _stored(storing: asyncio.Future[Applied]) -> Applied:
    """What came of storing a text.

    Raises:
        Crowded: it takes too long, because what it shares its turn with is stuck; it may be stored.
    """
    storing.add_done_callback(lambda done: done.cancelled() or done.exception())
    done, _ = await asyncio.wait({storing}, timeout=TURN_WITHIN.total_seconds())
    if not done:
        raise Crowded("it was not stored in time")
    return storing.result()


async def _receive(request: Request, text: InboundText) -> Response:
    """Store, enforce, then 200; anything less is 503, and the STOP stands all the same.

    Only storing has its lane: a STOP that waits for its enforcement keeps nobody else out.
    """
    use_cases, storing = _use_cases(request), request.state.storing
    try:
        async with storing.place():
            applied = await _stored(use_cases.texts.submit(text))
    except (DatabaseError, Crowded) as exc:
        log.error("inbound_not_stored", sid=text.sid, error=told(exc))
        return Response(status_code=_NOT_STORED)
    if applied.event_ids:
        use_cases.passing(CrashPoint.AFTER_STORE)
    metrics.INBOUND.labels(applied.keyword).inc()
    await use_cases.cache.add(applied.suppressions)
    if applied.event_ids and not await _enforced(use_cases, applied.event_ids):
        log.warning("stop_not_enforced_yet", sid=text.sid)
        return Response(status_code=_NOT_STORED)
    if applied.event_ids:
        use_cases.passing(CrashPoint.BEFORE_ACK)
    return Response(twiml(applied.reply), media_type=TWIML_CONTENT_TYPE)


async def _enforced(use_cases: WebhookRuntime, event_ids: Sequence[int]) -> bool:
    """Wait for all of an opt-out's events: one, or one for each sender that it covers."""
    began = time.monotonic()
    waiting = [use_cases.queue.enforced(one, within=STOP_PATIENCE) for one in event_ids]
    enforced = all(await asyncio.gather(*waiting))
    metrics.STOPS.labels("enforced" if enforced else "not_yet").inc()
    if enforced:
        metrics.STOP_SECONDS.observe(time.monotonic() - began)
    return enforced


async def status(request: Request) -> Response:
    """A status callback for one of our messages."""
    form = await _signed_form(request)
    if isinstance(form, Response):
        return form
    try:
        return await _count(_use_cases(request), _receipt(request, form))
    except MalformedWebhook as exc:
        return await _refuse(request, Refused.MALFORMED, webhook="status", what=str(exc))


def _receipt(request: Request, form: Form) -> Receipt:
    message_id: UUID = request.path_params["message_id"]
    return receipt_from_form(message_id, form)


async def _count(use_cases: WebhookRuntime, receipt: Receipt) -> Response:
    try:
        counted = await use_cases.receipts.submit(receipt)
    except DatabaseError as exc:
        log.error("callback_not_stored", sid=receipt.sid, error=told(exc))
        return Response(status_code=_NOT_STORED)
    if isinstance(counted, Refusal):
        log.warning("callback_refused", sid=receipt.sid, why=counted.value)
        metrics.CALLBACKS.labels(counted.value).inc()
        return Response(status_code=404)
    metrics.CALLBACKS.labels("counted").inc()
    if counted.suppressions:
        await use_cases.cache.add(counted.suppressions)
    return Response(status_code=204)


async def events(request: Request) -> Response:
    """A batch of Event Streams; its sink belongs to the account in the path.

    Twilio posts all of it again, for four hours, unless the answer is 2xx within 5 s.
    """
    use_cases, sid = _use_cases(request), str(request.path_params["account_sid"])
    if use_cases.stream is None or not is_sid(sid):
        return Response(status_code=404)
    batch = await _signed_events(request)
    if isinstance(batch, Response):
        return batch
    try:
        fresh = await use_cases.stream.unseen(sid, batch)
        metrics.EVENTS.labels("seen").inc(len(batch) - len(fresh))
        receipts = await use_cases.stream.receipts(fresh)
        work = [_apply(request, one, receipts.get(one.id)) for one in fresh]
        went = await asyncio.gather(*work, return_exceptions=True)
        done = [one for one, said in zip(fresh, went, strict=True) if _is_done(said)]
        await use_cases.stream.applied(sid, done)
    except DatabaseError as exc:
        log.error("events_not_stored", error=told(exc))
        return Response(status_code=_NOT_STORED)
    return Response(status_code=204 if len(done) == len(fresh) else _NOT_STORED)


async def _signed_events(request: Request) -> list[StreamEvent] | Response:
    """The events, if the account in the path signed them; otherwise the answer to give.

    Batches are large: only of whom has signed the URL is one read at all.
    """
    use_cases, sid = _use_cases(request), str(request.path_params["account_sid"])
    url = _path_and_query(request)
    try:
        signed = await use_cases.verifiers.verify_url(sid, url, request.headers)
        body = await read_body(request, largest=LARGEST_BATCH) if signed else b""
    except TooLarge:
        return await _refuse(request, Refused.TOO_LARGE)
    except MalformedWebhook:
        return await _refuse(request, Refused.UNREADABLE)
    except (DatabaseError, ConfigurationError) as exc:
        return _not_checked(request, exc)
    if not signed or not names_body(url, body):
        return await _refuse(request, Refused.SIGNATURE)
    try:
        return events_from_json(body, callback_base=use_cases.verifiers.public_base_url)
    except MalformedWebhook as exc:
        return await _refuse(request, Refused.MALFORMED, webhook="events", what=str(exc))


def _is_done(said: Response | BaseException) -> bool:
    """Whether an event need not come again. What one of them meets costs the others nothing."""
    if isinstance(said, BaseException):
        log.error("event_not_applied", error=type(said).__name__)
    is_done = isinstance(said, Response) and said.status_code != _NOT_STORED
    metrics.EVENTS.labels("done" if is_done else "not_yet").inc()
    return is_done


async def _apply(request: Request, event: StreamEvent, receipt: Receipt | None) -> Response:
    """Apply one event as its webhook would be; what that would be answered."""
    use_cases, answer = _use_cases(request), Response(status_code=204)
    if event.problem:
        await _refuse(request, Refused.MALFORMED, webhook="events", what=event.problem)
    elif event.news is not None and event.account_sid != request.path_params["account_sid"]:
        await _refuse(request, Refused.FOREIGN_EVENT, event=event.id, of=event.account_sid)
    elif receipt is not None:
        answer = await _count(use_cases, receipt)
    elif isinstance(event.news, InboundText):
        answer = await _inbound_event(request, event.news)
    elif use_cases.stream is not None:  # of another system's message: a 21610 counts all the same
        await use_cases.cache.add(await use_cases.stream.block(event))
    return answer


async def _inbound_event(request: Request, text: InboundText) -> Response:
    """Its reply goes nowhere: only a webhook's answer is sent to the person."""
    try:
        return await _receive(request, text)
    except NotFound:
        sids = {"sid": text.sid, "account_sid": text.account_sid}
        return await _refuse(request, Refused.UNKNOWN_ACCOUNT, **sids)


async def _signed_form(request: Request) -> Form | Response:
    """The parameters, if Twilio signed them; otherwise the answer to give."""
    try:
        json = is_json(request.headers.get("content-type", ""))
        body = await read_body(request)
        form = parse_json(body) if json else parse_form(body)
    except TooLarge:
        return await _refuse(request, Refused.TOO_LARGE)
    except MalformedWebhook:
        return await _refuse(request, Refused.UNREADABLE)
    verifiers = _use_cases(request).verifiers
    try:
        signed = await verifiers.verify(
            _path_and_query(request), form, request.headers, json=body if json else None
        )
    except (DatabaseError, ConfigurationError) as exc:
        return _not_checked(request, exc)
    return form if signed else await _refuse(request, Refused.SIGNATURE)


def _not_checked(request: Request, exc: Exception) -> Response:
    """Anybody can have us try: there is a line now and then."""
    refusals: Refusals = request.state.refusals
    if refusals.lines.is_time("signature_not_checked"):
        log.error("signature_not_checked", error=told(exc))
    return Response(status_code=_NOT_STORED)


async def _refuse(request: Request, why: Refused, **detail: str) -> Response:
    refusals: Refusals = request.state.refusals
    return Response(status_code=await refusals.refuse(why, **detail))


def _path_and_query(request: Request) -> str:
    """As Twilio called it: the raw path and the raw query, in their order and encoding."""
    raw = request.scope.get("raw_path") or request.url.path.encode()
    path = raw.decode("latin-1").partition("?")[0]
    query = request.scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else path


async def healthz(_: Request) -> Response:
    """The process is alive."""
    return PlainTextResponse("ok\n")


async def readyz(request: Request) -> Response:
    """The process can store a STOP now."""
    readiness: Readiness = request.state.readiness
    if not await readiness.is_ready():
        return PlainTextResponse("the database cannot be used\n", status_code=_NOT_STORED)
    return PlainTextResponse("ready\n")


async def figures(request: Request) -> Response:
    """This process's figures for Prometheus, and what waits; no numbers, no texts."""
    if request.state.scrapes.is_time("waiting"):
        await metrics.refresh(_use_cases(request).db)
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def _use_cases(request: Request) -> WebhookRuntime:
    found: WebhookRuntime = request.state.use_cases
    return found


app = create_app(on_start=collect_seldom)
