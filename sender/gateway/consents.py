"""Twilio's Consent Management API, through the SDK: telling it who has opted out.

Source: twilio.com/docs/messaging/features/consent-api. A call is an upsert, so repeating one that
failed does no harm.
"""

from collections.abc import Sequence
from datetime import UTC, timedelta
from typing import Any, Final

from twilio.base.exceptions import (  # type: ignore[import-untyped]  # the SDK ships no types
    TwilioRestException,
)
from twilio.rest import Client  # type: ignore[import-untyped]

from sender.domain.pushing import ItemAnswer, OptOutItem
from sender.errors import ProviderBusy, ProviderUnavailable
from sender.gateway.answers import retry_after
from sender.gateway.asking import FOREIGN_ERRORS
from sender.gateway.transport import Exchange
from sender.send_clock import send_clock

#: Twilio answers within 3 s.
_ANSWER_SECONDS: Final = 10.0
#: Where a 429 does not say when: calls are counted by the minute.
_BUSY_FOR: Final = timedelta(seconds=60)
_TOO_MANY: Final = 429


class ConsentsGateway:
    """One account's consents at Twilio; over a client of `GatewayFactory.client`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def opt_out(self, items: Sequence[OptOutItem]) -> list[ItemAnswer]:
        """Tell Twilio of at most 25 opt-outs; what it says of each.

        Raises:
            ProviderBusy: too many calls in this minute; says how long to wait.
            ProviderUnavailable: no readable answer; some may have been taken.
        """
        deadline = send_clock() + _ANSWER_SECONDS
        with Exchange(connect_by=deadline, deadline=deadline) as current:
            try:
                resource = self._client.accounts.v1.bulk_consents
                answer = await resource.create_async(items=[_fields(item) for item in items])
                return [_answer(one) for one in answer.items or []]
            except FOREIGN_ERRORS as error:
                if isinstance(error, TwilioRestException) and error.status == _TOO_MANY:
                    raise ProviderBusy(retry_after(current) or _BUSY_FOR) from error
                raise ProviderUnavailable(
                    f"Twilio took no opt-outs: {type(error).__name__}"
                ) from error


def _fields(item: OptOutItem) -> dict[str, str]:
    fields = {
        "contact_id": f"+{item.recipient}",
        "correlation_id": item.correlation_id,
        "sender_id": item.sender,
        "status": "opt-out",
        "source": item.source,
    }
    if item.since is not None:
        since = item.since.astimezone(UTC).isoformat(timespec="seconds")
        fields["date_of_consent"] = since.replace("+00:00", "Z")
    return fields


def _answer(one: dict[str, Any]) -> ItemAnswer:
    messages = [str(message) for message in one.get("error_messages") or []]
    failed = bool(one.get("error_code"))
    return ItemAnswer(
        correlation_id=str(one["correlation_id"]),
        error=", ".join(messages) or str(one["error_code"]) if failed else "",
    )
