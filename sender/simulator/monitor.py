"""``/v1/Alerts``: the monitor's list by start date, and single alerts."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from aiohttp import web

from sender.simulator import answers
from sender.simulator.refusals import Refusal
from sender.simulator.simulator import Simulator

_Act = Callable[[web.Request], Awaitable[web.Response]]
_Logged = Callable[[str, _Act], Callable[[web.Request], Awaitable[web.StreamResponse]]]


@dataclass(frozen=True)
class MonitorApi:
    """Alerts as far as they can be read; newest first, without a filter on their codes."""

    simulator: Simulator

    def add_routes(self, app: web.Application, logged: _Logged) -> None:
        """Mount the resource."""
        app.router.add_get("/v1/Alerts", logged("alerts", self._list))
        app.router.add_get("/v1/Alerts/{sid}", logged("alert", self._fetch))

    async def _list(self, request: web.Request) -> web.Response:
        size, page = int(request.query.get("PageSize", 50)), int(request.query.get("Page", 0))
        start = request.query.get("StartDate")
        found = self.simulator.alerts.since(
            datetime.fromisoformat(start).timestamp() if start else 0.0
        )
        shown, more = found[page * size : (page + 1) * size], len(found) > (page + 1) * size
        following = str(request.url.update_query(Page=page + 1)) if more else None
        meta = {"key": "alerts", "page": page, "page_size": size, "next_page_url": following}
        body = {"alerts": [one.as_json(whole=False) for one in shown], "meta": meta}
        return answers.answer(self.simulator, 200, body)

    async def _fetch(self, request: web.Request) -> web.Response:
        alert = self.simulator.alerts.get(request.match_info["sid"])
        if alert is None:
            return answers.refuse(self.simulator, Refusal.of(20404, request.path))
        return answers.answer(self.simulator, 200, alert.as_json(whole=True))
