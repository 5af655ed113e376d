"""Twilio's Messages resource through its SDK: hand off, ask, cancel."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from logging import getLogger
from typing import Any, Final, Self
from uuid import UUID

from twilio.base.exceptions import (  # type: ignore[import-untyped]  # the SDK ships no types
    TwilioException,
)
from twilio.rest import Client  # type: ignore[import-untyped]

from sender.domain.message import OutboundText
from sender.domain.outcome import Outcome, Refused
from sender.domain.provider import HandOff, MessageRecord, ServiceRecord
from sender.gateway.answers import accepted, clock_offset, refused, unfinished, vendor_code
from sender.gateway.asking import PAGE_SIZE, asking, record_of
from sender.gateway.codes import NOT_FOUND, TOO_LATE_TO_CANCEL
from sender.gateway.transport import Exchange, LeanHttpClient
from sender.gateway.urls import PublicUrls, require_absolute
from sender.send_clock import send_clock

_log = getLogger(__name__)

#: Where Twilio's API is.
TWILIO_API: Final = "https://api.twilio.com"

#: Twilio's limits for ValidityPeriod, seconds (error 21624 outside).
_SHORTEST_VALIDITY, _LONGEST_VALIDITY = 1, 36_000
#: Twilio's limit for the numbers of a Messaging Service.
_POOL_PAGE_SIZE: Final = 100
#: How long the difference of the clocks counts as known: one of them may be set.
_OFFSET_SECONDS: Final = 600.0
#: Its statuses of a message that it has taken and not passed on: until then it can be canceled.
NOT_PASSED_ON: Final = frozenset({"accepted", "scheduled", "queued"})


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """How one account signs in to Twilio."""

    #: ``AC…``
    account_sid: str
    username: str
    password: str = field(repr=False)

    @classmethod
    def from_auth_token(cls, account_sid: str, auth_token: str) -> Self:
        """Sign in as the account itself."""
        return cls(account_sid=account_sid, username=account_sid, password=auth_token)

    @classmethod
    def from_api_key(cls, account_sid: str, key_sid: str, secret: str) -> Self:
        """Sign in with an API key (``SK…``), which can be revoked alone."""
        return cls(account_sid=account_sid, username=key_sid, password=secret)


class GatewayFactory:
    """Gateways of several accounts over one pool of connections. Open it with :meth:`open`."""

    def __init__(self, http: LeanHttpClient, *, status_callback_base: str, base_url: str) -> None:
        """Use :meth:`open`, which also closes the connections."""
        self.http = http
        self._callback_base, self._base_url = status_callback_base, base_url

    @classmethod
    @asynccontextmanager
    async def open(
        cls, *, status_callback_base: str, base_url: str = TWILIO_API, max_connections: int = 0
    ) -> AsyncIterator[Self]:
        """A factory with its own connection pool, closed at the end of the block.

        Args:
            status_callback_base: the public URL in front of ``/twilio/status/…``; empty: Twilio
                cannot call us, and is not asked to.
            base_url: Twilio's API, or a simulator or proxy in its place.
            max_connections: 0 for as many as there are requests at a time.

        Raises:
            ConfigurationError: a URL is not an absolute http(s) URL.
        """
        require_absolute(base_url)
        if status_callback_base:
            PublicUrls(status_callback_base)  # raises
        async with LeanHttpClient(max_connections=max_connections) as http:
            yield cls(http, status_callback_base=status_callback_base, base_url=base_url)

    def gateway(self, credentials: Credentials) -> "TwilioGateway":
        """The gateway of one account."""
        client = _sdk_client(credentials, self._base_url, self.http)
        return TwilioGateway(client, status_callback_base=self._callback_base)

    def client(self, credentials: Credentials) -> Client:
        """The SDK's client of one account, over the same connections."""
        return _sdk_client(credentials, self._base_url, self.http)


