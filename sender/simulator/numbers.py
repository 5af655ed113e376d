"""``IncomingPhoneNumbers``: the account's numbers, and which URLs they have called."""

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
    """List, by part of the number; update."""

    simulator: Simulator

    def add_routes(self, app: web.Application, logged: _Logged) -> None:
        """Mount the resource."""
        base = f"/{API_VERSION}/Accounts/{self.simulator.account.sid}/IncomingPhoneNumbers"
        app.router.add_get(f"{base}.json", logged("numbers", self._list))
        app.router.add_post(f"{base}/{{sid}}.json", logged("number_update", self._update))

    async def _list(self, request: web.Request) -> web.Response:
        """All on one page: the accounts here are small."""
        part = request.query.get("PhoneNumber", "")
        rows = [self._shown(one) for one in self._all() if part in one["phone_number"]]
        page = {"incoming_phone_numbers": rows, "next_page_uri": None, "page_size": len(rows)}
        return answers.answer(self.simulator, 200, page)

    async def _update(self, request: web.Request) -> web.Response:
        number = self.simulator.hooks.of_number(request.match_info["sid"])
        if number is None:
            return answers.refuse(self.simulator, Refusal.of(20404, request.path))
        change(number, answers.read_form(await request.read()))
        return answers.answer(self.simulator, 200, self._shown(number))

    def _all(self) -> list[Settings]:
        return self.simulator.hooks.numbers()

    def _shown(self, number: Settings) -> Settings:
        return {**number, "account_sid": self.simulator.account.sid}
