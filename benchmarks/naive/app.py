"""What a user would write instead: a Celery task for each recipient, and the SDK as it comes.

Written as one would who knows the tools: ids in the queue, no results kept, connections made once a
process, an opt-out looked up right before the message, its row committed right after. What it
lacks is what the benches measure the price of: nothing here keeps a STOP from being overtaken, and
a task that is delivered twice texts twice.
"""

import asyncio
import os
from functools import cache

from celery import Celery
from redis import Redis
from sqlalchemy import BigInteger, Engine, String, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from twilio.http.async_http_client import AsyncTwilioHttpClient  # type: ignore[import-untyped]
from twilio.rest import Client  # type: ignore[import-untyped]

#: The Redis set of those who have opted out: ``+1…``.
OPTED_OUT = "opted_out"

app = Celery("naive", broker=os.environ.get("NAIVE_BROKER_URL"))
app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)


class Base(DeclarativeBase):
    """The tables."""


class Message(Base):
    """One text to one recipient."""

    __tablename__ = "message"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    recipient: Mapped[str] = mapped_column(String(16))
    sender: Mapped[str] = mapped_column(String(16))
    body: Mapped[str]
    state: Mapped[str] = mapped_column(String(16), default="pending")
    sid: Mapped[str | None] = mapped_column(String(34))


@app.task(name="naive.send")  # type: ignore[untyped-decorator]  # Celery has no types
def send(message_id: int) -> None:
    """Send one message."""
    with Session(_engine()) as session:
        message = session.get_one(Message, message_id)
        if _redis().sismember(OPTED_OUT, message.recipient):
            message.state = "suppressed"
        else:
            sent = _client().messages.create(
                to=message.recipient, from_=message.sender, body=message.body
            )
            message.state, message.sid = "sent", sent.sid
        session.commit()


@app.task(name="naive.send_async")  # type: ignore[untyped-decorator]
def send_async(message_id: int) -> None:
    """The same, with the SDK's asynchronous client."""
    with Session(_engine()) as session:
        message = session.get_one(Message, message_id)
        if _redis().sismember(OPTED_OUT, message.recipient):
            message.state = "suppressed"
        else:
            sent = _loop().run_until_complete(
                _async_client().messages.create_async(
                    to=message.recipient, from_=message.sender, body=message.body
                )
            )
            message.state, message.sid = "sent", sent.sid
        session.commit()


@cache
def _engine() -> Engine:
    return create_engine(os.environ["NAIVE_DATABASE_URL"], pool_size=1)


@cache
def _redis() -> Redis:
    return Redis.from_url(os.environ["NAIVE_REDIS_URL"])


@cache
def _client() -> Client:
    return _pointed(Client())  # signs in by the environment


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


@cache
def _async_client() -> Client:
    async def inside() -> Client:
        return Client(http_client=AsyncTwilioHttpClient())  # made inside the loop that it uses

    return _pointed(_loop().run_until_complete(inside()))


def _pointed(client: Client) -> Client:
    client.api.base_url = os.environ["TWILIO_API_BASE_URL"]
    return client
