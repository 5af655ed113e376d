"""Reading a request's body within limits: nobody may make the app hold a large one, or wait."""

import asyncio

from starlette.requests import ClientDisconnect, Request

from sender.errors import MalformedWebhook, SenderError

#: Twilio's largest inbound form (10 media, add-ons) is a few kilobytes.
LARGEST = 64 * 1024
#: Twilio sends a body at once; who drips is no webhook.
READ_SECONDS = 10


class TooLarge(SenderError):  # noqa: N818  # as in sender.errors
    """The body is larger than any webhook's. Answer 413."""


async def read_body(request: Request, *, largest: int = LARGEST) -> bytes:
    """The raw body.

    Raises:
        TooLarge: more than ``largest`` bytes.
        MalformedWebhook: it did not arrive whole within ``READ_SECONDS``.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(READ_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > largest:
                    raise TooLarge("the body is too large")
    except (TimeoutError, ClientDisconnect) as exc:
        raise MalformedWebhook("the body did not arrive") from exc
    return bytes(body)
