"""Twilio's API as far as it is simulated: the Message resource of one account."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from sender.simulator import answers, lifecycle
from sender.simulator.consents import ConsentsApi
from sender.simulator.creating import CreateMessage
from sender.simulator.listing import ListRequest, page_of
from sender.simulator.messages import API_VERSION, MessageRow
from sender.simulator.monitor import MonitorApi
from sender.simulator.numbers import NumbersApi
from sender.simulator.refusals import Refusal
from sender.simulator.services import ServicesApi
from sender.simulator.simulator import Simulator
from sender.simulator.sinks import SinksApi

_Act = Callable[[web.Request], Awaitable[web.Response]]
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class MessagesApi:
    """Fetch, list, update; and an error for everything else."""

    simulator: Simulator

    def add_routes(self, app: web.Application) -> None:
        """Mount the account's resources, and the answer to unknown paths."""
        base = f"/{API_VERSION}/Accounts/{self.simulator.account.sid}"
        app.router.add_post(f"{base}/Messages.json", CreateMessage(self.simulator).__call__)
        app.router.add_get(f"{base}/Messages.json", self._logged("list", self._list))
        app.router.add_get(f"{base}/Messages/{{sid}}.json", self._logged("fetch", self._fetch))
        app.router.add_post(f"{base}/Messages/{{sid}}.json", self._logged("update", self._update))
        NumbersApi(self.simulator).add_routes(app, self._logged)
        ServicesApi(self.simulator).add_routes(app, self._logged)
        MonitorApi(self.simulator).add_routes(app, self._logged)
        SinksApi(self.simulator).add_routes(app, self._logged)
        consents = ConsentsApi(self.simulator)
        app.router.add_post("/v1/Consents/Bulk", self._logged("consents", consents.upsert))
        app.router.add_route("*", "/{path:.*}", self._logged("unknown", self._not_found))

    def _logged(self, kind: str, act: _Act) -> _Handler:
        """Log a request around its handler, and let only the account's credentials in."""

        async def handle(request: web.Request) -> web.StreamResponse:
            arrived_at = time.time()
            allowed = self.simulator.account.authorizes(request.headers.get("Authorization", ""))
            response = await (act if allowed else self._unauthorized)(request)
            self.simulator.log.open(
                kind,
                arrived_at=arrived_at,
                answered_at=time.time(),
                method=request.method,
                path=request.path_qs,
                http_status=response.status,
            )
            return response

        return handle

    async def _fetch(self, request: web.Request) -> web.Response:
        row = self._row(request)
        return self._found(row) if row else await self._not_found(request)

    async def _list(self, request: web.Request) -> web.Response:
        wanted = ListRequest.from_params(dict(request.query))
        if isinstance(wanted, Refusal):
            return answers.refuse(self.simulator, wanted)
        page = page_of(self.simulator.messages, wanted, self.simulator.account.sid)
        return answers.answer(self.simulator, 200, page)

    async def _update(self, request: web.Request) -> web.Response:
        """``Status=canceled`` cancels what has not left, ``Body=`` redacts."""
        row = self._row(request)
        if row is None:
            return await self._not_found(request)
        refusal = self._change(row, answers.read_form(await request.read()))
        return answers.refuse(self.simulator, refusal) if refusal else self._found(row)

    def _change(self, row: MessageRow, form: dict[str, str]) -> Refusal | None:
        if form.get("Body"):
            return Refusal.of(20001, "Body can only be emptied")
        if form.get("Status", "canceled") != "canceled":
            return Refusal.of(20001, "Status can only become canceled")
        if "Status" in form and not lifecycle.cancel(self.simulator, row):
            return Refusal.of(30409, row.sid)
        if "Body" in form:
            row.body = ""
        return None

    async def _not_found(self, request: web.Request) -> web.Response:
        return answers.refuse(self.simulator, Refusal.of(20404, request.path))

    async def _unauthorized(self, _request: web.Request) -> web.Response:
        return answers.refuse(self.simulator, Refusal.of(20003))

    def _row(self, request: web.Request) -> MessageRow | None:
        return self.simulator.messages.get(request.match_info["sid"])

    def _found(self, row: MessageRow) -> web.Response:
        return answers.answer(self.simulator, 200, row.as_json())
