"""``POST /v1/Consents/Bulk``: opt-outs and opt-ins told by the application, not by the person."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from aiohttp import web

from sender.simulator import answers
from sender.simulator.refusals import Refusal
from sender.simulator.simulator import Simulator

_ITEMS_A_CALL = 25
_CORRELATION_LENGTH = 32
_FAILED = 30646
_SOURCES = frozenset({"website", "offline", "opt-in-message", "opt-out-message", "others"})
_TOLL_FREE = ("+1800", "+1833", "+1844", "+1855", "+1866", "+1877", "+1888")


@dataclass(frozen=True)
class ConsentsApi:
    """The bulk resource: 201 even where items fail, an answer for each."""

    simulator: Simulator

    async def upsert(self, request: web.Request) -> web.Response:
        """Obey what can be obeyed."""
        form = parse_qsl((await request.read()).decode(), keep_blank_values=True)
        items = [json.loads(value) for name, value in form if name == "Items"]
        if not 1 <= len(items) <= _ITEMS_A_CALL:
            return answers.refuse(self.simulator, Refusal.of(20001, "Items"))
        return answers.answer(self.simulator, 201, {"items": [self._obey(one) for one in items]})

    def _obey(self, item: Mapping[str, str]) -> dict[str, object]:
        errors = [*self._errors(item)]
        if not errors:
            self._change(item)
        return {
            "correlation_id": item.get("correlation_id", ""),
            "error_code": _FAILED if errors else 0,
            "error_messages": errors,
        }

    def _errors(self, item: Mapping[str, str]) -> list[str]:
        account, sender = self.simulator.account, item.get("sender_id", "")
        contact = item.get("contact_id", "")
        checks = {
            "INVALID_CONTACT_ID": contact.startswith("+") and contact[1:].isdecimal(),
            "INVALID_CORRELATION_ID": len(item.get("correlation_id", "")) == _CORRELATION_LENGTH,
            "INVALID_SENDER_ID": account.owns(sender) or account.pool(sender) is not None,
            "INVALID_STATUS": item.get("status") in {"opt-in", "opt-out"},
            "INVALID_SOURCE": item.get("source") in _SOURCES,
        }
        return [name for name, fine in checks.items() if not fine]

    def _change(self, item: Mapping[str, str]) -> None:
        """An opt-out blocks as a STOP does; an opt-in lifts that, except on toll-free numbers."""
        scope = self.simulator.account.scope_of(item["sender_id"])
        if item["status"] == "opt-out":
            self.simulator.blocks.add(scope, [item["contact_id"]])
        elif not item["sender_id"].startswith(_TOLL_FREE):
            self.simulator.blocks.lift(scope, [item["contact_id"]])
