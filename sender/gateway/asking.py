"""Questions to Twilio, which may be repeated freely: how they fail, and how its records read."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from twilio.base.exceptions import (  # type: ignore[import-untyped]  # the SDK ships no types
    TwilioException,
)
from twilio.rest.api.v2010.account.message import (  # type: ignore[import-untyped]
    MessageInstance,
)

from sender.domain.provider import MessageRecord
from sender.errors import ProviderRefused, ProviderUnavailable
from sender.gateway.answers import vendor_code
from sender.gateway.codes import callback_verdict, is_toll_free, refuses_account
from sender.gateway.connection import UnreadableAnswerError
from sender.gateway.transport import Exchange
from sender.send_clock import send_clock

#: Twilio's limit (error 20007 above); the SDK would ask for more.
PAGE_SIZE: Final = 1000
#: A list may take many pages.
_ASK_SECONDS: Final = 30.0

#: Everything a question can fail with: the SDK's errors, the wire's, and answers that make no
#: sense to the SDK.
FOREIGN_ERRORS: Final = (
    TwilioException,
    OSError,
    UnreadableAnswerError,
    ValueError,
    TypeError,
    AttributeError,
    KeyError,
)


@contextmanager
def asking(what: str) -> Iterator[Exchange]:
    """Ask within a deadline; what is known of the answer.

    Raises:
        ProviderRefused: the account is not let in.
        ProviderUnavailable: no readable answer.
    """
    deadline = send_clock() + _ASK_SECONDS
    with Exchange(connect_by=deadline, deadline=deadline) as current:
        try:
            yield current
        except FOREIGN_ERRORS as error:
            status = f" (HTTP {current.status})" if current.status else ""
            code = vendor_code(error)
            if current.status and refuses_account(current.status, code):
                raise ProviderRefused(f"Twilio refused to {what}{status}: code {code}") from error
            raise ProviderUnavailable(
                f"Twilio could not {what}{status}: {type(error).__name__}"
            ) from error


def record_of(message: MessageInstance) -> MessageRecord:
    """A message of its log, as ours; ``ValueError`` if it is none."""
    if not message.sid or message.date_created is None:
        raise ValueError("a message record without a SID or a date")
    return MessageRecord(
        sid=message.sid,
        account_sid=message.account_sid or "",
        direction=message.direction or "",
        from_=message.from_,
        to=message.to or "",
        body=message.body or "",
        status=message.status or "",
        error_code=message.error_code,
        date_created=message.date_created,
        service_sid=message.messaging_service_sid,
        num_media=int(message.num_media or 0),
        verdict=callback_verdict(
            message.status or "", message.error_code, toll_free=is_toll_free(message.from_)
        ),
    )
