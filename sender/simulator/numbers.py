"""``IncomingPhoneNumbers`` and ``ShortCodes``: the account's, and which URLs they have called."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from sender.simulator import answers
from sender.simulator.hooks import Settings, change
from sender.simulator.messages import API_VERSION
from sender.simulator.refusals import Refusal
from sender.simulator.simulator import Simulator

_Act = Callable[[web.Request], Awaitable[web.Response]]
_Logged = Callable[[str, _Act], Callable[[web.Request], Awaitable[web.StreamResponse]]]


@dataclass(frozen=True)
class NumbersApi:
    """Lists, by part of the number; updates."""

    simulator: Simulator

    def add_routes(self, app: web.Application, logged: _Logged) -> None:
        """Mount the resources."""
        account = f"/{API_VERSION}/Accounts/{self.simulator.account.sid}"
        numbers, codes = f"{account}/IncomingPhoneNumbers", f"{account}/SMS/ShortCodes"
        app.router.add_get(f"{numbers}.json", logged("numbers", self._list))
        app.router.add_post(f"{numbers}/{{sid}}.json", logged("number_update", self._update))
        app.router.add_get(f"{codes}.json", logged("short_codes", self._list_codes))
        app.router.add_post(f"{codes}/{{sid}}.json", logged("short_code_update", self._update))

    async def _list(self, request: web.Request) -> web.Response:
        """All on one page: the accounts here are small."""
        part = request.query.get("PhoneNumber", "")
        found = self.simulator.hooks.numbers()
        rows = [self._shown(one) for one in found if part in one["phone_number"]]
        return self._page("incoming_phone_numbers", rows)

    async def _list_codes(self, request: web.Request) -> web.Response:
        part = request.query.get("ShortCode", "")
        found = self.simulator.hooks.codes()
        return self._page("short_codes", [self._shown(c) for c in found if part in c["short_code"]])

    def _page(self, key: str, rows: list[Settings]) -> web.Response:
        page = {key: rows, "next_page_uri": None, "page_size": len(rows)}
        return answers.answer(self.simulator, 200, page)

    async def _update(self, request: web.Request) -> web.Response:
        sid, hooks = request.match_info["sid"], self.simulator.hooks
        number = hooks.of_number(sid) or hooks.of_code(sid)
        if number is None:
            return answers.refuse(self.simulator, Refusal.of(20404, request.path))
        change(number, answers.read_form(await request.read()))
        return answers.answer(self.simulator, 200, self._shown(number))

    def _shown(self, number: Settings) -> Settings:
        return {**number, "account_sid": self.simulator.account.sid}