class TwilioGateway:
    """One account at Twilio. Open it with :meth:`open`, inside the loop that uses it."""

    def __init__(self, client: Client, *, status_callback_base: str) -> None:
        """Use :meth:`open` or a :class:`GatewayFactory`, which also close the connections."""
        self._client = client
        self._urls = PublicUrls(status_callback_base) if status_callback_base else None
        #: The provider's clock minus ours, and when by the send clock that was told.
        self._offset: timedelta | None = None
        self._offset_at = 0.0

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        credentials: Credentials,
        *,
        status_callback_base: str,
        base_url: str = TWILIO_API,
        max_connections: int = 0,
    ) -> AsyncIterator[Self]:
        """A gateway with a connection pool of its own; arguments as for the factory."""
        async with GatewayFactory.open(
            status_callback_base=status_callback_base,
            base_url=base_url,
            max_connections=max_connections,
        ) as factory:
            client = _sdk_client(credentials, base_url, factory.http)
            yield cls(client, status_callback_base=status_callback_base)

    async def send(self, text: OutboundText, *, deadline: float, connect_by: float) -> HandOff:
        """Make exactly one create request, or none; never raises for what the wire does.

        Args:
            text: the message.
            deadline: by the send clock, after which no answer is waited for.
            connect_by: by the send clock, after which the request is not begun any more.

        Raises:
            asyncio.CancelledError: the caller was cancelled; treat the message as in doubt.
        """
        with Exchange(connect_by=min(connect_by, deadline), deadline=deadline) as current:
            outcome = await self._create(text, current)
        return HandOff(
            outcome=outcome,
            began_at=current.begun_at or datetime.now(UTC),
            clock_offset=clock_offset(current),
        )

    async def _create(self, text: OutboundText, current: Exchange) -> Outcome:
        try:
            message = await self._client.messages.create_async(**self._fields(text))
        except TwilioException as error:
            return refused(error, current)
        except Exception as error:  # noqa: BLE001  # whatever it is, the request may be out
            outcome = unfinished(error, current)
            if isinstance(outcome, Refused):
                # The class alone: the error's text may quote the body.
                _log.error("a create request could not be built: %s", type(error).__name__)
            return outcome
        return accepted(message, current)

    def _fields(self, text: OutboundText) -> dict[str, Any]:
        service = text.sender.startswith("MG")
        return {
            "to": f"+{text.recipient}",
            "messaging_service_sid" if service else "from_": text.sender,
            "body": text.body,
            "status_callback": self._callback_url(text.message_id),
            "validity_period": _validity_seconds(text.validity),
        }

    def _callback_url(self, message_id: UUID) -> str | None:
        # Without one the SDK leaves it out.
        return None if self._urls is None else self._urls.status(message_id)

    async def fetch(self, sid: str) -> MessageRecord | None:
        """The provider's record of one message, ``None`` if it has none.

        Raises:
            ProviderUnavailable: no readable answer; nothing follows from it.
        """
        with asking("fetch a message"):
            try:
                return record_of(await self._client.messages(sid).fetch_async())
            except TwilioException as error:
                if vendor_code(error) == NOT_FOUND:
                    return None
                raise

    async def list_to(self, recipient: int, since: datetime) -> list[MessageRecord]:
        """Our messages to a recipient created at or after ``since``, in no promised order.

        Filtered by ``To`` alone at Twilio: its date filter is on *sent* dates, which a message
        that failed before it was sent does not have.

        Args:
            recipient: E.164 digits.
            since: aware.

        Raises:
            ProviderUnavailable: no complete readable answer.
        """
        records = await self._list(to=f"+{recipient}")
        return [r for r in records if not r.inbound and r.date_created >= since]

    async def list_from(self, recipient: int, since: datetime) -> list[MessageRecord]:
        """Messages that one person sent us at or after ``since``, in no promised order.

        Args:
            recipient: E.164 digits.
            since: aware.

        Raises:
            ProviderUnavailable: no complete readable answer.
        """
        records = await self._list(from_=f"+{recipient}", date_sent_after=_day(since))
        return [r for r in records if r.inbound and r.date_created >= since]

    async def pages_since(
        self, since: datetime, *, to: str | None = None
    ) -> AsyncGenerator[list[MessageRecord]]:
        """The account's messages in both directions sent at or after ``since``, by the page.

        Those sent last come first; a page of which all were created before ``since`` is empty.
        What Twilio accepted and never sent has no sent date, and is missing.

        Args:
            since: aware.
            to: only those to this number; ours, for what people sent to it.

        Raises:
            ProviderRefused: the account is not let in.
            ProviderUnavailable: no readable answer; more pages may follow.
        """
        filters: dict[str, Any] = {"date_sent_after": _day(since)}
        if to is not None:
            filters["to"] = to
        with asking("list messages") as current:
            page = await self._client.messages.page_async(page_size=PAGE_SIZE, **filters)
            found = [record_of(message) for message in page]
            self._tell_time(current)
        while True:
            yield [record for record in found if record.date_created >= since]
            with asking("list messages"):
                page = await page.next_page_async()
                if page is None:
                    return
                found = [record_of(message) for message in page]

    async def clock_offset(self) -> timedelta | None:
        """The provider's clock minus ours, as its log told last; it is asked if that is long ago.

        Raises:
            ProviderUnavailable: no readable answer.
        """
        if self._offset is None or send_clock() - self._offset_at > _OFFSET_SECONDS:
            with asking("tell the time") as current:
                await self._client.messages.page_async(page_size=1)
                self._tell_time(current)
        return self._offset

    def _tell_time(self, current: Exchange) -> None:
        self._offset, self._offset_at = clock_offset(current), send_clock()

    async def _list(self, **filters: Any) -> list[MessageRecord]:
        with asking("list messages"):
            found = await self._client.messages.list_async(page_size=PAGE_SIZE, **filters)
            return [record_of(message) for message in found]

    async def service(self, sid: str) -> ServiceRecord | None:
        """A Messaging Service and the numbers in its pool, ``None`` if there is none.

        Raises:
            ProviderUnavailable: no complete readable answer.
        """
        resource = self._client.messaging.v1.services(sid)
        with asking("show a Messaging Service"):
            try:
                service = await resource.fetch_async()
            except TwilioException as error:
                if vendor_code(error) == NOT_FOUND:
                    return None
                raise
            numbers = await resource.phone_numbers.list_async(page_size=_POOL_PAGE_SIZE)
            codes = await resource.short_codes.list_async(page_size=_POOL_PAGE_SIZE)
            return ServiceRecord(
                numbers=(*(n.phone_number for n in numbers), *(c.short_code for c in codes)),
                # Twilio's rule: without either it drops what comes in, and does not log it.
                receives=bool(service.inbound_request_url or service.use_inbound_webhook_on_number),
            )

    async def cancel(self, sid: str) -> bool:
        """Cancel a message that has not left Twilio; ``False`` if it is too late or unknown.

        Raises:
            ProviderUnavailable: no readable answer; the message may be canceled or not.
        """
        with asking("cancel a message"):
            try:
                await self._client.messages(sid).update_async(status="canceled")
            except TwilioException as error:
                if vendor_code(error) in {TOO_LATE_TO_CANCEL, NOT_FOUND}:
                    return False
                raise
        return True


