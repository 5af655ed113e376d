"""The ASGI app that Twilio calls: ``workers.webhooks:app`` for any ASGI server."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

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
from sender.errors import ConfigurationError, MalformedWebhook, NotFound, SenderError
from sender.gateway import (
    TWIML_CONTENT_TYPE,
    Form,
    failure_from_form,
    inbound_from_form,
    is_json,
    parse_form,
    parse_json,
    receipt_from_form,
    twiml,
)
from sender.parts import Parts, WebhookRuntime
from sender.receipts import Refusal
from sender.runtime import Runtime
from sender.storage.database import DatabaseError, told
from sender.storage.migrate import require_still_usable
from workers import metrics
from workers.beating import beating
from workers.bodies import TooLarge, read_body
from workers.lanes import Crowded, Lane
from workers.refusals import Refusals, Refused

log = structlog.get_logger(__name__)

_NOT_STORED = 503
#: Texts being stored at a time, of the pool's ten connections. The others are for callbacks, for
#: the enforcement of STOPs that are stored already and for tenants' tokens, one each, and for
#: signs of life.
STORING = 6
#: How long a text waits for its turn: with its repeats, Twilio gives up after 15 s.
TURN_WITHIN = timedelta(seconds=10)


def create_app(
    parts: Parts | None = None,
    settings: Callable[[], Settings] = Settings.from_environment,
) -> Starlette:
    """The webhook app over these parts; the environment is read when it starts."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[Mapping[str, Any]]:
        runtime = Runtime(settings=settings(), parts=parts or Parts())
        logs.configure(runtime.settings.log_level)
        async with runtime.webhooks() as use_cases, beating(use_cases.heartbeat):
            yield {
                "use_cases": use_cases,
                "refusals": Refusals(db=use_cases.db),
                "storing": Lane(places=STORING, within=TURN_WITHIN),
            }

    routes = [
        Route("/twilio/inbound", inbound, methods=["POST"]),
        Route("/twilio/fallback", fallback, methods=["POST"]),
        Route("/twilio/status/{message_id:uuid}", status, methods=["POST"]),
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


async def _receive(request: Request, text: InboundText) -> Response:
    """Store, enforce, then 200; anything less is 503, and the STOP stands all the same.

    Only storing has its lane: a STOP that waits for its enforcement keeps nobody else out.
    """
    use_cases, storing = _use_cases(request), request.state.storing
    try:
        async with storing.place():
            applied = await use_cases.db.run(use_cases.inbound.apply, text)
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
        log.error("signature_not_checked", error=told(exc))
        return Response(status_code=_NOT_STORED)
    return form if signed else await _refuse(request, Refused.SIGNATURE)


async def _refuse(request: Request, why: Refused, **detail: str) -> Response:
    refusals: Refusals = request.state.refusals
    return Response(status_code=await refusals.refuse(why, **detail))


def _path_and_query(request: Request) -> str:
    """As Twilio called it: the raw path and the raw query, in their order and encoding."""
    path = request.scope.get("raw_path", request.url.path.encode()).decode("latin-1")
    path = path.partition("?")[0]
    query = request.scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else path


async def healthz(_: Request) -> Response:
    """The process is alive."""
    return PlainTextResponse("ok\n")


async def readyz(request: Request) -> Response:
    """The process can store a STOP now."""
    try:
        await _use_cases(request).db.run(require_still_usable)
    except (DatabaseError, SenderError):
        return PlainTextResponse("the database cannot be used\n", status_code=_NOT_STORED)
    return PlainTextResponse("ready\n")


async def figures(_: Request) -> Response:
    """This process's figures for Prometheus; no numbers, no texts."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def _use_cases(request: Request) -> WebhookRuntime:
    found: WebhookRuntime = request.state.use_cases
    return found


app = create_app()
