"""``/_simulator/``: how a test or a person sets, scripts and inspects the simulator."""

from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

from aiohttp import web
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from sender.simulator.behaviour import Behaviour
from sender.simulator.inbound import PersonText, receive
from sender.simulator.script import Rule
from sender.simulator.simulator import Simulator

Parsed = TypeVar("Parsed")

_PREFIX = "/_simulator"
_LOG_LIMIT = 10_000


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, kw_only=True)
class _TextRequest(PersonText):
    """A person texts in; with ``wait`` the answer comes after the webhook's last attempt."""

    wait: bool = False


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, kw_only=True)
class _OptOuts:
    """Recipients opted out of a number, or of the service it is in, or of a service (``MG…``)."""

    sender: str
    recipients: list[str]


_BEHAVIOUR = TypeAdapter(Behaviour)
_RULES = TypeAdapter(list[Rule])
_TEXT = TypeAdapter(_TextRequest)
_OPT_OUTS = TypeAdapter(_OptOuts)
_BEHAVIOUR_FIELDS = tuple(field.name for field in fields(Behaviour))


@dataclass(frozen=True)
class ControlApi:
    """The control API. It has no authentication."""

    simulator: Simulator

    def add_routes(self, app: web.Application) -> None:
        """Mount the control API and the health check."""
        app.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get(f"{_PREFIX}/config", self._show_config),
                web.patch(f"{_PREFIX}/config", self._change_config),
                web.get(f"{_PREFIX}/opt-outs", self._show_opt_outs),
                web.post(f"{_PREFIX}/opt-outs", self._add_opt_outs),
                web.delete(f"{_PREFIX}/opt-outs", self._lift_opt_outs),
                web.post(f"{_PREFIX}/inbound", self._text_in),
                web.post(f"{_PREFIX}/script", self._add_rules),
                web.get(f"{_PREFIX}/log", self._show_log),
                web.get(f"{_PREFIX}/stats", self._show_stats),
                web.post(f"{_PREFIX}/reset", self._reset),
            ]
        )

    async def _healthz(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _show_config(self, _request: web.Request) -> web.Response:
        return web.json_response(self._behaviour_as_json())

    async def _change_config(self, request: web.Request) -> web.Response:
        """Replace the settings named; ``faults`` and ``async_failures`` as a whole."""
        changes = await _read(request, TypeAdapter(dict[str, Any]))
        changed = _check(_BEHAVIOUR, self._behaviour_as_json() | changes)
        self.simulator.behaviour = changed
        return web.json_response(self._behaviour_as_json())

    async def _show_opt_outs(self, _request: web.Request) -> web.Response:
        return web.json_response(self.simulator.blocks.by_scope())

    async def _add_opt_outs(self, request: web.Request) -> web.Response:
        asked = await _read(request, _OPT_OUTS)
        scope = self.simulator.account.scope_of(asked.sender)
        self.simulator.blocks.add(scope, asked.recipients)
        return web.json_response({"scope": scope, "opt_outs": len(self.simulator.blocks)})

    async def _lift_opt_outs(self, request: web.Request) -> web.Response:
        asked = await _read(request, _OPT_OUTS)
        scope = self.simulator.account.scope_of(asked.sender)
        self.simulator.blocks.lift(scope, asked.recipients)
        return web.json_response({"scope": scope, "opt_outs": len(self.simulator.blocks)})

    async def _text_in(self, request: web.Request) -> web.Response:
        text = await _read(request, _TEXT)
        received = receive(self.simulator, text, origin="control")
        attempts: list[dict[str, Any]] = []
        if received.webhook and text.wait:
            await received.webhook.finished.wait()
            attempts = received.webhook.entry["attempts"]
        return web.json_response({"message_sid": received.row.sid, "attempts": attempts})

    async def _add_rules(self, request: web.Request) -> web.Response:
        rules = await _read(request, _RULES)
        self.simulator.script.add(rules)
        return web.json_response({"rules": len(self.simulator.script)})

    async def _show_log(self, request: web.Request) -> web.Response:
        """Entries after ``after``; ``next`` is the ``after`` of the following call."""
        after = _number(request, "after", 0)
        limit = _number(request, "limit", _LOG_LIMIT)
        entries = self.simulator.log.after(after, limit=limit)
        following = entries[-1]["seq"] if entries else after
        return web.json_response({"entries": entries, "next": following})

    async def _show_stats(self, _request: web.Request) -> web.Response:
        simulator = self.simulator
        return web.json_response(
            {
                "counts": simulator.log.counts,
                "messages": len(simulator.messages),
                "opt_outs": len(simulator.blocks),
                "rules": len(simulator.script),
                "in_flight": simulator.in_flight,
                "inbound_webhooks_waiting": simulator.inbound_webhooks.waiting,
                "status_webhooks_waiting": simulator.status_webhooks.waiting,
                "log_entries": simulator.log.last_seq,
            }
        )

    async def _reset(self, _request: web.Request) -> web.Response:
        self.simulator.reset()
        return web.json_response({"status": "ok"})

    def _behaviour_as_json(self) -> dict[str, Any]:
        """The behaviour alone: a ``SimulatorConfig`` also holds what cannot change."""
        everything = asdict(self.simulator.behaviour)
        return {name: everything[name] for name in _BEHAVIOUR_FIELDS}


def _number(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name, str(default))
    if not text.isdecimal():
        raise web.HTTPBadRequest(text=f"{name} must be a whole number")
    return int(text)


async def _read(request: web.Request, adapter: TypeAdapter[Parsed]) -> Parsed:
    try:
        return adapter.validate_json(await request.read())
    except ValidationError as error:
        raise _bad_request(error) from error


def _check(adapter: TypeAdapter[Parsed], value: object) -> Parsed:
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise _bad_request(error) from error


def _bad_request(error: ValidationError) -> web.HTTPBadRequest:
    text = error.json(include_url=False, include_context=False)
    return web.HTTPBadRequest(text=text, content_type="application/json")
