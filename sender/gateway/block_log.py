"""What Twilio keeps of people whom it did not text because they have opted out.

A message that failed with 21610 is in the message log. A request that was refused with it at once
is not: it leaves an alert, which names the person only when it is fetched by itself.
Sources: twilio.com/docs/messaging/api/message-resource, twilio.com/docs/usage/monitor-alert
"""

import asyncio
from collections.abc import AsyncGenerator, Container
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qs

from twilio.base.exceptions import (  # type: ignore[import-untyped]  # the SDK ships no types
    TwilioException,
)
from twilio.rest import Client  # type: ignore[import-untyped]  # the SDK ships no types

from sender.domain.provider import MessageRecord, Refusals, RefusedRequest
from sender.gateway.answers import vendor_code
from sender.gateway.asking import PAGE_SIZE, asking, record_of
from sender.gateway.codes import NOT_FOUND, TABLE, Answer

#: Alerts that are fetched at most, the newest; each is a request.
MOST_ALERTS: Final = 1000
#: Twilio gives no more of a list.
_MOST_LISTED: Final = 10_000
_AT_A_TIME: Final = 8

#: Codes that refuse a request because the person has opted out.
_BLOCKS: Final = frozenset(
    str(code) for code, entry in TABLE.items() if entry.at_create is Answer.OPTED_OUT
)


class BlockLog:
    """One account's blocks; over a client of `GatewayFactory.client`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def messages_from(self, sender: str) -> AsyncGenerator[list[MessageRecord]]:
        """What was sent from a number or name; as `messages`."""
        return self.messages(from_=sender)

    async def messages(self, **filters: str) -> AsyncGenerator[list[MessageRecord]]:
        """The account's messages in both directions, by the page, newest first, without end.

        Without Twilio's filter on sent dates, which a message that failed before it was sent does
        not have. It has none on statuses or codes.

        Raises:
            ProviderRefused: the account is not let in.
            ProviderUnavailable: no readable answer.
        """
        with asking("list messages"):
            page = await self._client.messages.page_async(page_size=PAGE_SIZE, **filters)
            found = [record_of(message) for message in page]
        while found:
            yield found
            with asking("list messages"):
                page = await page.next_page_async()
                found = [] if page is None else [record_of(message) for message in page]

    async def refusals(self, since: datetime, *, known: Container[str] = frozenset()) -> Refusals:
        """The account's requests that were refused at or after ``since``; 30 days at most.

        Args:
            since: aware.
            known: alerts that need not be fetched again.

        Raises:
            ProviderRefused: the account, or its key, is not let in.
            ProviderUnavailable: no complete readable answer.
        """
        with asking("list alerts"):
            alerts = await self._client.monitor.v1.alerts.list_async(
                start_date=since.astimezone(UTC), limit=_MOST_LISTED, page_size=PAGE_SIZE
            )
            listed = [alert.sid for alert in alerts if alert.error_code in _BLOCKS]
        few = asyncio.Semaphore(_AT_A_TIME)
        new = [sid for sid in listed if sid not in known]
        sids = new[:MOST_ALERTS]
        fetched = await asyncio.gather(*(self._alert(sid, few) for sid in sids))
        readable = tuple(one for one in fetched if one is not None)
        return Refusals(
            requests=readable,
            fetched=frozenset(sids).union(sid for sid in listed if sid in known),
            left_out=len(new) - len(readable),
            whole=len(alerts) < _MOST_LISTED,
        )

    async def _alert(self, sid: str, few: asyncio.Semaphore) -> RefusedRequest | None:
        async with few:
            with asking("fetch an alert"):
                try:
                    alert = await self._client.monitor.v1.alerts(sid).fetch_async()
                except TwilioException as error:
                    if vendor_code(error) == NOT_FOUND:  # too old by now
                        return None
                    raise
                return _refused(alert)


def _refused(alert: Any) -> RefusedRequest | None:
    """The request behind an alert; ``None`` if the alert does not say whom it was to."""
    at = alert.date_generated or alert.date_created
    fields = parse_qs(alert.request_variables or "")
    to = fields.get("To", [""])[0]
    if not to or at is None:
        return None
    return RefusedRequest(
        sid=alert.sid,
        to=to,
        from_=fields.get("From", [""])[0],
        service_sid=fields.get("MessagingServiceSid", [""])[0],
        at=at,
    )
