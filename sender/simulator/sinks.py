"""``events.twilio.com``: sinks and subscriptions as far as they are set up; nothing is posted."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from sender.simulator import answers
from sender.simulator.refusals import Refusal
from sender.simulator.simulator import Simulator

_Act = Callable[[web.Request], Awaitable[web.Response]]
_Logged = Callable[[str, _Act], Callable[[web.Request], Awaitable[web.StreamResponse]]]


@dataclass(frozen=True)
class SinksApi:
    """Lists, and what is added to them."""

    simulator: Simulator
    _sinks: list[dict[str, Any]] = field(default_factory=list)
    _subscriptions: list[dict[str, Any]] = field(default_factory=list)
    #: Of each subscription, its types and their schemas.
    _types: dict[str, dict[str, int]] = field(default_factory=dict)

    def add_routes(self, app: web.Application, logged: _Logged) -> None:
        """Mount the resources."""
        events = "/v1/Subscriptions/{sid}/SubscribedEvents"
        app.router.add_get("/v1/Sinks", logged("sinks", self._list_sinks))
        app.router.add_post("/v1/Sinks", logged("sink_create", self._create_sink))
        app.router.add_get("/v1/Subscriptions", logged("subscriptions", self._list))
        app.router.add_post("/v1/Subscriptions", logged("subscription_create", self._create))
        app.router.add_get(events, logged("subscribed_events", self._list_types))
        app.router.add_post(events, logged("subscribed_event_create", self._add_type))

    async def _list_sinks(self, _request: web.Request) -> web.Response:
        return self._page("sinks", self._sinks)

    async def _create_sink(self, request: web.Request) -> web.Response:
        form = answers.read_form(await request.read())
        sink = {
            "sid": f"DG{len(self._sinks) + 1:032x}",
            "description": form["Description"],
            "sink_type": form["SinkType"],
            "sink_configuration": json.loads(form["SinkConfiguration"]),
            "status": "active",
        }
        self._sinks.append(sink)
        return answers.answer(self.simulator, 201, sink)

    async def _list(self, request: web.Request) -> web.Response:
        sink = request.query.get("SinkSid")
        rows = [one for one in self._subscriptions if sink in (None, one["sink_sid"])]
        return self._page("subscriptions", rows)

    async def _create(self, request: web.Request) -> web.Response:
        pairs = parse_qsl((await request.read()).decode(), keep_blank_values=True)
        form, types = dict(pairs), [json.loads(value) for name, value in pairs if name == "Types"]
        if form["SinkSid"] not in {one["sid"] for one in self._sinks}:
            return answers.refuse(self.simulator, Refusal.of(20404, request.path))
        sid = f"DF{len(self._subscriptions) + 1:032x}"
        self._types[sid] = {one["type"]: one.get("schema_version", 1) for one in types}
        row = {"sid": sid, "description": form["Description"], "sink_sid": form["SinkSid"]}
        self._subscriptions.append(row)
        return answers.answer(self.simulator, 201, row)

    async def _list_types(self, request: web.Request) -> web.Response:
        known = self._types.get(request.match_info["sid"], {})
        rows = [{"type": kind, "schema_version": version} for kind, version in known.items()]
        return self._page("types", rows)

    async def _add_type(self, request: web.Request) -> web.Response:
        known = self._types.get(request.match_info["sid"])
        if known is None:
            return answers.refuse(self.simulator, Refusal.of(20404, request.path))
        form = answers.read_form(await request.read())
        known[form["Type"]] = int(form.get("SchemaVersion", 1))
        return answers.answer(self.simulator, 201, {"type": form["Type"]})

    def _page(self, key: str, rows: list[dict[str, Any]]) -> web.Response:
        """All of them: the accounts here are small."""
        meta = {"key": key, "next_page_url": None, "page_size": len(rows)}
        return answers.answer(self.simulator, 200, {key: rows, "meta": meta})
