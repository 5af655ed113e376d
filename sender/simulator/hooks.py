"""The URLs that the account's numbers and services have called when somebody texts them."""

from collections.abc import Mapping
from typing import Any
from zlib import crc32

from sender.simulator.account import Account

#: A resource's settings by their names in its JSON.
Settings = dict[str, Any]


class Hooks:
    """What is set for each number and service; at first nothing, so that nothing is called."""

    def __init__(self, account: Account) -> None:
        self._account = account
        pools = account.config.services
        owned = {*account.config.numbers, *(one for pool in pools.values() for one in pool)}
        self._numbers = {_sid(one): _number(one) for one in sorted(owned) if not one.isdecimal()}
        self._codes = {_sid(one): _code(one) for one in sorted(owned) if one.isdecimal()}
        self._services = {sid: _service() for sid in pools}

    def numbers(self) -> list[Settings]:
        """Every number's settings."""
        return list(self._numbers.values())

    def of_number(self, sid: str) -> Settings | None:
        """A number's settings by its SID (``PN…``)."""
        return self._numbers.get(sid)

    def codes(self) -> list[Settings]:
        """Every short code's settings."""
        return list(self._codes.values())

    def of_code(self, sid: str) -> Settings | None:
        """A short code's settings by its SID (``SC…``)."""
        return self._codes.get(sid)

    def of_service(self, sid: str) -> Settings | None:
        """A service's settings."""
        return self._services.get(sid)

    def called_for(self, number: str) -> tuple[str, str]:
        """The main and the fallback URL for a text to this number; empty for none."""
        service = self._services.get(self._account.service_of(number) or "")
        if service is not None and not service["use_inbound_webhook_on_number"]:
            return service["inbound_request_url"] or "", service["fallback_url"] or ""
        own = self._numbers.get(_sid(number)) or self._codes.get(_sid(number))
        return (own["sms_url"], own["sms_fallback_url"]) if own else ("", "")


def change(settings: Settings, form: Mapping[str, str]) -> None:
    """Set what a form names; what it does not name stays."""
    for name in settings:
        given = form.get(_parameter(name))
        if given is not None:
            settings[name] = given == "true" if isinstance(settings[name], bool) else given


def _parameter(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _sid(number: str) -> str:
    return f"{'SC' if number.isdecimal() else 'PN'}{crc32(number.encode()):032x}"


def _number(number: str) -> Settings:
    return {
        "sid": _sid(number),
        "phone_number": number,
        "sms_url": "",
        "sms_method": "POST",
        "sms_fallback_url": "",
        "sms_fallback_method": "POST",
        "sms_application_sid": "",
        "voice_url": "",
        "status_callback": "",
    }


def _code(code: str) -> Settings:
    return {
        "sid": _sid(code),
        "short_code": code,
        "sms_url": "",
        "sms_method": "POST",
        "sms_fallback_url": "",
        "sms_fallback_method": "POST",
    }


def _service() -> Settings:
    return {
        "inbound_request_url": None,
        "inbound_method": "POST",
        "fallback_url": None,
        "fallback_method": "POST",
        "status_callback": None,
        "use_inbound_webhook_on_number": True,
    }