def _sdk_client(credentials: Credentials, base_url: str, http_client: LeanHttpClient) -> Client:
    client = Client(
        credentials.username,
        credentials.password,
        credentials.account_sid,
        http_client=http_client,
        # An empty mapping would make the SDK read os.environ, and TWILIO_EDGE or TWILIO_REGION
        # there would rewrite the host name below.
        environment={"TWILIO_EDGE": "", "TWILIO_REGION": ""},
    )
    client.api.base_url = base_url.rstrip("/")
    if base_url != TWILIO_API:  # a simulator or a proxy stands in for all of Twilio
        client.accounts.base_url = base_url.rstrip("/")
        client.messaging.base_url = base_url.rstrip("/")
        client.monitor.base_url = base_url.rstrip("/")
        client.events.base_url = base_url.rstrip("/")
    return client


def _day(since: datetime) -> datetime:
    """The start of a day, for Twilio's filter on sent dates, and in UTC: the SDK drops zones.

    The filter works by GMT day (documented) or by second (seen), inclusive: midnight is right for
    both.
    """
    return since.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


@lru_cache(maxsize=256)
def _validity_seconds(validity: timedelta) -> int:
    seconds = int(validity.total_seconds())
    return max(_SHORTEST_VALIDITY, min(_LONGEST_VALIDITY, seconds))
