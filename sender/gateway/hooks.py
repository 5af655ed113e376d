"""Where Twilio calls us: the webhooks of numbers, short codes and Messaging Services, by the SDK.

Of a number only what concerns texts is touched: its ``StatusCallback`` and ``VoiceUrl`` are about
calls. A Messaging Service's status callback is left alone too: every message carries its own.
"""

from typing import Any

from twilio.base.exceptions import (  # type: ignore[import-untyped]  # the SDK ships no types
    TwilioException,
)
from twilio.rest import Client  # type: ignore[import-untyped]

from sender.domain.webhook_setup import Hook, HookSettings, Wanted
from sender.gateway.answers import vendor_code
from sender.gateway.asking import asking
from sender.gateway.codes import NOT_FOUND

_POOL_PAGE_SIZE = 100


class HooksGateway:
    """One account's webhooks; over a client of `GatewayFactory.client`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def find(self, sender: str) -> HookSettings | None:
        """What is called for a sender; ``None`` if the account does not have it.

        Args:
            sender: a number (``+1…``), a short code (``12345``) or a Messaging Service (``MG…``).

        Raises:
            ProviderUnavailable: no readable answer.
        """
        with asking("show a webhook"):
            if sender.startswith("MG"):
                return await self._service(sender)
            if sender.isdecimal():
                return await self._code(sender)
            found = await self._client.incoming_phone_numbers.list_async(
                phone_number=sender, limit=20
            )
            # Twilio's filter also finds numbers that only contain this one.
            exact = (one for one in found if one.phone_number == sender)
            return next((_of_number(one) for one in exact), None)

    async def _code(self, code: str) -> HookSettings | None:
        found = await self._client.short_codes.list_async(short_code=code, limit=20)
        return next((_of_code(one) for one in found if one.short_code == code), None)

    async def _service(self, sid: str) -> HookSettings | None:
        resource = self._client.messaging.v1.services(sid)
        try:
            service = await resource.fetch_async()
        except TwilioException as error:
            if vendor_code(error) == NOT_FOUND:
                return None
            raise
        numbers = None
        if service.use_inbound_webhook_on_number:
            pool = await resource.phone_numbers.list_async(page_size=_POOL_PAGE_SIZE)
            codes = await resource.short_codes.list_async(page_size=_POOL_PAGE_SIZE)
            numbers = (*(one.phone_number for one in pool), *(one.short_code for one in codes))
        return _of_service(service, numbers)

    async def change(self, found: HookSettings, wanted: Wanted) -> HookSettings:
        """Have Twilio call these URLs for a sender; what it says that it calls now.

        Raises:
            ProviderUnavailable: no readable answer; they may have been changed.
        """
        with asking("change a webhook"):
            if found.sid.startswith("MG"):
                service = await self._client.messaging.v1.services(found.sid).update_async(
                    inbound_request_url=wanted.inbound.url,
                    inbound_method=wanted.inbound.method,
                    fallback_url=wanted.fallback.url,
                    fallback_method=wanted.fallback.method,
                )
                return _of_service(service, None)
            urls = {
                "sms_url": wanted.inbound.url,
                "sms_method": wanted.inbound.method,
                "sms_fallback_url": wanted.fallback.url,
                "sms_fallback_method": wanted.fallback.method,
            }
            if found.sid.startswith("SC"):
                return _of_code(await self._client.short_codes(found.sid).update_async(**urls))
            if found.application:
                urls["sms_application_sid"] = ""
            number = self._client.incoming_phone_numbers(found.sid)
            return _of_number(await number.update_async(**urls))


def _of_number(number: Any) -> HookSettings:
    return HookSettings(
        sender=number.phone_number,
        sid=number.sid,
        inbound=_hook(number.sms_url, number.sms_method),
        fallback=_hook(number.sms_fallback_url, number.sms_fallback_method),
        application=number.sms_application_sid or "",
    )


def _of_code(code: Any) -> HookSettings:
    return HookSettings(
        sender=code.short_code,
        sid=code.sid,
        inbound=_hook(code.sms_url, code.sms_method),
        fallback=_hook(code.sms_fallback_url, code.sms_fallback_method),
    )


def _of_service(service: Any, numbers: tuple[str, ...] | None) -> HookSettings:
    return HookSettings(
        sender=service.sid,
        sid=service.sid,
        inbound=_hook(service.inbound_request_url, service.inbound_method),
        fallback=_hook(service.fallback_url, service.fallback_method),
        numbers=numbers,
    )


def _hook(url: str | None, method: str | None) -> Hook:
    """A method says nothing where there is no URL."""
    return Hook(url=url, method=(method or "POST").upper()) if url else Hook(url="")
