"""``/v1/Services``: Messaging Services, what is in their pools, and which URLs they have called."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from sender.simulator import answers
from sender.simulator.hooks import change
from sender.simulator.refusals import Refusal
from sender.simulator.simulator import Simulator

_Act = Callable[[web.Request], Awaitable[web.Response]]
_Logged = Callable[[str, _Act], Callable[[web.Request], Awaitable[web.StreamResponse]]]


@dataclass(frozen=True)
class ServicesApi:
    """Services that first have their numbers' own URLs called, as none drops messages here."""

    simulator: Simulator

    def add_routes(self, app: web.Application, logged: _Logged) -> None:
        """Mount the resources."""
        base = "/v1/Services/{sid}"
        app.router.add_get(base, logged("service", self._fetch))
        app.router.add_post(base, logged("service_update", self._update))
        app.router.add_get(f"{base}/PhoneNumbers", logged("service", self._numbers))
        app.router.add_get(f"{base}/ShortCodes", logged("service", self._short_codes))

    async def _fetch(self, request: web.Request) -> web.Response:
        sid = request.match_info["sid"]
        hooks = self.simulator.hooks.of_service(sid)
        if hooks is None:
            return answers.refuse(self.simulator, Refusal.of(20404, request.path))
        body = {"sid": sid, "account_sid": self.simulator.account.sid, **hooks}
        return answers.answer(self.simulator, 200, body)

    async def _update(self, request: web.Request) -> web.Response:
        hooks = self.simulator.hooks.of_service(request.match_info["sid"])
        if hooks is not None:
            change(hooks, answers.read_form(await request.read()))
        return await self._fetch(request)

    async def _numbers(self, request: web.Request) -> web.Response:
        pool = self.simulator.account.pool(request.match_info["sid"]) or ()
        rows = [{"phone_number": one} for one in pool if one.startswith("+")]
        return self._page("phone_numbers", rows)

    async def _short_codes(self, request: web.Request) -> web.Response:
        pool = self.simulator.account.pool(request.match_info["sid"]) or ()
        rows = [{"short_code": one} for one in pool if one.isdecimal()]
        return self._page("short_codes", rows)

    def _page(self, key: str, rows: list[dict[str, str]]) -> web.Response:
        """All of them: the pools here are small."""
        meta = {"key": key, "next_page_url": None, "page_size": len(rows)}
        return answers.answer(self.simulator, 200, {key: rows, "meta": meta})
